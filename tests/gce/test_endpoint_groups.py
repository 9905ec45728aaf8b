"""Endpoint groups that stand alone: of class standalone-passthrough-lb-neg, for a balancer that somebody else makes."""

from __future__ import annotations

import json

import pytest

from lbctl_gce import DRIVER
from tests.clouds.gce.world import BYSTANDER, HOME, PROJECT, REGION, REGIONAL, ROOT, Google
from tests.gce.conftest import Build
from tests.gce.test_crash import FAULTS, crash_everywhere, delete, spoil_everywhere
from tests.world import service

CLASS = "networking.gke.io/standalone-passthrough-lb-neg"
STATUS = "cloud.google.com/neg-status"


def alone(**spec):
    return service(load_balancer_class=CLASS, **spec)


@pytest.fixture
def world(build: Build) -> Google:
    """Two nodes in zone b, and the rights that the one Service needs."""
    world = build(node_tags=())
    world.compute.granted = {PROJECT: set(DRIVER.permissions(world.settings, [alone()])["includedPermissions"])}
    return world


def members(world: Google) -> dict[str, set[str]]:
    """Instances in each zone's group."""
    found = {}
    for path, body in world.compute.store.of("networkEndpointGroups"):
        if body["name"] != BYSTANDER:
            paths = (member.split(" ")[0] for member in world.compute.store.members.get(path, []))
            found[path.split("/zones/")[1].split("/")[0]] = {path.rpartition("/")[2] for path in paths}
    return found


def told(world: Google) -> dict:
    """What the Service's annotation says of the groups."""
    return json.loads(world.live().metadata.annotations[STATUS])


def test_a_group_of_the_services_name_is_made_in_every_zone_and_nothing_else(world: Google) -> None:
    """Groups of instances' addresses without health check, rule or address; the annotation has their name and zones."""
    world.join("n3", "c")
    before = world.state()
    world.apply(alone(ports=(80, 443)))
    assert world.condition().status == "True"
    assert world.addresses() == []
    (name,) = world.objects("networkEndpointGroups")
    made = {path.split(" ")[0] for path, _ in world.state()} - {path.split(" ")[0] for path, _ in before}
    assert made == {f"{HOME}/zones/{REGION}-{zone}/networkEndpointGroups/{name}" for zone in "bc"}
    assert world.objects("networkEndpointGroups")[name]["networkEndpointType"] == "GCE_VM_IP"
    assert members(world) == {f"{REGION}-b": {"n1", "n2"}, f"{REGION}-c": {"n3"}}
    assert world.live().metadata.annotations[STATUS] == (
        f'{{"network_endpoint_groups":{{"0":"{name}"}},"zones":["{REGION}-b","{REGION}-c"]}}'
    )
    assert world.live().metadata.finalizers == ("lbctl.io/load-balancer-cleanup",)
    assert world.plans() == []
    world.delete("web")
    assert not world.exists()
    assert world.state() == before


def test_members_follow_the_nodes_and_a_group_that_may_be_in_use_stays(world: Google) -> None:
    """A zone that has lost its nodes keeps its group, without members and out of the annotation."""
    world.apply(alone())
    world.join("n3", "c")
    world.settle(60)
    assert members(world) == {f"{REGION}-b": {"n1", "n2"}, f"{REGION}-c": {"n3"}}
    assert told(world)["zones"] == [f"{REGION}-b", f"{REGION}-c"]
    world.see_node(None, "n3")
    world.settle(60)
    assert members(world) == {f"{REGION}-b": {"n1", "n2"}, f"{REGION}-c": set()}
    assert told(world)["zones"] == [f"{REGION}-b"]
    assert world.plans() == []


@pytest.mark.parametrize("kind", [CLASS, "networking.gke.io/l4-regional-internal"], ids=["alone", "internal"])
def test_without_any_node_members_stay(build: Build, kind: str) -> None:
    """A look-up has failed, not the cluster."""
    world = build()
    world.apply(service(load_balancer_class=kind))
    for name in ("n1", "n2"):
        world.see_node(None, name)
    world.settle(700)
    assert members(world) == {f"{REGION}-b": {"n1", "n2"}}
    assert world.condition().reason == "NoEligibleNodes"


def test_what_somebody_elses_balancer_uses_goes_once_it_is_free(world: Google) -> None:
    """The condition names who uses it; the balancer itself is not touched."""
    world.apply(alone())
    (name,) = world.objects("networkEndpointGroups")
    backend = world.compute.store.objects[f"{REGIONAL}/backendServices/{BYSTANDER}"]
    link = f"{ROOT}{HOME}/zones/{REGION}-b/networkEndpointGroups/{name}"
    backend["backends"] = [{"group": link, "balancingMode": "CONNECTION"}]
    world.others = world.bystanders()
    world.kube.delete("shop/web")
    world.settle(60)
    assert world.exists()
    assert BYSTANDER in world.condition().message
    backend["backends"] = []
    world.others = world.bystanders()
    world.settle(60)
    assert not world.exists()
    assert world.objects("networkEndpointGroups") == {}


@pytest.mark.parametrize(("policy", "most"), [("Cluster", 250), ("Local", 3000)])
def test_as_many_nodes_join_as_behind_an_external_balancer(build: Build, policy: str, most: int) -> None:
    """Upstream counts these groups as external, which may have more members."""
    names = [f"n{index:03d}" for index in range(251)]
    world = build(nodes=names)
    world.apply(alone(external_traffic_policy=policy, health_check_node_port=32100 if policy == "Local" else 0))
    assert len(members(world)[f"{REGION}-b"]) == min(most, len(names))


def test_what_only_a_balancer_could_do_is_told(world: Google) -> None:
    """Source ranges, and annotations of balancers."""
    wanted = alone(
        load_balancer_source_ranges=("10.0.0.0/8",),
        annotations={"cloud.google.com/network-tier": "Standard"},
    )
    world.apply(wanted)
    assert world.condition().status == "True"
    messages = {notice.message for _, notice in world.kube.events}
    assert "loadBalancerSourceRanges has no effect: the class asks for endpoint groups without a balancer" in messages
    assert "cloud.google.com/network-tier has no effect on a balancer of kind neg-only" in messages


def test_the_annotation_of_somebody_elses_groups_is_left_alone(world: Google) -> None:
    """Where the Service asks upstream's NEG controller for groups too, that one writes; so it does for other kinds."""
    asks = {"cloud.google.com/neg": '{"exposed_ports":{"80":{}}}', STATUS: "theirs"}
    world.apply(alone(annotations=asks))
    assert world.condition().status == "True"
    assert world.live().metadata.annotations[STATUS] == "theirs"


def test_balancers_of_other_kinds_keep_the_annotation_that_others_write(build: Build) -> None:
    """It tells of groups for an Ingress."""
    world = build()
    world.apply(service(annotations={STATUS: "theirs"}))
    assert world.condition().status == "True"
    assert world.live().metadata.annotations[STATUS] == "theirs"


def test_a_group_that_upstream_made_is_taken_over_as_it_is(world: Google) -> None:
    """Its description is another, which makes no difference."""
    world.apply(alone())
    path = next(p for p, b in world.compute.store.of("networkEndpointGroups") if b["name"] != BYSTANDER)
    world.compute.store.objects[path]["description"] = '{"cluster-uid":"x","service-name":"web","port":"0"}'
    before = world.state()
    world.crash()
    world.settle(60)
    assert (world.plans(), world.state()) == ([], before)


FRONT = "networking.gke.io/custom-forwarding-rule"


def put_in_front(world: Google, name: str, **rule) -> None:
    """Somebody makes a balancer before the groups; without a backend service of its own it has the bystander's."""
    rules, backends = f"{REGIONAL}/forwardingRules", f"{REGIONAL}/backendServices"
    links = [f"{ROOT}{path}" for path, b in world.compute.store.of("networkEndpointGroups") if b["name"] != BYSTANDER]
    check = {"healthChecks": [f"{ROOT}{REGIONAL}/healthChecks/{BYSTANDER}"]}
    backend = {"protocol": "TCP", "loadBalancingScheme": "EXTERNAL", "backends": [{"group": link} for link in links]}
    world.compute.store.put(f"{backends}/{name}", {**backend, **check})
    body = {"IPProtocol": "TCP", "loadBalancingScheme": "EXTERNAL", "portRange": "80-80"}
    world.compute.store.put(f"{rules}/{name}", {**body, "backendService": f"{ROOT}{backends}/{name}", **rule})


def verdict(world: Google) -> tuple[str, str]:
    """Status and reason of upstream's condition."""
    (found,) = [c for c in world.live().status.conditions if c.type == "ExternalIPProgrammed"]
    return found.status, found.reason


def test_addresses_of_the_rules_in_front_are_published(world: Google) -> None:
    """By name or URL, for as long as they lead to the Service's groups; nothing of theirs is touched."""
    world.apply(alone())
    assert (verdict(world), world.addresses()) == (("False", "NoForwardingRuleRef"), [])
    put_in_front(world, "one", IPAddress="203.0.113.7")
    put_in_front(world, "two", IPAddress="2001:db8::/96", IPProtocol="L3_DEFAULT")
    before = world.state()
    url = f"https://www.googleapis.com/compute/v1/{REGIONAL}/forwardingRules/two"
    world.clock.advance(60)
    world.annotate("web", {FRONT: f"one, {url}"})
    assert (verdict(world), world.addresses()) == (("True", "IPProgrammed"), ["203.0.113.7", "2001:db8::"])
    assert world.state() == before
    world.compute.store.drop(f"{REGIONAL}/forwardingRules/one")
    world.settle(1300)
    assert world.addresses() == ["2001:db8::"]
    told = [notice.message for _, notice in world.kube.events if notice.reason == "ForwardingRuleUnusable"]
    assert told == [f"regions/{REGION}/forwardingRules/one: there is no such forwarding rule in the balancers' region"]
    for name in ("one", "two"):
        world.compute.store.drop(f"{REGIONAL}/backendServices/{name}")
    world.edit("web", type="ClusterIP")
    assert (world.addresses(), world.live().status.conditions) == ([], ())


@pytest.mark.parametrize(
    ("rule", "reason", "told"),
    [
        ({"loadBalancingScheme": "INTERNAL"}, "UnsupportedLBType", "is INTERNAL, and only rules that are EXTERNAL"),
        ({"IPProtocol": "ESP"}, "InvalidForwardingRule", "is for ESP, and only rules for L3_DEFAULT or TCP or UDP"),
        ({"backendService": f"{ROOT}{REGIONAL}/backendServices/{BYSTANDER}"}, "InvalidForwardingRule", "none of the"),
        ({"backendService": f"{ROOT}{REGIONAL}/backendServices/gone"}, "InvalidForwardingRule", "none of the"),
    ],
)
def test_a_rule_that_does_not_lead_to_the_groups_gives_no_address(
    world: Google, rule: dict, reason: str, told: str
) -> None:
    """An Event says why; the groups are kept all the same."""
    world.apply(alone())
    put_in_front(world, "front", IPAddress="203.0.113.7", **rule)
    world.clock.advance(60)
    world.annotate("web", {FRONT: "front"})
    assert (verdict(world), world.addresses()) == (("False", reason), [])
    assert any(told in n.message for _, n in world.kube.events if n.reason == "ForwardingRuleUnusable")
    assert members(world) == {f"{REGION}-b": {"n1", "n2"}}


def test_ten_rules_count_and_the_others_are_named(world: Google) -> None:
    """The first by name, each time."""
    world.apply(alone())
    for number in range(11):
        put_in_front(world, f"f{number:02d}", IPAddress=f"203.0.113.{number + 1}")
    world.clock.advance(60)
    world.annotate("web", {FRONT: ",".join(f"f{number:02d}" for number in reversed(range(11)))})
    assert sorted(world.addresses()) == sorted(f"203.0.113.{number}" for number in range(1, 11))
    assert any("forwardingRules/f10: more than 10" in notice.message for _, notice in world.kube.events)


def test_calls_are_counted(world: Google) -> None:
    """Two writes for each zone to make it; one for the zone of a node that joins; one for each zone to remove it."""
    world.join("n3", "c")
    journal = world.compute.journal
    journal.clear()
    world.apply(alone())
    assert (journal.writes, journal.reads) == (4, 0)
    journal.clear()
    world.join("n4", "c")
    world.settle(60)
    assert (journal.writes, journal.reads) == (1, 0)
    journal.clear()
    world.settle(300)
    assert journal.writes == 0
    journal.clear()
    world.delete("web")
    assert (journal.writes, journal.reads) == (2, 0)


def put(world: Google) -> None:
    """Make the Service."""
    world.kube.put(alone())


def move(world: Google) -> None:
    """One node is exchanged for one in another zone."""
    world.see_node(None, "n2")
    world.join("n3", "c")


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("steps", [[put], [put, delete]], ids=["create", "delete"])
def test_a_crash_at_every_write_converges_to_the_same_end(build: Build, steps: list, before: bool) -> None:
    """Groups are made and removed once, and nobody else's."""

    def two_zones(**options):
        world = build(**options)
        world.join("n3", "c")
        return world

    crash_everywhere(f"alone {len(steps)}", two_zones, steps, before=before)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_answer_at_every_write_changes_nothing_in_the_end(build: Build, fault: str) -> None:
    """Lost, throttled, refused for a while: what was made is found again."""

    def two_zones(**options):
        world = build(**options)
        world.join("n3", "c")
        return world

    spoil_everywhere("alone 1", two_zones, [put], FAULTS[fault])
