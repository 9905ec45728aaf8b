"""Tags, subnets, order of calls, batches and pages on the honest AWS."""

import pytest

from lbctl.annotations import DELETION_POLICY
from lbctl.model.objects import Node, NodeCondition, NodeSpec, NodeStatus, ObjectMeta
from lbctl_aws.annotations import AWS
from tests.aws.cluster import CLASSIC, EXTERNAL, MODES, NLB, Cluster, service

EVERY_MODE = pytest.mark.parametrize("mode", MODES)


def tags(described):
    """Tags as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in described.get("Tags", ())}


def all_tags(cluster, arn):
    """Tags of an object of the second API."""
    return tags(cluster.aws.backstage("elbv2").describe_tags(ResourceArns=[arn])["TagDescriptions"][0])


@pytest.mark.spec("AWS-020")
def test_objects_of_the_load_balancer_controllers_modes_carry_its_tags(aws):
    """Balancer, target group, listener and group carry LBC's tags, our owner tag and the user's, and nothing else."""
    cluster = Cluster.begin(aws)
    owner = cluster.apply(service(annotations={**EXTERNAL, AWS + "additional-resource-tags": "team=shop"}))
    common = {
        "elbv2.k8s.aws/cluster": "demo",
        "service.k8s.aws/stack": "shop/web",
        "lbctl.io/owner": f"demo/{owner.uid}",
        "team": "shop",
    }
    (balancer,), (group,) = cluster.balancers(), cluster.target_groups().values()
    listener = cluster.listeners(balancer)[80]
    front = next(g for g in cluster.groups().values() if "Managed" in g["Description"])
    resource = "service.k8s.aws/resource"
    assert all_tags(cluster, balancer["LoadBalancerArn"]) == {**common, resource: "LoadBalancer"}
    assert all_tags(cluster, group["TargetGroupArn"]) == {**common, resource: "shop/web:80"}
    assert all_tags(cluster, listener["ListenerArn"]) == {**common, resource: "80"}
    assert tags(front) == {**common, resource: "ManagedLBSecurityGroup"}


@pytest.mark.spec("AWS-020")
def test_objects_of_ccm_modes_carry_its_tags(aws):
    """CCM's tags are on balancer, target group, listener and group; classic balancers have no room for ours."""
    cluster = Cluster.begin(aws)
    owner = cluster.apply(service(annotations=NLB))
    ours = {"lbctl.io/owner": f"demo/{owner.uid}"}
    ccm = {"kubernetes.io/cluster/demo": "owned", "kubernetes.io/service-name": "shop/web"}
    (balancer,), (group,) = cluster.balancers(), cluster.target_groups().values()
    for arn in (
        balancer["LoadBalancerArn"],
        group["TargetGroupArn"],
        cluster.listeners(balancer)[80]["ListenerArn"],
    ):
        assert all_tags(cluster, arn) == {**ccm, **ours}
    second = cluster.apply(service("old", annotations=CLASSIC, node_ports={80: 31500}))
    (classic,) = cluster.classics()
    described = aws.backstage("elb").describe_tags(LoadBalancerNames=[classic["LoadBalancerName"]])
    assert tags(described["TagDescriptions"][0]) == {**ccm, "kubernetes.io/service-name": "shop/old"}
    front = cluster.groups()["k8s-elb-" + classic["LoadBalancerName"]]
    assert tags(front) == {"kubernetes.io/cluster/demo": "owned", "lbctl.io/owner": f"demo/{second.uid}"}


@pytest.mark.spec("AWS-036")
@EVERY_MODE
def test_better_subnets_do_not_move_a_living_balancer(aws, mode):
    """Tags that would choose other subnets now change nothing on a balancer that lives."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=MODES[mode]))
    tag = [{"Key": "kubernetes.io/role/elb"}]
    aws.backstage("ec2").delete_tags(Resources=[cluster.scene["public-a"]], Tags=tag)
    aws.calls.clear()
    cluster.crash()
    cluster.settle(1500)
    assert not cluster.write_calls()


@EVERY_MODE
def test_named_subnets_are_changed_in_place(aws, mode):
    """Another list of subnets is applied to the living balancer, whose address stays."""
    cluster = Cluster.begin(aws)
    a, b, c = (cluster.scene[f"public-{zone}"] for zone in "abc")
    cluster.apply(service(annotations={**MODES[mode], AWS + "subnets": f"{a},{b}"}))
    address = cluster.addresses()
    cluster.annotate("web", {**MODES[mode], AWS + "subnets": f"{b},{c}"})
    assert not cluster.bugs
    assert subnets(cluster) == {b, c}
    assert cluster.addresses() == address
    assert not cluster.plans()


def subnets(cluster):
    """Subnets of the one balancer."""
    if cluster.classics():
        return set(cluster.classics()[0]["Subnets"])
    return {zone["SubnetId"] for zone in cluster.balancers()[0]["AvailabilityZones"]}


@pytest.mark.spec("AWS-066")
@pytest.mark.parametrize("mode", ["nlb", "external"])
def test_elastic_addresses_are_set_once_and_a_change_is_held(aws, mode):
    """Allocations are given at creation, pair with the subnets, and another one needs a new balancer: held."""
    cluster = Cluster.begin(aws)
    places = ",".join(cluster.scene[f"public-{zone}"] for zone in "ab")
    first, second, third = (cluster.scene[f"address-{zone}"] for zone in "abc")
    annotations = {**MODES[mode], AWS + "subnets": places, AWS + "eip-allocations": f"{first},{second}"}
    cluster.apply(service(annotations=annotations))
    zones = cluster.balancers()[0]["AvailabilityZones"]
    assert {a["AllocationId"] for zone in zones for a in zone["LoadBalancerAddresses"]} == {first, second}
    assert not cluster.plans()
    aws.calls.clear()
    cluster.annotate("web", {**annotations, AWS + "eip-allocations": f"{first},{third}"})
    assert not cluster.write_calls()
    assert "PlanHeld" in cluster.reasons()


@pytest.mark.spec("AWS-075")
def test_a_replaced_port_comes_before_the_old_one_goes(aws):
    """One edit that removes a port and adds another makes the new listener before it deletes the old one."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=NLB))
    aws.calls.clear()
    cluster.edit("web", ports=service(ports=(81,)).spec.ports)
    calls = cluster.write_calls()
    assert calls.index("elbv2.CreateListener") < calls.index("elbv2.DeleteListener")
    assert calls.index("elbv2.RegisterTargets") < calls.index("elbv2.CreateListener")
    assert calls.index("elbv2.DeleteListener") < calls.index("elbv2.DeleteTargetGroup")


@pytest.mark.spec("AWS-069")
def test_new_targets_come_before_old_ones_go_unless_the_group_is_full(aws):
    """Nodes that are replaced are registered before the old ones are deregistered; a full group makes room first."""
    for limit, first in ((1000, "elbv2.RegisterTargets"), (3, "elbv2.DeregisterTargets")):
        cluster = Cluster.begin(aws, max_targets_per_target_group=limit)
        nodes = list(cluster.kube.nodes.values())
        cluster.see_node(None, nodes[0].metadata.name)
        cluster.settle(120)
        cluster.apply(service(annotations=NLB))
        aws.calls.clear()
        cluster.see_node(nodes[0])
        cluster.see_node(None, nodes[1].metadata.name)
        cluster.settle(120)
        assert next(call for call in cluster.write_calls() if "Targets" in call) == first


@pytest.mark.spec("AWS-070")
def test_draining_targets_are_not_there_and_not_removed_again(aws):
    """A fresh process does not deregister what drains already, and registers it again when its node comes back."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=NLB))
    gone = next(iter(cluster.kube.nodes.values()))
    cluster.see_node(None, gone.metadata.name)
    cluster.settle(60)
    aws.calls.clear()
    cluster.crash()
    cluster.settle(60)
    assert not cluster.write_calls()
    cluster.see_node(gone)
    cluster.settle(60)
    assert cluster.write_calls() == ["elbv2.RegisterTargets"]


@pytest.mark.spec("AWS-095")
def test_fifty_nodes_that_join_together_are_one_call(aws):
    """Fifty nodes within two seconds are registered by one call for each target group."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(ports=(80, 443), annotations=NLB))
    made = run_instances(cluster, 50)
    aws.calls.clear()
    for number, instance in enumerate(made):
        cluster.see_node(node_of(instance))
        cluster.clock.advance(0.04 if number else 0)
    cluster.settle(120)
    assert cluster.write_calls() == ["elbv2.RegisterTargets"] * 2
    assert cluster.read_calls() == ["ec2.DescribeInstances"]


@pytest.mark.spec("AWS-073")
def test_targets_go_in_chunks_of_two_hundred(aws):
    """Two hundred and ten nodes are two calls."""
    cluster = Cluster.begin(aws)
    for instance in run_instances(cluster, 206):
        cluster.see_node(node_of(instance))
    cluster.settle(120)
    aws.calls.clear()
    cluster.apply(service(annotations=NLB))
    sizes = [len(c.params["Targets"]) for c in aws.calls.writes if c.operation == "RegisterTargets"]
    assert sizes == [200, 10]
    assert not cluster.plans()


def run_instances(cluster, count):
    """More instances of the node group."""
    reply = cluster.aws.backstage("ec2").run_instances(
        ImageId="ami-12345678",
        MinCount=count,
        MaxCount=count,
        SubnetId=cluster.scene["private-a"],
        SecurityGroupIds=[cluster.scene["nodes"]],
    )
    return [instance["InstanceId"] for instance in reply["Instances"]]


def node_of(instance):
    """A Node of an instance."""
    return Node(
        metadata=ObjectMeta(name=instance, uid=instance),
        spec=NodeSpec(provider_id=f"aws:///eu-west-1a/{instance}"),
        status=NodeStatus(conditions=(NodeCondition(type="Ready", status="True"),)),
    )


@pytest.mark.spec("AWS-082")
@EVERY_MODE
def test_a_retained_balancer_keeps_everything_but_our_tag(aws, mode):
    """With deletion policy retain the Service goes, the balancer stays, and only our own tag is taken off."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations={**MODES[mode], DELETION_POLICY: "retain"}))
    aws.calls.clear()
    cluster.delete("web")
    cluster.settle(300)
    assert not cluster.exists()
    assert len(cluster.balancers()) + len(cluster.classics()) == 1
    assert set(cluster.write_calls()) <= {"elbv2.RemoveTags", "ec2.DeleteTags", "elb.RemoveTags"}


@pytest.mark.spec("AWS-093")
@EVERY_MODE
def test_the_plan_names_the_calls_that_follow(aws, mode):
    """The calls of a plan are those that are then made, in number, kind and order."""
    from lbctl.plan.policy import Mode, Policy

    watching = Cluster(aws, aws.seed("basic"), policy=Policy(mode=Mode.OBSERVE))
    watching.start()
    watching.settle()
    watching.kube.put(service(ports=(80, 443), annotations=MODES[mode]))
    watching.settle()
    assert not watching.write_calls()
    planned = [
        a.call for p in watching.account.plans.values() for a in (*p.actions, *p.held) if p.scope.kind == "balancer"
    ]
    doing = Cluster(aws, watching.scene)
    doing.kube.services = dict(watching.kube.services)
    doing.start()
    doing.settle()
    made = [f"{call.service}.{call.operation}" for call in doing.aws.calls.writes if not is_shared(doing, call)]
    assert planned
    assert made == planned


def is_shared(cluster, call):
    """True for calls of other scopes than the balancer's: the nodes' rules and the group that balancers share."""
    shared = call.params.get("GroupName", "").startswith("k8s-traffic")
    return shared or call.params.get("GroupId") == cluster.scene["nodes"]


@pytest.mark.spec("AWS-094")
@EVERY_MODE
def test_watching_only_makes_no_write(aws, mode):
    """In mode observe nothing is written to the cloud, whatever is planned."""
    from lbctl.plan.policy import Mode, Policy

    cluster = Cluster(aws, aws.seed("basic"), policy=Policy(mode=Mode.OBSERVE))
    cluster.start()
    cluster.settle()
    cluster.apply(service(annotations=MODES[mode]))
    assert not cluster.write_calls()
    assert any(plan.held or plan.actions for plan in cluster.account.plans.values())


@pytest.mark.spec("AWS-087", "AWS-089")
def test_a_sweep_lists_in_pages_and_asks_for_tags_by_twenty(aws):
    """Lists are read once in pages, never a group or an instance without a filter, tags twenty at a time."""
    cluster = Cluster.begin(aws)
    aws.quotas["network-load-balancers"] = 200
    for number in range(45):
        cluster.kube.put(service(f"s{number}", annotations=NLB, node_ports={80: 30000 + number}))
    cluster.settle(120)
    aws.calls.clear()
    cluster.crash()
    cluster.settle(60)
    assert not cluster.write_calls()
    count = aws.calls.by_operation()
    assert count["elbv2:DescribeLoadBalancers"] == 1
    assert count["elbv2:DescribeTargetGroups"] == 1
    assert count["elbv2:DescribeListeners"] == 45
    assert count["elbv2:DescribeTargetHealth"] == 45
    for call in aws.calls.reads:
        if call.operation in ("DescribeSecurityGroups", "DescribeInstances"):
            assert call.params.get("Filters") or call.params.get("GroupIds"), call
        if call.operation == "DescribeTags":
            assert len(call.params.get("ResourceArns", call.params.get("LoadBalancerNames"))) <= 20


def test_a_restart_with_classic_balancers_reads_pages_only(aws):
    """With thirty classic balancers in sync a restart costs one list, two batches of tags, and no write."""
    cluster = Cluster.begin(aws)
    aws.quotas["classic-load-balancers"] = 100
    for number in range(30):
        cluster.kube.put(service(f"s{number}", node_ports={80: 30000 + number}))
    cluster.settle(120)
    aws.calls.clear()
    cluster.crash()
    cluster.settle(60)
    assert not cluster.write_calls()
    count = {key: value for key, value in aws.calls.by_operation().items() if key.startswith("elb:")}
    assert count == {"elb:DescribeLoadBalancers": 1, "elb:DescribeTags": 2}
