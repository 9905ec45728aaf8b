"""From target pool to backend service, which upstream refuses: an explicit wish, and the address is kept."""

from __future__ import annotations

import pytest

from lbctl.plan.actions import Hazard
from tests.gce.conftest import Build
from tests.world import change, service

MIGRATE = {"lbctl.io/gce-target-pool": "migrate"}


def test_a_target_pool_is_exchanged_for_a_backend_service_with_the_same_address(build: Build) -> None:
    """The pool, its check and its rules are gone; taking the wish back changes nothing; deletion leaves nothing."""
    world = build(backend_service_default=False)
    before = world.state()
    world.apply(service())
    address = world.addresses()
    assert len(world.objects("targetPools")) == 1
    world.annotate("web", MIGRATE)
    world.settle(60)
    assert world.addresses() == address
    (rule,) = world.objects("forwardingRules").values()
    assert "backendService" in rule
    assert rule["IPAddress"] == address[0]
    assert world.objects("targetPools") == world.objects("httpHealthChecks") == world.objects("addresses") == {}
    assert world.plans() == []
    writes = world.compute.journal.writes
    world.annotate("web", {})
    world.settle(60)
    world.crash()
    world.settle(60)
    assert world.compute.journal.writes == writes
    world.delete("web")
    world.settle(60)
    assert world.state() == before


def test_the_exchange_is_planned_openly_and_holds_the_address_all_the_way(build: Build) -> None:
    """The plan says that the rule is recreated and its address kept; an address reserves it whenever no rule has it."""
    world = build(backend_service_default=False)
    world.apply(service())
    (address,) = world.addresses()
    world.kube.listeners.clear()
    live = world.live()
    world.kube.services[live.key] = change(live, metadata=change(live.metadata, annotations=MIGRATE))
    world.crash()
    world.do(world.controller.next_work())
    (plan,) = [plan for plan in world.plans() if plan.scope.kind == "balancer"]
    reasons = [step.why for action in plan.actions for step in action.steps]
    assert any("recreated, address kept" in why for why in reasons)
    assert max(action.hazard for action in plan.actions) is Hazard.INTERRUPTS
    assert plan.held == ()
    lost: list[str] = []

    def look(target: str) -> None:
        rules = [rule["IPAddress"] for rule in world.objects("forwardingRules").values()]
        held = [entry["address"] for entry in world.objects("addresses").values()]
        lost.extend([target] if address not in (*rules, *held) else [])

    world.compute.operations.after = look
    world.settle(120)
    assert lost == []
    assert "backendService" in next(iter(world.objects("forwardingRules").values()))
    assert world.addresses() == [address]
    assert world.objects("addresses") == {}


@pytest.mark.spec("GCE-006")
def test_upstreams_annotation_does_not_migrate(build: Build) -> None:
    """A finalizer of the target pool beats it, and nothing in the cloud is touched."""
    world = build(backend_service_default=False)
    world.apply(service())
    before = world.state()
    world.annotate("web", {"cloud.google.com/l4-rbs": "enabled"})
    world.settle(60)
    assert world.state() == before
    assert "CanNotMigrateTargetPoolToRBS" in world.reasons()
