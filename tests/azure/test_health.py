"""How many targets of a Service are healthy, as `lbctl status --targets` asks."""

from __future__ import annotations

from typing import Any

import pytest

from lbctl.driver import Health, TellsHealth
from lbctl.engine.planning import build_world
from lbctl.model.intent import identity_of
from tests.azure.cluster import Cluster, cluster
from tests.clouds.azure.limits import PUBLISHED, UNLIMITED
from tests.world import change, service

NIC_POOLS = {"loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration"}
BOTH = {"ip_families": ("IPv4", "IPv6"), "ip_family_policy": "RequireDualStack"}
HEALTH = "Microsoft.Network/loadBalancers/loadBalancingRules/health/action"


def told(world: Cluster, *names: str) -> dict[str, Health]:
    """What the driver tells of these Services, by name."""
    assert isinstance(world.driver, TellsHealth)
    known = build_world(world.account, world.account.services.values(), cluster=world.cluster, now=world.clock.now())
    found = world.driver.health([identity_of(world.live(name)) for name in names], known)
    return {identity.name: health for identity, health in found.items()}


@pytest.mark.parametrize("config", [{}, NIC_POOLS], ids=["addresses", "interfaces"])
def test_each_member_counts_once_a_port_and_one_that_fails_its_probe_is_not_healthy(config: dict[str, Any]) -> None:
    """Two machines behind two ports are four targets; one machine that answers no probe takes two of them away."""
    with cluster(config=config) as world:
        machines = world.azure.flex_set(count=2)
        world.add_machines(machines)
        world.apply(service(ports=(80, 81)))
        world.apply(service("other", ports=(90,)))
        world.settle(60)
        assert told(world, "web") == {"web": Health(4, 4)}
        sick = world.azure.id("networkInterfaces", f"{machines[0].name}-nic")
        configuration = world.azure.state()[sick]["properties"]["ipConfigurations"][0]["id"]
        world.server.arm.health.sick |= {machines[0].addresses[0], configuration}
        assert told(world, "web", "other") == {"web": Health(2, 4), "other": Health(1, 2)}


def test_both_families_count() -> None:
    """Each family has a rule and a pool of its own."""
    with cluster() as world:
        world.add_machines(world.azure.flex_set(count=2))
        world.apply(service(**BOTH))
        assert told(world, "web") == {"web": Health(4, 4)}


def test_what_no_probe_looks_at_is_not_told() -> None:
    """A Service of UDP alone has no probe: nothing is claimed of its targets, and nothing is asked."""
    with cluster() as world:
        world.add_nodes("n1")
        plain = service()
        ports = tuple(change(port, protocol="UDP") for port in plain.spec.ports)
        world.apply(change(plain, spec=change(plain.spec, ports=ports)))
        world.server.journal.clear()
        assert told(world, "web") == {}
        assert list(world.server.journal.calls) == []


def test_what_went_meanwhile_is_not_told_and_no_error() -> None:
    """A balancer that somebody removed behind our back has no targets."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service())
        balancer = world.azure.cloud.find(world.azure.id("loadBalancers", "kubernetes"))
        assert balancer is not None
        world.azure.cloud.remove(balancer)
        assert told(world, "web") == {}


def test_many_are_asked_within_the_rate_that_azure_allows() -> None:
    """260 rules are more than may be asked at once: the rest waits its turn, and all are told."""
    with cluster(limits=UNLIMITED) as world:
        world.add_nodes("n1")
        names = [f"s{number}" for number in range(26)]
        for name in names:
            world.kube.put(service(name, ports=tuple(range(80, 90))))
        world.settle(60)
        world.server.arm.throttle.limits = PUBLISHED
        world.server.journal.clear()
        assert told(world, *names) == dict.fromkeys(names, Health(10, 10))
        asked = [call for call in world.server.journal.calls if call.action == HEALTH]
        assert len([call for call in asked if call.status == 202]) == 260
