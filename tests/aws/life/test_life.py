"""The life of a Service on AWS, over real HTTP: created, changed, deleted, in each mode."""

import pytest

from tests.aws.cluster import MODES, Cluster, service
from tests.world import change

EVERY_MODE = pytest.mark.parametrize("mode", MODES)


@EVERY_MODE
def test_a_service_gets_a_balancer_and_is_left_alone_after(aws, mode):
    """A new Service ends with a published host name, every node as target, and an empty plan against a fresh look."""
    cluster = Cluster.begin(aws)
    before = aws.bystanders()
    cluster.apply(service(ports=(80, 443), annotations=MODES[mode]))
    assert not cluster.bugs
    assert len(cluster.addresses()) == 1, cluster.condition()
    assert not cluster.plans()
    assert aws.bystanders() == before


@EVERY_MODE
def test_a_deleted_service_leaves_nothing(aws, mode):
    """After the deletion the cloud is as it was before the Service, to the last rule and tag."""
    cluster = Cluster.begin(aws)
    empty = cluster.state()
    cluster.apply(service(ports=(80, 443), annotations=MODES[mode]))
    cluster.delete("web")
    cluster.settle(900)
    assert not cluster.bugs
    assert not cluster.exists()
    assert cluster.state() == empty


def write_count(cluster, act):
    """The writing calls that `act` causes."""
    cluster.aws.calls.clear()
    act()
    assert not cluster.bugs
    return cluster.write_calls()


@EVERY_MODE
def test_ports_come_and_go_on_the_living_balancer(aws, mode):
    """A port that is added, one that is removed and one that is renumbered change the listeners and no address."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(ports=(80, 443), annotations=MODES[mode]))
    address = cluster.addresses()
    for ports in [(80, 443, 8080), (80, 8080), (81, 8080)]:
        cluster.edit("web", ports=service(ports=ports).spec.ports)
        assert not cluster.bugs
        assert not cluster.plans()
        assert listening(cluster) == set(ports)
        assert cluster.addresses() == address


def listening(cluster):
    """The ports on which the cluster's one balancer listens."""
    if cluster.balancers():
        return set(cluster.listeners(cluster.balancers()[0]))
    (classic,) = cluster.classics()
    return {one["Listener"]["LoadBalancerPort"] for one in classic["ListenerDescriptions"]}


@EVERY_MODE
def test_nodes_come_and_go(aws, mode):
    """A node that leaves is no target any more, and is one again when it comes back."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=MODES[mode]))
    gone = next(iter(cluster.kube.nodes.values()))
    instance = gone.spec.provider_id.rpartition("/")[2]
    assert instance in target_ids(cluster)
    cluster.see_node(None, gone.metadata.name)
    cluster.settle(120)
    assert instance not in target_ids(cluster)
    assert len(target_ids(cluster)) == 3
    cluster.see_node(gone)
    cluster.settle(120)
    assert instance in target_ids(cluster)
    assert not cluster.plans()


def target_ids(cluster):
    """Instances that any balancer of the cluster sends to."""
    if cluster.balancers():
        return {target for name in cluster.target_groups() for target, _ in cluster.targets(name)}
    (classic,) = cluster.classics()
    return {one["InstanceId"] for one in classic["Instances"]}


@EVERY_MODE
def test_the_policy_local_changes_the_health_check_both_ways(aws, mode):
    """Policy Local probes the health-check node port by HTTP, policy Cluster the traffic port again."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=MODES[mode]))
    before = health(cluster)
    cluster.edit("web", external_traffic_policy="Local", health_check_node_port=32000)
    assert not cluster.bugs
    assert health(cluster) == ("HTTP", "32000", "/healthz")
    assert not cluster.plans()
    cluster.edit("web", external_traffic_policy="Cluster", health_check_node_port=0)
    assert health(cluster)[:2] == before[:2]
    assert not cluster.plans()


def health(cluster):
    """Protocol, port and path of the health check."""
    if cluster.balancers():
        (group,) = cluster.target_groups().values()
        return group["HealthCheckProtocol"], group["HealthCheckPort"], group.get("HealthCheckPath")
    target = cluster.classics()[0]["HealthCheck"]["Target"]
    protocol, _, rest = target.partition(":")
    port, slash, path = rest.partition("/")
    return protocol, port, slash + path


@pytest.mark.spec("AWS-043")
@pytest.mark.parametrize("mode", ["classic", "external"])
def test_narrowed_ranges_open_before_they_close(aws, mode):
    """New source ranges are authorized before the old ones are revoked, and only the new ones are left."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=MODES[mode]))
    calls = write_count(cluster, lambda: cluster.edit("web", load_balancer_source_ranges=("10.0.0.0/8",)))
    assert calls == ["ec2.AuthorizeSecurityGroupIngress", "ec2.RevokeSecurityGroupIngress"]
    (group,) = (
        one
        for name, one in cluster.groups().items()
        if "Kubernetes ELB" in one["Description"] or "Managed" in one["Description"]
    )
    assert {r["CidrIp"] for p in group["IpPermissions"] for r in p["IpRanges"]} == {"10.0.0.0/8"}
    assert not cluster.plans()


def test_a_type_change_while_stopped_removes_the_balancer(aws):
    """A Service that became ClusterIP while no lbctl ran loses its balancer when one starts."""
    cluster = Cluster.begin(aws)
    empty = cluster.state()
    cluster.apply(service(annotations=MODES["nlb"]))
    cluster.kube.listeners = []
    live = cluster.live()
    cluster.kube.put(change(live, spec=change(live.spec, type="ClusterIP")))
    cluster.crash()
    cluster.settle(900)
    assert cluster.state() == empty
    assert not cluster.live().metadata.finalizers
