"""Many Services cost few writes: one document each for the balancer and the security group, whoever asks."""

from __future__ import annotations

import pytest

from tests.azure.cluster import ADDRESSES, BALANCERS, GROUPS, Cluster, cluster
from tests.bench.azure import together
from tests.clouds.azure.cloud import Timing
from tests.clouds.azure.faults import Fault, Refuse
from tests.world import node, service

INTERNAL = {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
POOLS = f"{BALANCERS}/backendAddressPools"


def put(world: Cluster, count: int, *, first: int = 0, **options: object) -> None:
    """Create Services at once and let lbctl work."""
    for number in range(first, first + count):
        world.kube.put(service(f"s{number}", **options))
    world.settle(120)


def settled(world: Cluster) -> list[str]:
    """Names of the Services that have an address."""
    return [s.metadata.name for s in world.kube.services.values() if s.status.load_balancer.ingress]


@pytest.mark.spec("AZ-019")
@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_external_services_created_together_share_their_writes(seconds: float) -> None:
    """N external Services take N address writes, one of the balancer and one of the security group."""
    with cluster() as world:
        world.add_nodes("n1", "n2")
        world.azure.cloud.timing = Timing(by_type={"publicIPAddresses": seconds, "loadBalancers": 2 * seconds})
        world.server.journal.clear()
        put(world, 30)
        assert world.writes() == {f"{ADDRESSES}/write": 30, f"{BALANCERS}/write": 1, f"{GROUPS}/write": 1}
        assert len(settled(world)) == 30
        assert world.plans() == []


@pytest.mark.spec("AZ-019")
def test_addresses_that_are_ready_wait_a_little_for_their_neighbours() -> None:
    """Addresses that come two seconds apart are still put on the balancer in one write."""
    with cluster() as world:
        world.add_nodes("n1")
        world.azure.cloud.timing = Timing(by_type={"publicIPAddresses": 3.0})
        world.server.journal.clear()
        for number in range(10):
            world.kube.put(service(f"s{number}"))
            world.settle(0.25)
        world.settle(60)
        assert len(settled(world)) == 10
        assert world.writes()[f"{BALANCERS}/write"] == 1


@pytest.mark.spec("AZ-020", "AZ-067")
def test_internal_services_created_together_take_one_write() -> None:
    """N internal Services without source ranges take one write of the balancer, and none of the security group."""
    with cluster() as world:
        world.add_nodes("n1")
        world.server.journal.clear()
        put(world, 30, annotations=INTERNAL)
        assert world.writes() == {f"{BALANCERS}/write": 1}
        assert len(settled(world)) == 30
        assert world.plans() == []


@pytest.mark.spec("AZ-021")
def test_a_restart_over_many_services_takes_three_reads() -> None:
    """With everything as it should be, a fresh process reads three times and writes nothing."""
    with cluster() as world:
        world.add_nodes("n1")
        put(world, 40)
        world.server.journal.clear()
        world.crash()
        world.settle()
        counts = world.server.journal.counts()
        assert (counts.writes, counts.polls) == (0, 0)
        assert counts.by_action == {f"{BALANCERS}/read": 1, f"{ADDRESSES}/read": 1, f"{GROUPS}/read": 1}


@pytest.mark.spec("AZ-022")
def test_a_node_costs_one_write_a_pool() -> None:
    """A node that joins or leaves costs one write for each pool, and nothing else, whatever the number of Services."""
    with cluster() as world:
        world.add_nodes("n1")
        put(world, 10)
        put(world, 10, first=10, annotations=INTERNAL)
        put(world, 2, first=20, ip_families=("IPv4", "IPv6"), ip_family_policy="RequireDualStack")
        world.server.journal.clear()
        world.add_nodes("n2")
        assert world.writes() == {f"{POOLS}/write": 2}
        world.server.journal.clear()
        world.see_node(None, "n2")
        world.settle(60)
        assert world.writes() == {f"{POOLS}/write": 2}
        assert world.plans() == []


@pytest.mark.spec("AZ-032")
def test_a_quota_error_holds_back_one_service() -> None:
    """When the addresses run out, who got one is served and the others are told why."""
    with cluster() as world:
        world.add_nodes("n1")
        world.azure.cloud.quotas.public_ips = 3
        put(world, 4)
        assert len(settled(world)) == 3
        (late,) = set(world.kube.services) - {f"shop/{name}" for name in settled(world)}
        assert "QuotaExceeded" in world.kube.reasons(late)
        world.azure.cloud.quotas.public_ips = 10
        world.settle(700)
        assert len(settled(world)) == 4


@pytest.mark.spec("AZ-033", "AZ-034")
def test_one_culprit_of_many_is_found_by_halves() -> None:
    """A Service tag that Azure does not know fails its Service alone, in few writes, once."""
    with cluster() as world:
        world.add_nodes("n1")
        for number in range(15):
            world.kube.put(service(f"s{number}", ports=(8000 + number,)))
        bad = {"service.beta.kubernetes.io/azure-allowed-service-tags": "NoSuchTag"}
        world.kube.put(service("bad", ports=(9999,), annotations=bad))
        world.server.journal.clear()
        world.settle(120)
        assert len(settled(world)) >= 15
        assert len(world.security_rules()) == 15
        assert world.writes()[f"{GROUPS}/write"] <= 2 * 4 + 2
        assert "NoSuchTag" in str(world.kube.events)
        world.server.journal.clear()
        world.settle(3600)
        assert world.writes() == {}


@pytest.mark.spec("AZ-029")
def test_throttling_stops_every_write_for_as_long_as_it_says() -> None:
    """After a 429 with Retry-After 30 nothing is written for 30 seconds, and then everything is."""
    with cluster() as world:
        world.add_nodes("n1")
        world.server.faults.add(
            Fault(Refuse(429, "TooManyRequests", headers={"Retry-After": "30"}), action=f"{ADDRESSES}/write")
        )
        world.server.journal.clear()
        for number in range(3):
            world.kube.put(service(f"s{number}"))
        world.settle(25)
        assert sum(world.writes().values()) == 1
        world.settle(60)
        assert len(settled(world)) == 3


@pytest.mark.spec("AZ-030")
def test_a_busy_reference_is_no_throttling() -> None:
    """A 429 whose code is RetryableError delays its own object only."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service("a"))
        world.server.faults.add(Fault(Refuse(429, "RetryableError"), action=f"{BALANCERS}/write"))
        world.kube.put(service("b"))
        world.kube.put(service("c", annotations=INTERNAL))
        world.settle(20)
        assert set(settled(world)) == {"a", "b", "c"}


@pytest.mark.spec("AZ-031")
def test_a_busy_balancer_is_asked_again_later() -> None:
    """A 409 AnotherOperationInProgress is tried again after a pause, without reading the world each time."""
    with cluster() as world:
        world.add_nodes("n1")
        world.server.faults.add(Fault(Refuse(409, "AnotherOperationInProgress"), action=f"{BALANCERS}/write", times=3))
        world.server.journal.clear()
        world.apply(service())
        world.settle(60)
        assert world.addresses()
        assert world.server.journal.counts().by_action.get(f"{BALANCERS}/read", 0) <= 4


def test_nodes_are_members_by_name_and_address() -> None:
    """Pools of addresses hold each node's name and internal address."""
    with cluster() as world:
        world.see_node(node("n1"))
        world.settle()
        world.apply(service())
        (pool,) = world.parts("backendAddressPools").values()
        (member,) = pool["loadBalancerBackendAddresses"]
        assert member["name"] == "n1"


@pytest.mark.slow
@pytest.mark.spec("AZ-019", "AZ-022")
def test_hundreds_of_services_take_seconds_not_an_hour() -> None:
    """At real-life latencies and the published limits all are served in a minute, and no write runs into a limit."""
    figures = together(250, {})
    assert figures["seconds"] < 60
    assert figures["writes"] == {f"{ADDRESSES}/write": 250, f"{BALANCERS}/write": 1, f"{GROUPS}/write": 1}
    assert figures["refused_writes"] == 0
    assert figures["one_node_joins"] == {f"{POOLS}/write": 1}


def test_what_was_changed_by_hand_is_mended() -> None:
    """A rule that somebody removed is back after the next look, and nothing else was written."""
    with cluster() as world:
        world.add_nodes("n1")
        put(world, 2)
        found = world.azure.cloud.find(world.azure.id("loadBalancers", "kubernetes"))
        assert found is not None
        with world.azure.cloud.lock:
            world.azure.cloud.replace_properties(
                found, {**found.properties, "loadBalancingRules": found.properties["loadBalancingRules"][1:]}
            )
        world.server.journal.clear()
        world.settle(900)
        assert len(world.lb_rules()) == 2
        assert world.writes() == {f"{BALANCERS}/write": 1}
