"""Weighted actions: other Services take a part of a listener's traffic, with target groups of their own."""

import pytest

from lbctl_aws.annotations import AWS, OWN_TARGETS, REMEMBERED
from tests.aws.cluster import EXTERNAL, POD_ADDRESSES, PODS, Cluster, ready_pods, service
from tests.aws.life.test_crash import picture, play, revive
from tests.aws.life.test_groups import rules
from tests.aws.weighted import (
    BACKEND_TYPE,
    CANARY_PODS,
    TARGET_TYPES,
    action,
    add_canary,
    annotated,
    begin,
    canary,
    group_of,
    move_canary,
    upstream_name,
    weights,
)
from tests.world import change

BOTH = pytest.mark.parametrize("target_type", TARGET_TYPES)


def quiet(cluster):
    """True when neither this process nor the next has anything to write."""
    cluster.aws.calls.clear()
    cluster.settle(1500)
    cluster.crash()
    cluster.settle(900)
    assert not cluster.bugs
    return cluster.write_calls() == [] and not cluster.plans()


@BOTH
def test_another_service_takes_its_part_of_a_listener(aws, target_type):
    """Its group is LBC's by name and tags, its targets are its own, and the second look finds nothing to do."""
    cluster = begin(aws, target_type)
    port = {"instance": 31880, "ip": 8080}[target_type]
    group = upstream_name(cluster, port=port, target_type=target_type)
    assert weights(cluster) == {group_of(cluster, "web"): 90, group: 10}
    instances = {node.spec.provider_id.rpartition("/")[2] for node in cluster.kube.nodes.values()}
    wanted = instances if target_type == "instance" else set(CANARY_PODS)
    assert cluster.targets(group) == {(target, port) for target in wanted}
    arn = cluster.target_groups()[group]["TargetGroupArn"]
    (described,) = aws.backstage("elbv2").describe_tags(ResourceArns=[arn])["TagDescriptions"]
    assert {tag["Key"]: tag["Value"] for tag in described["Tags"]} == {
        "elbv2.k8s.aws/cluster": "demo",
        "service.k8s.aws/stack": "shop/web",
        "service.k8s.aws/resource": "shop/canary:8080",
        "lbctl.io/owner": f"demo/{cluster.live('web').metadata.uid}",
    }
    assert quiet(cluster)


@BOTH
def test_a_weighted_create_costs_two_calls_more(aws, target_type):
    """The other Service's target group and its targets; pods that were never targets before are one read."""
    cluster = Cluster.begin(aws)
    add_canary(cluster, BACKEND_TYPE[target_type])
    mode = TARGET_TYPES[target_type]
    cluster.apply(service("first", ports=(1, 9999), annotations=mode))
    aws.calls.clear()
    cluster.apply(service(annotations=annotated(mode, {"TCP-80": action()})))
    assert aws.calls.by_operation() == {
        "ec2:CreateSecurityGroup": 1,
        "ec2:AuthorizeSecurityGroupIngress": 1,
        "elbv2:CreateTargetGroup": 2,
        "elbv2:RegisterTargets": 2,
        "elbv2:CreateLoadBalancer": 1,
        "elbv2:CreateListener": 1,
        **({"ec2:DescribeNetworkInterfaces": 1} if target_type == "ip" else {}),
    }


def test_a_change_of_weights_is_one_call(aws):
    """Weights, and stickiness with them, are one ModifyListener; no target moves."""
    cluster = begin(aws)
    base, group = group_of(cluster, "web"), group_of(cluster, "canary")
    aws.calls.clear()
    cluster.annotate("web", annotated(PODS, {"TCP-80": action(weight=50, base=50)}))
    assert cluster.write_calls() == ["elbv2.ModifyListener"]
    assert weights(cluster) == {base: 50, group: 50}
    assert cluster.read_calls() == []


def test_pods_of_the_other_service_move_targets_and_nothing_else(aws):
    """One call for those that come and one for those that go, in the other Service's group alone."""
    cluster = begin(aws)
    aws.calls.clear()
    move_canary(cluster, CANARY_PODS[1], "10.0.12.103")
    assert cluster.write_calls() == ["elbv2.RegisterTargets", "elbv2.DeregisterTargets"]
    assert cluster.targets(group_of(cluster, "canary")) == {(CANARY_PODS[1], 8080), ("10.0.12.103", 8080)}
    assert cluster.targets(group_of(cluster, "web")) == {(address, 80) for address in POD_ADDRESSES}
    assert quiet(cluster)


def test_a_node_costs_one_call_for_each_group(aws):
    """Both groups of a listener follow the nodes."""
    cluster = begin(aws, "instance")
    node = next(iter(cluster.kube.nodes.values()))
    aws.calls.clear()
    cluster.see_node(None, node.metadata.name)
    cluster.settle(60)
    assert aws.calls.by_operation() == {"elbv2:DeregisterTargets": 2}


def test_what_serves_stays_while_the_other_service_is_not_there(aws):
    """Nothing is written, the condition says what is missing, and all goes on when it is there again."""
    cluster = begin(aws)
    before, served = cluster.state(), weights(cluster)
    aws.calls.clear()
    cluster.delete("canary")
    cluster.settle(900)
    assert cluster.write_calls() == []
    assert cluster.state() == before
    assert cluster.condition().status == "False"
    assert "there is no Service shop/canary" in cluster.condition().message
    assert "service.beta.kubernetes.io/actions.TCP-80" in cluster.condition().message
    cluster.crash()
    cluster.settle(900)
    assert cluster.write_calls() == []
    cluster.apply(canary())
    move_canary(cluster, "10.0.12.103")
    cluster.settle(120)
    assert cluster.condition().status == "True"
    # Another Service of that name takes the group over: no connection to the others breaks.
    assert weights(cluster) == served
    assert cluster.targets(group_of(cluster, "canary")) == {("10.0.12.103", 8080)}
    assert quiet(cluster)


def test_a_port_that_the_other_service_has_not_is_named_with_those_that_it_has(aws):
    """By name as by number, and in the listener's protocol."""
    cluster = begin(aws)
    aws.calls.clear()
    for port in (9090, "metrics"):
        cluster.annotate("web", annotated(PODS, {"TCP-80": action(port=port)}))
        message = cluster.condition().message
        assert f"shop/canary has no TCP port {port}" in message
        assert "8080/TCP p8080" in message
    assert cluster.write_calls() == []
    cluster.annotate("web", annotated(PODS, {"TCP-80": action(port="p8080")}))
    assert cluster.condition().status == "True"
    assert cluster.write_calls() == []


@pytest.mark.parametrize(
    ("kind", "said"), [("ClusterIP", "is of type ClusterIP"), ("LoadBalancer", "has no node port")]
)
def test_instances_are_reached_by_node_ports(aws, kind, said):
    """A Service without them cannot be a target: told with what to do, what serves stays, and it is put right."""
    cluster = begin(aws, "instance")
    before = weights(cluster)
    aws.calls.clear()
    bare = tuple(change(port, node_port=0) for port in canary().spec.ports)
    unserved = {"allocate_load_balancer_node_ports": False, "load_balancer_class": "example.com/other"}
    cluster.edit("canary", type=kind, ports=bare, **unserved)
    assert said in cluster.condition().message
    cluster.settle(900)
    assert cluster.write_calls() == []
    assert weights(cluster) == before
    cluster.edit("canary", type="NodePort", ports=canary().spec.ports)
    assert cluster.condition().status == "True"
    assert weights(cluster) == before
    assert quiet(cluster)


@BOTH
def test_a_group_goes_after_the_listener_has_let_go(aws, target_type):
    """An action that is taken back leaves the Service's own group; the other's group and rules are deleted."""
    cluster = begin(aws, target_type)
    base = group_of(cluster, "web")
    aws.calls.clear()
    cluster.annotate("web", TARGET_TYPES[target_type])
    cluster.settle(900)
    calls = cluster.write_calls()
    assert calls.index("elbv2.ModifyListener") < calls.index("elbv2.DeleteTargetGroup")
    assert weights(cluster) == {base: 1}
    assert set(cluster.target_groups()) == {base}
    assert quiet(cluster)


@BOTH
def test_everything_goes_with_the_service_that_has_the_balancer(aws, target_type):
    """The other Service stays as it was, with no finalizer and no word from us."""
    cluster = Cluster.begin(aws)
    empty = cluster.state()
    add_canary(cluster, BACKEND_TYPE[target_type])
    other = cluster.live("canary")
    cluster.apply(service(annotations=annotated(TARGET_TYPES[target_type], {"TCP-80": action()})))
    cluster.delete("web")
    cluster.settle(900)
    assert not cluster.exists()
    assert cluster.state() == empty
    assert cluster.live("canary") == other
    assert cluster.reasons("canary") == []


def test_a_service_goes_whatever_became_of_the_other(aws):
    """A balancer whose other Service is gone can be deleted."""
    cluster = begin(aws)
    cluster.delete("canary")
    cluster.delete("web")
    cluster.settle(900)
    assert not cluster.exists()
    assert cluster.target_groups() == {}


def test_listeners_that_name_the_same_port_share_its_group(aws):
    """One group for a Service's port, whichever listeners send to it."""
    cluster = Cluster.begin(aws)
    add_canary(cluster)
    both = {"TCP-80": action(), "TCP-81": action(weight=1, base=1)}
    cluster.apply(service(ports=(80, 81), annotations=annotated(PODS, both)))
    group = group_of(cluster, "canary")
    assert weights(cluster, 80)[group] == 10
    assert weights(cluster, 81)[group] == 1
    assert len(cluster.target_groups()) == 3
    cluster.annotate("web", annotated(PODS, {"TCP-81": action(weight=1, base=1)}))
    assert group in cluster.target_groups()
    assert group not in weights(cluster, 80)
    assert quiet(cluster)


def test_a_tls_listener_keeps_traffic_encrypted_unless_told(aws):
    """The other Service's group speaks TLS, and with `decrypt` TCP: another group takes over, the old one goes."""
    cluster = Cluster.begin(aws)
    add_canary(cluster)
    certified = {**PODS, AWS + "ssl-cert": cluster.scene["certificate"]}
    cluster.apply(service(annotations=annotated(certified, {"TLS-80": action()})))
    assert not cluster.bugs
    group = group_of(cluster, "canary")
    assert cluster.target_groups()[group]["Protocol"] == "TLS"
    assert cluster.target_groups()[group_of(cluster, "web")]["Protocol"] == "TCP"
    assert group == upstream_name(cluster, port=8080, target_type="ip", protocol="TLS")
    cluster.annotate("web", annotated(certified, {"TLS-80": action(decrypt=True)}))
    cluster.settle(900)
    group = group_of(cluster, "canary")
    assert cluster.target_groups()[group]["Protocol"] == "TCP"
    assert group == upstream_name(cluster, port=8080, target_type="ip")
    assert weights(cluster)[group] == 10
    assert quiet(cluster)


def test_two_groups_that_differ_in_their_service_alone_keep_their_places(aws):
    """With the same target port, and a health check that changes in place, each Service keeps its own group."""
    cluster = Cluster.begin(aws)
    add_canary(cluster, port=80)
    marks = annotated(PODS, {"TCP-80": action(port=80)})
    cluster.apply(service(annotations=marks))
    before = weights(cluster)
    served = {group: cluster.targets(group) for group in before}
    aws.calls.clear()
    cluster.annotate("web", {**marks, AWS + "healthcheck-interval": "30", AWS + "healthcheck-protocol": "http"})
    assert cluster.write_calls() == ["elbv2.ModifyTargetGroup"] * 2
    assert weights(cluster) == before
    assert {group: cluster.targets(group) for group in before} == served
    assert quiet(cluster)


def test_a_tag_that_somebody_took_off_both_groups_does_not_confuse_them(aws):
    """Then their names tell them apart, and both get their tags back."""
    cluster = Cluster.begin(aws)
    add_canary(cluster, port=80)
    cluster.apply(service(annotations=annotated(PODS, {"TCP-80": action(port=80)})))
    before = weights(cluster)
    elbv2 = aws.backstage("elbv2")
    arns = [group["TargetGroupArn"] for group in cluster.target_groups().values()]
    elbv2.remove_tags(ResourceArns=arns, TagKeys=["service.k8s.aws/resource"])
    cluster.crash()
    cluster.settle(60)
    assert not cluster.bugs
    assert weights(cluster) == before
    described = elbv2.describe_tags(ResourceArns=arns)["TagDescriptions"]
    tagged = {tag["Value"] for one in described for tag in one["Tags"] if tag["Key"] == "service.k8s.aws/resource"}
    assert tagged == {"shop/web:80", "shop/canary:80"}


def test_attributes_of_a_port_are_of_the_port_of_the_service_behind_it(aws):
    """A port of the other Service has its own, remembered apart from a listener of the same number, and goes back."""
    cluster = Cluster.begin(aws)
    add_canary(cluster)
    marks = annotated(PODS, {"TCP-80": action()})
    own = {AWS + "target-group-attributes.8080": "deregistration_delay.timeout_seconds=7"}
    cluster.apply(service(annotations={**marks, **own}))
    elbv2 = aws.backstage("elbv2")

    def delay(name):
        arn = cluster.target_groups()[group_of(cluster, name)]["TargetGroupArn"]
        listed = elbv2.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        return {one["Key"]: one["Value"] for one in listed}["deregistration_delay.timeout_seconds"]

    assert (delay("web"), delay("canary")) == ("300", "7")
    remembered = cluster.live("web").metadata.annotations[REMEMBERED]
    assert remembered == "tg/canary:8080:TCP:deregistration_delay.timeout_seconds"
    assert quiet(cluster)
    cluster.annotate("web", {**marks, REMEMBERED: remembered})
    assert (delay("web"), delay("canary")) == ("300", "300")
    assert REMEMBERED not in cluster.live("web").metadata.annotations
    assert quiet(cluster)


def test_a_health_check_by_port_name_is_looked_up_in_each_service(aws):
    """The number of the named port may differ; a Service without such a port is told."""
    cluster = Cluster.begin(aws)
    add_canary(cluster)
    marks = {**annotated(PODS, {"TCP-80": action()}), AWS + "healthcheck-port": "p80"}
    cluster.apply(service(annotations=marks))
    assert "shop/canary has no port named p80" in cluster.condition().message
    both = service("canary", ports=(8080, 80), type="ClusterIP").spec.ports
    probe = tuple(port if port.port == 8080 else change(port, port=81, target_port=8081) for port in both)
    cluster.edit("canary", ports=probe)
    cluster.settle(120)
    checks = {name: cluster.target_groups()[group_of(cluster, name)]["HealthCheckPort"] for name in ("web", "canary")}
    assert checks == {"web": "80", "canary": "8081"}


def test_local_policy_of_the_other_service_probes_its_own_health_port(aws):
    """Only of a LoadBalancer: its node port for health checks, while the Service itself is probed on its traffic."""
    cluster = Cluster.begin(aws)
    add_canary(cluster, "LoadBalancer", external_traffic_policy="Local", health_check_node_port=32500)
    cluster.apply(service(annotations=annotated(EXTERNAL, {"TCP-80": action()})))
    groups = cluster.target_groups()
    arns = {
        group["HealthCheckPort"]: group
        for group in groups.values()
        if group["TargetGroupName"] in weights_of_web(cluster)
    }
    assert set(arns) == {"traffic-port", "32500"}
    assert arns["32500"]["HealthCheckPath"] == "/healthz"


def weights_of_web(cluster):
    """Names of the groups behind the balancer of `web`."""
    arns = {one["LoadBalancerName"]: one for one in cluster.balancers()}
    (mine,) = (one for name, one in arns.items() if name.startswith("k8s-shop-web-"))
    (default,) = cluster.listeners(mine)[80]["DefaultActions"]
    listed = {one["TargetGroupArn"] for one in default["ForwardConfig"]["TargetGroups"]}
    return {name for name, group in cluster.target_groups().items() if group["TargetGroupArn"] in listed}


def test_an_ipv6_service_needs_a_balancer_with_both_families(aws):
    """On a balancer with IPv4 only it is told; with both its group has the IPv6 pods."""
    cluster = Cluster.begin(aws, "dualstack")
    six = canary(ip_families=("IPv6",))
    pods = ready_pods(six, ("2001:db8::10",))
    cluster.see_slice(change(pods, address_type="IPv6"))
    cluster.apply(six)
    marks = annotated(PODS, {"TCP-80": action()})
    cluster.apply(service(annotations=marks))
    assert "has IPv6 addresses" in cluster.condition().message
    assert cluster.balancers() == []
    cluster.annotate("web", {**marks, AWS + "ip-address-type": "dualstack"})
    group = cluster.target_groups()[group_of(cluster, "canary")]
    assert group["IpAddressType"] == "ipv6"
    assert cluster.targets(group["TargetGroupName"]) == {("2001:db8::10", 8080)}


def test_traffic_of_the_other_service_is_let_in_before_it_flows(aws):
    """The shared rule of the nodes spans its port too, and shrinks again when the action is taken back."""
    cluster = begin(aws)
    (shared,) = (one["GroupId"] for name, one in cluster.groups().items() if name.startswith("k8s-traffic-"))

    def span():
        return {rule[1:3] for rule in rules(cluster.groups()["demo-nodes"]) if rule[3] == shared}

    assert span() == {(80, 8080)}
    cluster.delete("canary")
    cluster.settle(900)
    assert span() == {(80, 8080)}
    cluster.annotate("web", PODS)
    cluster.settle(900)
    assert span() == {(80, 80)}


def test_a_balancer_without_groups_lets_clients_in_for_both(aws):
    """Node ports of both Services are open to clients; those of a missing Service stay open while it is missing."""
    cluster = Cluster.begin(aws)
    add_canary(cluster, "NodePort")
    bare = {**EXTERNAL, AWS + "disable-nlb-sg": "true"}
    cluster.apply(service(annotations=annotated(bare, {"TCP-80": action()})))

    def ports():
        return {rule[1] for rule in rules(cluster.groups()["demo-nodes"]) if rule[3] == "0.0.0.0/0"}

    assert ports() >= {31080, 31880}
    cluster.delete("canary")
    cluster.crash()
    cluster.settle(900)
    assert ports() >= {31080, 31880}
    cluster.annotate("web", bare)
    cluster.settle(900)
    assert 31880 not in ports()


def test_pods_of_the_other_service_with_a_group_of_their_own_are_reached(aws):
    """The rule goes onto the group of their interfaces, and off it with the last of them."""
    cluster = Cluster.begin(aws)
    cluster.pods_own_group("for-pods", CANARY_PODS[0])
    add_canary(cluster)
    cluster.apply(service(annotations=annotated(PODS, {"TCP-80": action()})))
    (backend,) = (one["GroupId"] for name, one in cluster.groups().items() if name.startswith("k8s-traffic"))
    assert rules(cluster.groups()["for-pods"]) == {("tcp", 80, 8080, backend)}
    move_canary(cluster, CANARY_PODS[1])
    cluster.settle(900)
    assert rules(cluster.groups()["for-pods"]) == set()
    assert quiet(cluster)


def test_targets_of_other_clusters_stay_in_the_other_services_group(aws):
    """With a shared group, what we registered there is written down apart from a listener of the same number."""
    cluster = Cluster.begin(aws)
    add_canary(cluster, port=80)
    shared = {**PODS, AWS + "multi-cluster-target-group": "true"}
    cluster.apply(service(annotations=annotated(shared, {"TCP-80": action(port=80)})))
    group = group_of(cluster, "canary")
    arn = cluster.target_groups()[group]["TargetGroupArn"]
    # The other cluster has, in this group, an address that is ours in the other one.
    theirs = (POD_ADDRESSES[0], 80)
    aws.backstage("elbv2").register_targets(TargetGroupArn=arn, Targets=[{"Id": theirs[0], "Port": theirs[1]}])
    cluster.settle(900)
    cluster.see_slice(ready_pods(canary(port=80), CANARY_PODS[1:]))
    cluster.move_pods(POD_ADDRESSES[1])
    cluster.settle(60)
    assert cluster.targets(group) == {theirs, (CANARY_PODS[1], 80)}
    written = cluster.live("web").metadata.annotations[OWN_TARGETS]
    assert written == f"80/{POD_ADDRESSES[1]},canary:80:TCP/{CANARY_PODS[1]}"
    assert quiet(cluster)


def test_a_service_may_name_a_port_of_its_own(aws):
    """The group of its other listener serves, as it does upstream; the same listener twice is refused."""
    cluster = Cluster.begin(aws)
    marks = annotated(PODS, {"TCP-80": action(service="web", port=443)})
    cluster.apply(service(ports=(80, 443), annotations=marks))
    assert len(cluster.target_groups()) == 2
    assert set(weights(cluster, 443)) < set(weights(cluster, 80))
    cluster.annotate("web", annotated(PODS, {"TCP-80": action(service="web", port=80)}))
    assert "twice" in cluster.condition().message


def marks_of(target_type, **changes):
    """Annotations of the scenarios below."""
    return annotated(TARGET_TYPES[target_type], {"TCP-80": action(**changes)})


def create(cluster):
    """Make both Services."""
    kind = cluster.target_type
    cluster.kube.put(canary(BACKEND_TYPE[kind]))
    cluster.kube.put(service(annotations=marks_of(kind)))


def reweigh(cluster):
    """Give the other Service everything, by another port of its own."""
    kind = cluster.target_type
    cluster.kube.put(
        service("canary", ports=(8080, 8081), node_ports={8080: 31880, 8081: 31881}, type=BACKEND_TYPE[kind])
    )
    cluster.kube.put(service(annotations=marks_of(kind, port=8081, weight=100, base=0)))


def take_back(cluster):
    """Drop the action."""
    cluster.kube.put(service(annotations=TARGET_TYPES[cluster.target_type]))


def delete(cluster):
    """Delete the Service with the balancer."""
    cluster.kube.delete("shop/web")


SCENARIOS = {
    "create": [create],
    "reweigh": [create, reweigh],
    "take-back": [create, take_back],
    "delete": [create, delete],
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
@BOTH
def test_a_crash_at_every_write_converges_to_the_same_end(aws, target_type, scenario):
    """From before and after each write, of the cloud or of the API, the next process gets to the undisturbed end."""
    cluster = Cluster.begin(aws)
    cluster.target_type = target_type
    more = service("canary", ports=(8080, 8081), type="ClusterIP")
    cluster.see_slice(ready_pods(more, CANARY_PODS))
    moments = play(cluster, SCENARIOS[scenario])
    wanted_end = picture(cluster)
    assert len(moments) > 3
    for number, at in enumerate(moments):
        revive(cluster, at)
        assert picture(cluster) == wanted_end, f"moment {number}"
        assert not cluster.plans(), f"moment {number}"
