"""Addresses: kept while a forwarding rule is recreated, held back before they change, never taken from users."""

from __future__ import annotations

import pytest

from lbctl.plan.actions import Hazard
from tests.clouds.gce.store import ROOT
from tests.clouds.gce.world import REGIONAL, Google
from tests.gce.conftest import Build
from tests.world import change, service

INTERNAL = {"networking.gke.io/load-balancer-type": "Internal"}
NAMED = "networking.gke.io/load-balancer-ip-addresses"
TIER = "cloud.google.com/network-tier"
SUBNET = "networking.gke.io/internal-load-balancer-subnet"


def reserve(world: Google, name: str, address: str, **fields: str) -> str:
    """A user reserves an address."""
    body = {"address": address, "addressType": "EXTERNAL", "networkTier": "PREMIUM", "status": "RESERVED", **fields}
    world.compute.store.put(f"{REGIONAL}/addresses/{name}", body)
    return address


def rule(world: Google) -> dict:
    """The only forwarding rule that is not somebody else's."""
    (found,) = world.objects("forwardingRules").values()
    return found


@pytest.mark.spec("GCE-025")
def test_a_recreated_rule_keeps_its_address_by_holding_it(world: Google) -> None:
    """From before the deletion until after the read-back an address with that number exists; in the end it is free."""
    world.apply(service())
    address = rule(world)["IPAddress"]
    held = []

    def look(call: str, _number: int) -> None:
        if call.startswith("forwardingRules."):
            held.append([body["address"] for body in world.objects("addresses").values()])

    world.before = look
    world.edit("web", ports=service(ports=(80, 443)).spec.ports)
    assert held == [[address], [address]]
    assert rule(world)["IPAddress"] == address
    assert world.objects("addresses") == {}


def test_the_plan_says_that_the_address_is_kept(world: Google) -> None:
    """A person who reads the plan sees what becomes of the address."""
    world.apply(service())
    world.kube.listeners = []
    live = world.live()
    world.kube.services[live.key] = change(live, spec=service(ports=(80, 443)).spec)
    world.crash()
    work = world.controller.next_work()
    world.do(work)
    (plan,) = [plan for plan in world.plans() if plan.scope.kind == "balancer"]
    reasons = [step.why for action in plan.actions for step in action.steps]
    assert any("recreated, address kept" in why for why in reasons)
    assert max(action.hazard for action in plan.actions) is Hazard.INTERRUPTS


@pytest.mark.spec("GCE-034")
def test_a_change_of_tier_is_held_because_the_address_would_change(world: Google) -> None:
    """Nothing is touched until it is approved; then the new address is of the new tier."""
    world.apply(service())
    before = rule(world)
    world.annotate("web", {TIER: "Standard"})
    assert rule(world) == before
    assert world.condition().reason == "PlanHeld"
    assert "ADDRESS CHANGES" in world.condition().message
    digest = world.condition().message.rpartition("=")[2]
    world.annotate("web", {TIER: "Standard", "lbctl.io/approve": digest})
    world.settle(60)
    assert rule(world)["networkTier"] == "STANDARD"
    assert rule(world)["IPAddress"] != before["IPAddress"]
    assert world.addresses() == [rule(world)["IPAddress"]]


@pytest.mark.spec("GCE-035")
def test_a_change_of_subnet_is_held_because_the_address_would_change(world: Google) -> None:
    """Approved, the new rule is in the new subnet."""
    world.apply(service(annotations=INTERNAL))
    before = rule(world)
    assert before["subnetwork"].endswith("/default")
    wanted = {**INTERNAL, SUBNET: "other"}
    world.annotate("web", wanted)
    assert rule(world) == before
    assert "ADDRESS CHANGES" in world.condition().message
    world.annotate("web", {**wanted, "lbctl.io/approve": world.condition().message.rpartition("=")[2]})
    world.settle(60)
    assert rule(world)["subnetwork"].endswith("/other")
    assert rule(world)["IPAddress"].startswith("10.2.")


@pytest.mark.spec("GCE-027")
def test_a_users_address_is_used_and_never_deleted(world: Google) -> None:
    """Neither a recreation nor the Service's deletion touches it."""
    address = reserve(world, "mine", "203.0.113.77")
    world.apply(service(load_balancer_ip=address))
    assert world.addresses() == [address]
    world.edit("web", ports=service(ports=(80, 443)).spec.ports)
    assert world.addresses() == [address]
    assert set(world.objects("addresses")) == {"mine"}
    world.delete("web")
    assert set(world.objects("addresses")) == {"mine"}


@pytest.mark.spec("GCE-028")
def test_an_address_that_is_neither_reserved_nor_ours_is_refused(world: Google) -> None:
    """The condition says so and nothing is made for the Service."""
    world.apply(service(load_balancer_ip="203.0.113.99"))
    assert world.condition().reason == "InvalidService"
    assert "neither reserved" in world.condition().message
    assert world.compute.journal.writes == 0


@pytest.mark.spec("GCE-029")
def test_two_services_share_one_address_of_the_user(world: Google) -> None:
    """One serves TCP, the other UDP."""
    address = reserve(world, "mine", "203.0.113.78")
    world.apply(service(load_balancer_ip=address))
    wanted = service("other", load_balancer_ip=address)
    udp = tuple(change(port, protocol="UDP") for port in wanted.spec.ports)
    world.apply(change(wanted, spec=change(wanted.spec, ports=udp)))
    assert world.addresses("web") == world.addresses("other") == [address]


@pytest.mark.spec("GCE-030")
def test_an_unknown_address_name_is_refused(world: Google) -> None:
    """Upstream would silently use an ephemeral address."""
    world.apply(service(annotations={NAMED: "nowhere"}))
    assert world.condition().reason == "InvalidService"
    assert "nowhere" in world.condition().message
    assert world.compute.journal.writes == 0


@pytest.mark.spec("GCE-031")
def test_third_and_later_address_names_are_ignored_with_a_warning(world: Google) -> None:
    """Two are used, one for each family."""
    address = reserve(world, "one", "203.0.113.81")
    reserve(world, "two", "203.0.113.82")
    world.apply(service(annotations={NAMED: "one, two, three"}))
    assert world.addresses() == [address]
    assert any("three" in notice.message for _, notice in world.kube.events)


@pytest.mark.spec("GCE-032")
def test_taking_the_wish_for_an_address_back_keeps_the_address(world: Google) -> None:
    """The Service goes on with what it has."""
    address = reserve(world, "mine", "203.0.113.79")
    world.apply(service(load_balancer_ip=address))
    world.edit("web", load_balancer_ip=None)
    assert world.addresses() == [address]
    assert world.condition().status == "True"
    assert world.plans() == []


@pytest.mark.spec("GCE-033")
def test_an_address_of_another_tier_is_refused_naming_both(world: Google) -> None:
    """The message has both tiers."""
    address = reserve(world, "mine", "203.0.113.80", networkTier="STANDARD")
    world.apply(service(load_balancer_ip=address))
    assert world.condition().reason == "InvalidService"
    assert "STANDARD" in world.condition().message
    assert "PREMIUM" in world.condition().message
    assert world.compute.journal.writes == 0


@pytest.mark.spec("GCE-036")
def test_addresses_are_compared_as_values(world: Google) -> None:
    """A reserved 203.0.113.8 is not taken for 203.0.113.80 or the like."""
    reserve(world, "near", "203.0.113.80")
    world.apply(service(load_balancer_ip="203.0.113.8"))
    assert world.condition().reason == "InvalidService"


@pytest.mark.spec("GCE-036")
@pytest.mark.parametrize("inside", [False, True], ids=["external", "internal"])
def test_an_address_that_somebody_reserved_meanwhile_is_used_as_it_is(world: Google, inside: bool) -> None:
    """The hold is refused, 400 outside and 409 inside; the address is found by its number, kept, and left theirs."""
    world.apply(service(annotations=INTERNAL if inside else {}))
    (address,) = world.addresses()
    world.clock.advance(60)
    reserve(world, "promoted", address, addressType="INTERNAL" if inside else "EXTERNAL")
    reserve(world, "similar", address[:-1] if inside else f"{address}1")
    world.edit("web", ports=service(ports=(80, 443)).spec.ports)
    world.settle(120)
    assert world.condition().status == "True", world.condition()
    assert world.addresses() == [address]
    assert len(rule(world).get("ports", ())) == 2 or rule(world)["portRange"] == "80-443"
    assert set(world.objects("addresses")) == {"promoted", "similar"}


def test_an_internal_address_of_the_subnet_may_be_asked_for(world: Google) -> None:
    """It need not be reserved, and is kept."""
    world.apply(service(annotations=INTERNAL, load_balancer_ip="10.1.0.200"))
    assert world.addresses() == ["10.1.0.200"]


@pytest.mark.spec("GCE-092")
def test_from_external_to_internal_and_back_leaves_nothing(build: Build) -> None:
    """The address changes as the Service asks, and the objects of the former kind go."""
    world = build()
    before = world.state()
    world.apply(service())
    world.annotate("web", INTERNAL)
    world.settle(60)
    assert world.addresses()[0].startswith("10.1.")
    assert len(world.objects("forwardingRules")) == 1
    world.annotate("web", {})
    world.settle(60)
    assert world.addresses()[0].startswith("203.")
    assert len(world.objects("backendServices")) == 1
    world.delete("web")
    world.settle(60)
    assert world.state() == before


@pytest.mark.spec("GCE-017")
def test_a_rule_of_our_name_that_another_service_claims_is_left_alone(world: Google) -> None:
    """It is reported, not changed."""
    backend = f"{REGIONAL}/backendServices/somebody-elses"
    body = {
        "IPAddress": "203.0.113.200",
        "IPProtocol": "TCP",
        "portRange": "1-2",
        "loadBalancingScheme": "EXTERNAL",
        "backendService": ROOT + backend,
        "description": '{"kubernetes.io/service-name":"other/thing"}',
    }
    path = f"{REGIONAL}/forwardingRules/a0000000100004000800000000000000"
    world.compute.store.put(path, body)
    kept = world.compute.store.get(path)
    world.apply(service())
    world.settle(700)
    assert world.compute.store.get(path) == kept
    assert world.condition().reason == "NotOurs"


@pytest.mark.spec("GCE-037")
def test_an_external_ipv6_rule_has_its_length_and_any_spelling_of_it(world: Google) -> None:
    """The address is a /96; another spelling of the same is no difference, and the length is not published."""
    world.apply(service(ip_families=("IPv6",), ip_family_policy="SingleStack"))
    (found,) = world.objects("forwardingRules").values()
    assert found["IPAddress"].endswith("/96")
    address = found["IPAddress"].removesuffix("/96")
    assert world.addresses() == [address]
    path = f"{REGIONAL}/forwardingRules/{found['name']}"
    long = found["IPAddress"].replace("2600:1900:4000:", "2600:1900:4000:000")
    world.compute.store.objects[path]["IPAddress"] = long
    assert world.plans() == []
    world.edit("web", ports=service(ports=(80, 443)).spec.ports)
    world.settle(60)
    (again,) = world.objects("forwardingRules").values()
    assert again["IPAddress"] == f"{address}/96"
    assert again["portRange"] == "80-443"
    assert world.addresses() == [address]


def test_two_families_have_an_address_each(build: Build) -> None:
    """One forwarding rule and one firewall rule each; the first address stays when the second comes."""
    world = build()
    world.apply(service())
    first = world.addresses()
    world.edit("web", ip_families=("IPv4", "IPv6"), ip_family_policy="PreferDualStack")
    world.settle(60)
    assert world.addresses()[0] == first[0]
    assert ":" in world.addresses()[1]
    assert world.plans() == []
    world.edit("web", ip_families=("IPv4",), ip_family_policy="SingleStack")
    world.settle(60)
    assert world.addresses() == first
    assert len(world.objects("forwardingRules")) == 1
