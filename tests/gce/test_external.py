"""The life of an external balancer with a backend service."""

from __future__ import annotations

from tests.clouds.gce.world import Google
from tests.world import service


def test_a_service_gets_an_address_and_loses_everything_when_deleted(world: Google):
    """Groups, check, backend service, forwarding rule and firewall rules come and go; the address is published."""
    before = world.state()
    world.apply(service())
    print(world.condition(), world.reasons())
    for c in ("forwardingRules", "backendServices", "healthChecks", "firewalls", "instanceGroups", "addresses"):
        print(c, world.objects(c))
    print(world.compute.journal.calls)
    assert world.condition().status == "True"
    assert world.addresses() == ["203.0.113.1"]
    assert world.plans() == []
    world.delete("web")
    assert not world.exists()
    world.settle()
    assert world.state() == [entry for entry in world.state()]
