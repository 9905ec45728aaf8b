"""Two clusters with one security group and one resource group between them: neither takes anything of the other's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lbctl.driver import Cluster as Name
from tests.azure.cluster import Cluster, Time
from tests.clouds.azure.limits import UNLIMITED
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.world import World as Azure
from tests.world import service


@contextmanager
def two() -> Iterator[tuple[Cluster, Cluster]]:
    """Two processes of lbctl, each for its own cluster, on one subscription."""
    time = Time()
    with ArmServer(now=time, limits=UNLIMITED) as server:
        azure = Azure(server.cloud)
        one, other = (Cluster(server, azure, cluster=Name(name, f"id-of-{name}")) for name in ("kubernetes", "second"))
        time.read = one.clock.monotonic
        for number, world in enumerate((one, other)):
            world.settle()
            world.add_nodes(f"n{number}")
        yield one, other
        for world in (one, other):
            world.driver.close()
            assert not world.bugs


def destinations(world: Cluster) -> set[str]:
    """Every destination that the security group opens."""
    return {
        address
        for rule in world.security_rules().values()
        for address in (rule.get("destinationAddressPrefix"), *rule.get("destinationAddressPrefixes", ()))
        if address
    }


@pytest.mark.spec("AZ-014", "AZ-075")
def test_both_open_the_same_and_each_closes_its_own() -> None:
    """Services of both clusters share one rule; passes, restarts and deletions of one leave the other's destination."""
    with two() as (one, other):
        one.apply(service())
        other.apply(service("theirs"))
        one.apply(service("mine", ports=(81,)))
        for world in (one, other):
            world.crash()
            world.settle(700)
            assert world.plans() == []
        ours, theirs = {*one.addresses("web"), *one.addresses("mine")}, set(other.addresses("theirs"))
        assert destinations(one) == ours | theirs
        (shared,) = (rule for rule in one.security_rules().values() if rule["destinationPortRanges"] == ["80"])
        assert set(shared["destinationAddressPrefixes"]) == {*one.addresses("web"), *theirs}
        one.delete("web")
        one.delete("mine")
        one.settle(120)
        assert not one.kube.services, one.kube.events
        assert destinations(other) == theirs
        assert {address["tags"]["k8s-azure-cluster-name"] for address in other.public_ips().values()} == {"second"}
        assert (one.balancer(), other.balancer("second") is None) == (None, False)
        other.delete("theirs")
        other.settle(120)
        assert not other.kube.services, other.kube.events
        assert destinations(other) == set()


@pytest.mark.spec("AZ-026", "AZ-075")
def test_a_group_that_the_other_wrote_meanwhile_is_read_again() -> None:
    """Each writes on condition of what it read: the second is refused once, looks, and both changes are there."""
    with two() as (one, other):
        one.apply(service("a"))
        other.apply(service("b", ports=(81,)))
        one.apply(service("c", ports=(82,)))
        other.apply(service("d", ports=(83,)))
        wanted = {*one.addresses("a"), *one.addresses("c"), *other.addresses("b"), *other.addresses("d")}
        assert destinations(one) == wanted
        assert len(wanted) == 4
