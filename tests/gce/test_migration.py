"""From target pool to backend service, which upstream refuses: an explicit wish, and the address is kept."""

from __future__ import annotations

import pytest

from tests.gce.conftest import Build
from tests.world import service

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
