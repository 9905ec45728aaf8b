"""A load balancer cannot be without a frontend: it goes with the last one, whoever else waits to come."""

from __future__ import annotations

import pytest

from tests.azure.cluster import cluster
from tests.world import service

MISSING = {"service.beta.kubernetes.io/azure-pip-name": "not-yet"}
NIC_POOLS = {"loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration"}


@pytest.mark.parametrize("config", [{}, NIC_POOLS], ids=["addresses", "interfaces"])
def test_a_service_leaves_while_another_waits_for_its_address(config: dict[str, str]) -> None:
    """The one that leaves is gone at once where members are addresses; the one that waits is served when it can be."""
    with cluster(config=config) as world:
        world.add_machines(world.azure.uniform_set(count=2))
        world.apply(service("leaves"))
        world.apply(service("waits", ports=(81,), annotations=MISSING))
        world.delete("leaves")
        world.settle(120)
        if not config:
            assert not world.exists("leaves"), world.kube.events
            assert world.balancer() is None
        world.azure.put_public_ip("not-yet")
        world.settle(180)
        assert not world.exists("leaves"), world.kube.events
        assert world.addresses("waits") == [world.azure.address(world.azure.id("publicIPAddresses", "not-yet"))]
        assert [rule["frontendPort"] for rule in world.lb_rules().values()] == [81]
        assert world.plans() == []
