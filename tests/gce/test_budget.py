"""How many calls things cost, counted by the cloud; polls of running operations are counted apart."""

from __future__ import annotations

import pytest

from tests.clouds.gce.world import Google
from tests.gce.conftest import Build
from tests.world import service


@pytest.fixture
def served(build: Build) -> Google:
    """A world with one Service, so that what the cluster shares is there."""
    world = build()
    world.apply(service("first", ports=(8000,)))
    world.compute.journal.clear()
    return world


@pytest.mark.spec("GCE-095")
def test_a_new_service_costs_three_writes_and_one_read(served: Google) -> None:
    """Backend service with its backends, forwarding rule and its read-back, firewall rule: with polls seven calls."""
    served.apply(service())
    journal = served.compute.journal
    assert served.condition().status == "True"
    assert (journal.writes, journal.reads, journal.polls) == (3, 1, 3)


@pytest.mark.spec("GCE-096", "GCE-090")
def test_a_deletion_costs_three_writes_and_nothing_in_vain(served: Google) -> None:
    """Forwarding rule, backend service, firewall rule: with polls six calls, none for what is not there."""
    served.apply(service())
    served.compute.journal.clear()
    served.delete("web")
    journal = served.compute.journal
    assert not served.exists()
    assert (journal.writes, journal.reads) == (3, 0)
    assert len(journal.calls) <= 6


@pytest.mark.spec("GCE-097")
def test_looking_at_a_hundred_services_costs_nine_lists_and_one_a_zone(build: Build) -> None:
    """A snapshot costs the same for one Service and for a hundred, and changes nothing."""
    world = build()
    world.join("n3", "c")
    for index in range(100):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle(120)
    assert {world.condition(f"s{index}").status for index in range(100)} == {"True"}
    world.compute.journal.clear()
    world.crash()
    world.settle(60)
    assert world.compute.journal.writes == 0
    assert len(world.compute.journal.calls) <= 9 + 2


@pytest.mark.spec("GCE-098", "GCE-062")
def test_a_node_costs_one_write_in_its_zone_whatever_the_number_of_services(build: Build) -> None:
    """All Services share the zone's group: one call adds the node, one takes it out."""
    world = build()
    for index in range(30):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle(120)
    world.compute.journal.clear()
    world.join("n9")
    world.settle(60)
    assert world.members() == {"n1", "n2", "n9"}
    assert world.compute.journal.counts["instanceGroups.addInstances"] == 1
    assert (world.compute.journal.writes, world.compute.journal.reads) == (1, 0)
    world.compute.journal.clear()
    world.see_node(None, "n9")
    world.settle(60)
    assert (world.compute.journal.writes, world.compute.journal.reads) == (1, 0)


def test_a_hundred_operations_are_asked_about_in_a_few_calls(build: Build) -> None:
    """Many pending operations cost one list call for forty of them."""
    world = build()
    for index in range(40):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle(120)
    assert world.compute.journal.polls <= 40
