"""Services that name further objects of the cluster: another Service whose pods serve too, an object with settings."""

from __future__ import annotations

import pytest

from lbctl.model.objects import Condition, CustomObject, ObjectMeta
from tests.clouds.memory import PREFIX, TIER_KNOWN, TIERS
from tests.world import NAMESPACE, change, endpoint_slice, service

READY = "lbctl.io/LoadBalancerReady"
CANARY = {PREFIX + "pods": "true", PREFIX + "also": "canary"}


def fields(cloud):
    """What the cloud holds of the only balancer."""
    (balancer,) = (thing for thing in cloud.things.values() if thing.kind == "balancer")
    return balancer.fields


def tier(bandwidth):
    """A Tier as its author writes it."""
    return CustomObject(metadata=ObjectMeta(name="gold", namespace=NAMESPACE), spec={"bandwidth": bandwidth})


@pytest.fixture
def canary(world):
    """A Service with one pod that sends to another Service's pod too, on lbctl."""
    world.see_slice(endpoint_slice("10.1.0.1"))
    world.see_slice(endpoint_slice("10.2.0.1", name="canary"))
    world.apply(service("canary", type="ClusterIP"))
    world.apply(service(annotations=CANARY))
    return world


def test_the_pods_of_a_service_that_is_named_are_targets(canary, cloud):
    """Of any type, with all that befalls its endpoints, and each time it is told as an update of targets."""
    assert fields(cloud)["targets"] == {"10.1.0.1", "10.2.0.1"}
    told = len(canary.reasons())
    canary.see_slice(endpoint_slice("10.2.0.2", "10.2.0.3", name="canary"))
    assert fields(cloud)["targets"] == {"10.1.0.1", "10.2.0.2", "10.2.0.3"}
    assert set(canary.reasons()[told:]) == {"UpdatedLoadBalancer"}


def test_what_serves_goes_on_while_the_service_that_is_named_is_not_there(canary, cloud):
    """The condition says what is missing; when it is created again, its pods serve without a word from anybody."""
    canary.delete("canary")
    canary.settle(120)
    assert fields(cloud)["targets"] == {"10.1.0.1", "10.2.0.1"}
    assert "there is no Service canary" in canary.condition().message
    canary.see_slice(endpoint_slice("10.2.0.9", name="canary"))
    canary.apply(service("canary", type="ClusterIP"))
    assert fields(cloud)["targets"] == {"10.1.0.1", "10.2.0.9"}
    assert canary.condition().status == "True"


def test_an_invalid_change_leaves_the_references_of_the_wish_in_force(canary, cloud):
    """Targets of both Services go on to follow their pods while the newest annotations cannot be read."""
    canary.annotate("web", {PREFIX + "pods": "true", PREFIX + "also": "nobody", PREFIX + "timeout": "soon"})
    canary.see_slice(endpoint_slice("10.2.0.7", name="canary"))
    assert fields(cloud)["targets"] == {"10.1.0.1", "10.2.0.7"}


def test_a_service_that_is_named_no_more_moves_nothing(canary, cloud):
    """Its endpoints may come and go: nobody looks."""
    canary.annotate("web", {PREFIX + "pods": "true"})
    assert fields(cloud)["targets"] == {"10.1.0.1"}
    cloud.calls.clear()
    canary.see_slice(endpoint_slice("10.2.0.8", name="canary"))
    assert not cloud.calls


def test_a_service_with_a_balancer_of_its_own_can_be_named_too(canary, cloud):
    """It keeps its balancer, and serves on the other's as well, also once it has become another type."""
    canary.edit("canary", type="LoadBalancer")
    canary.see_slice(endpoint_slice("10.2.0.5", name="canary"))
    shared = [t.fields["targets"] for t in cloud.things.values() if "10.1.0.1" in t.fields.get("targets", ())]
    assert shared == [{"10.1.0.1", "10.2.0.5"}]
    canary.edit("canary", type="ClusterIP")
    canary.see_slice(endpoint_slice("10.2.0.6", name="canary"))
    assert fields(cloud)["targets"] == {"10.1.0.1", "10.2.0.6"}


def test_a_watch_that_is_late_to_let_go_takes_nothing_away(canary, cloud):
    """One watch has the Services with balancers and one the others: a change of type is told by both, in any order."""
    inner = canary.live("canary")
    canary.edit("canary", type="LoadBalancer")
    canary.controller.see_referred("services", inner, None)
    canary.see_slice(endpoint_slice("10.2.0.4", name="canary"))
    shared = [t.fields["targets"] for t in cloud.things.values() if "10.1.0.1" in t.fields.get("targets", ())]
    assert shared == [{"10.1.0.1", "10.2.0.4"}]


def test_an_object_of_a_custom_kind_is_part_of_the_wish(world, cloud):
    """Made, changed and deleted: the balancer follows, and it is told as a change of the Service is."""
    world.apply(service(annotations={PREFIX + "tier": "gold"}))
    assert fields(cloud)["bandwidth"] == 0
    told = len(world.reasons())
    world.controller.see_referred(TIERS, None, tier(10))
    world.settle()
    assert fields(cloud)["bandwidth"] == 10
    assert world.reasons()[told:] == ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]
    world.controller.see_referred(TIERS, tier(10), tier(20))
    world.settle()
    assert fields(cloud)["bandwidth"] == 20
    world.controller.see_referred(TIERS, tier(20), None)
    world.settle()
    assert fields(cloud)["bandwidth"] == 0


def test_upstreams_own_condition_is_told_beside_ours_and_goes_with_the_balancer(world):
    """It turns with what it tells of; another controller's condition stays through all of it."""

    def told():
        found = {c.type: c for c in world.live().status.conditions}
        known = found.get(TIER_KNOWN)
        return set(found), (known.status, known.reason, known.message) if known else None

    foreign = Condition(type="Foreign", status="True", reason="Theirs", last_transition_time="2026-01-01T00:00:00Z")
    wanted = service(annotations={PREFIX + "tier": "gold"})
    world.apply(change(wanted, status=change(wanted.status, conditions=(foreign,))))
    assert told() == ({"Foreign", READY, TIER_KNOWN}, ("False", "Missing", "tier gold"))
    world.controller.see_referred(TIERS, None, tier(10))
    world.settle()
    assert told()[1] == ("True", "Found", "tier gold")
    world.edit("web", type="ClusterIP")
    assert told() == ({"Foreign"}, None)


def test_a_restart_writes_nothing_for_references(canary, cloud):
    """What Services refer to is read before anything is planned."""
    cloud.calls.clear()
    canary.crash()
    canary.settle(60)
    assert set(cloud.calls) == {"list"}
