"""How many calls things cost, counted by the cloud; polls of running operations are counted apart."""

from __future__ import annotations

import json

import pytest

from lbctl.model.objects import LoadBalancerStatus
from lbctl_gce.names import L4Names, balancer_name
from tests.clouds.gce.errors import Refusal
from tests.clouds.gce.faults import Fault
from tests.clouds.gce.world import UID, Google
from tests.gce.conftest import Build
from tests.world import change, service

NAMES = L4Names.of(UID)


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
    assert len(world.compute.journal.calls) == 9 + 2


def lay_services(world: Google, number: int) -> None:
    """Many more Services like `s0`, with their objects in the cloud, as if they had always been there."""
    store, first = world.compute.store, world.live("s0")
    pattern = {path: body for path, body in store.objects.items() if "shop-s0" in path or "/a0000" in path}
    old = (balancer_name(first.metadata.uid), NAMES.backend("shop", "s0"))
    address = world.addresses("s0")[0]
    for index in range(1, number):
        name, uid, ip = f"s{index}", f"{index:08x}-0000-4000-9000-000000000000", f"198.18.{index // 250}.{index % 250}"
        new = (balancer_name(uid), NAMES.backend("shop", name))
        for path, body in pattern.items():
            text = json.dumps([path, body]).replace("shop/s0", f"shop/{name}").replace(address, ip)
            for before, after in zip(old, new, strict=True):
                text = text.replace(before, after)
            store.put(*json.loads(text))
        metadata = change(first.metadata, name=name, uid=uid)
        ingress = (change(first.status.load_balancer.ingress[0], ip=ip),)
        status = change(first.status, load_balancer=LoadBalancerStatus(ingress=ingress))
        world.kube.overwrite(change(first, metadata=metadata, status=status))


@pytest.mark.slow
@pytest.mark.spec("GCE-098", "GCE-062")
def test_a_node_of_a_thousand_services_costs_one_call_in_its_zone(build: Build) -> None:
    """Joining in one of two zones: a call there, none elsewhere; the same when it leaves. A restart writes nothing."""
    world = build()
    world.join("n3", "c")
    world.apply(service("s0"))
    world.kube.listeners.clear()
    lay_services(world, 1000)
    world.compute.journal.clear()
    world.crash()
    world.settle(60)
    lists, more_pages, zones = 9, 3 * 2, 2
    assert (world.compute.journal.writes, world.compute.journal.reads) == (0, lists + more_pages + zones)
    assert {world.condition(f"s{index}").status for index in range(1000)} == {"True"}
    for act in (lambda: world.join("n9", "c"), lambda: world.see_node(None, "n9")):
        world.compute.journal.clear()
        act()
        world.settle(60)
        assert (world.compute.journal.writes, world.compute.journal.reads) == (1, 0)
    assert world.members("c") == {"n3"}


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


def test_a_restart_with_endpoint_groups_costs_one_list_for_each_group(build: Build) -> None:
    """Nine lists beside them, no write; after a conflict of one Service only its own groups are listed."""
    world = build(subsetting=True)
    world.join("n3", "c")
    inside = {"networking.gke.io/load-balancer-type": "Internal"}
    for index in range(10):
        world.kube.put(service(f"s{index}", ports=(1000 + index,), annotations=inside))
    world.settle(120)
    assert {world.condition(f"s{index}").status for index in range(10)} == {"True"}
    world.compute.journal.clear()
    world.crash()
    world.settle(60)
    groups = world.compute.journal.counts["networkEndpointGroups.listNetworkEndpoints"]
    assert (groups, world.compute.journal.reads, world.compute.journal.writes) == (10 * 2, 9 + 10 * 2, 0)
    world.compute.journal.clear()
    stale = Refusal(412, "conditionNotMet", "Invalid fingerprint.")
    world.compute.faults.append(Fault("regionBackendServices.patch", stale))
    world.edit("s3", session_affinity="ClientIP")
    world.settle(60)
    fingerprints = 2
    assert world.condition("s3").status == "True"
    assert world.compute.journal.reads == 9 + 2 + fingerprints
    assert world.plans() == []


def test_a_hundred_operations_are_asked_about_in_a_few_calls(build: Build) -> None:
    """Many pending operations cost one list call for forty of them."""
    world = build()
    for index in range(40):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle(120)
    assert world.compute.journal.polls <= 40
