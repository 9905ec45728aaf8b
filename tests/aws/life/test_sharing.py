"""A target group that several clusters register in: each takes off its own targets, and no others."""

import pytest

from lbctl.errors import KubeDenied
from lbctl_aws.annotations import AWS, OWN_TARGETS
from tests.aws.cluster import EXTERNAL, POD_ADDRESSES, PODS, Cluster, service
from tests.aws.life.test_crash import picture, play, revive
from tests.aws.recorded import LBC, begin
from tests.world import change

SHARED = {AWS + "multi-cluster-target-group": "true"}
THEIRS = ("10.0.12.200", 80)


def register(cluster, *targets, group=None):
    """Another cluster registers targets in the only target group, or in the one named."""
    found = cluster.target_groups()
    arn = found[group or next(iter(found))]["TargetGroupArn"]
    listed = [{"Id": target, "Port": port} for target, port in targets]
    cluster.aws.backstage("elbv2").register_targets(TargetGroupArn=arn, Targets=listed)


def targets(cluster):
    """The targets of the only target group."""
    (group,) = cluster.target_groups()
    return cluster.targets(group)


def written(cluster, key="shop/web"):
    """What the Service says that we registered."""
    return cluster.kube.services[key].metadata.annotations.get(OWN_TARGETS)


def test_a_pod_that_leaves_is_taken_off_and_pods_of_others_stay(aws):
    """Ours are written down before they are registered and struck out after; another process knows them too."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations={**PODS, **SHARED}))
    assert written(cluster) == ",".join(f"80/{address}" for address in POD_ADDRESSES)
    register(cluster, THEIRS)
    cluster.crash()
    cluster.settle(900)
    assert targets(cluster) == {THEIRS, *((address, 80) for address in POD_ADDRESSES)}
    cluster.move_pods("10.0.10.150", POD_ADDRESSES[1])
    cluster.settle(60)
    assert targets(cluster) == {THEIRS, ("10.0.10.150", 80), (POD_ADDRESSES[1], 80)}
    assert written(cluster) == f"80/10.0.10.150,80/{POD_ADDRESSES[1]}"
    assert not cluster.plans()


def test_a_node_that_leaves_is_taken_off_and_nodes_of_others_stay(aws):
    """The same with instances; without the annotation all that is not ours goes, and nothing is written any more."""
    cluster = Cluster.begin(aws)
    node = next(iter(cluster.kube.nodes.values()))
    instance = node.spec.provider_id.rpartition("/")[2]
    (theirs,) = aws.backstage("ec2").run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=cluster.scene["private-a"]
    )["Instances"]
    cluster.apply(service(annotations={**EXTERNAL, **SHARED}))
    register(cluster, (theirs["InstanceId"], 31080))
    cluster.see_node(None, node.metadata.name)
    cluster.settle(900)
    ids = {target for target, _ in targets(cluster)}
    assert theirs["InstanceId"] in ids
    assert instance not in ids
    assert instance not in written(cluster)
    cluster.annotate("web", EXTERNAL)
    cluster.settle(900)
    assert theirs["InstanceId"] not in {target for target, _ in targets(cluster)}
    assert written(cluster) is None


@pytest.mark.parametrize("kept", ["all", "nothing"])
def test_what_lbc_wrote_down_is_ours_from_the_first_look_on(aws, kept):
    """Targets of LBC's ConfigMap that serve no more go, others stay; without the ConfigMap all of them stay."""
    api = change(LBC[1], metadata=change(LBC[1].metadata, annotations={**LBC[1].metadata.annotations, **SHARED}))
    cluster = begin(aws, "lbc-existing", (LBC[0], api))
    group = next(name for name in cluster.target_groups() if name.startswith("k8s-default-api"))
    stale = ("10.0.11.77", 8080)
    register(cluster, stale, ("10.0.12.200", 8080), group=group)
    listed = [*((address, 8080) for address in POD_ADDRESSES), stale]
    if kept == "all":
        text = ",".join(f"{address}:{port}" for address, port in listed)
        cluster.documents[f"configmaps/default/aws-lbc-targets-{group}"] = {"targets": text}
    cluster.settle(900)
    left = cluster.targets(group)
    assert ("10.0.12.200", 8080) in left
    assert (stale in left) == (kept == "nothing")
    assert {address for address, _ in left} >= set(POD_ADDRESSES)
    assert written(cluster, "default/api") == ",".join(f"80/{address}" for address in POD_ADDRESSES)
    assert not cluster.plans()


class _Denied(dict[str, dict[str, str]]):
    """ConfigMaps that may not be read."""

    def get(self, key, _default=None):
        raise KubeDenied(f"get {key} is denied", hint="grant the right")


def test_without_the_right_to_read_what_lbc_wrote_down_nothing_is_touched(aws):
    """The Service of a shared group is told what is denied, and its targets stay; another Service goes on."""
    api = change(LBC[1], metadata=change(LBC[1].metadata, annotations={**LBC[1].metadata.annotations, **SHARED}))
    cluster = Cluster(aws, aws.seed("lbc-existing"))
    cluster.documents = _Denied()
    for wanted in (LBC[0], api):
        cluster.kube.overwrite(wanted)
    cluster.start()
    cluster.settle(60)
    assert not cluster.write_calls()
    assert written(cluster, "default/api") is None
    told = [notice.message for where, notice in cluster.kube.events if where == "default/api"]
    assert any("aws-lbc-targets-k8s-default-api" in message for message in told), told
    assert cluster.kube.services["default/web"].status.load_balancer.ingress


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_crash_at_every_write_takes_off_what_is_ours_and_no_more(aws):
    """From before and after each write, of the cloud or of the Service, the next process gets to the same end."""
    cluster = Cluster.begin(aws)

    def create(cluster):
        cluster.kube.put(service(annotations={**PODS, **SHARED}))
        cluster.settle(60)
        register(cluster, THEIRS)

    def leave(cluster):
        cluster.move_pods("10.0.10.150", POD_ADDRESSES[1])

    moments = play(cluster, [create, leave])
    wanted_end, after = picture(cluster), cluster.pods
    assert targets(cluster) == {THEIRS, ("10.0.10.150", 80), (POD_ADDRESSES[1], 80)}
    assert len(moments) >= 5
    for number, at in enumerate(moments):
        cluster.pods = after
        revive(cluster, at)
        assert picture(cluster) == wanted_end, f"moment {number}"
        assert not cluster.plans(), f"moment {number}"
