"""Other writers, refusals and lost answers: what happened is looked at, and nothing is written twice or lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.azure.cluster import ADDRESSES, BALANCERS, GROUPS, Cluster, cluster
from tests.clouds.azure.access import Principal
from tests.clouds.azure.cloud import Timing
from tests.clouds.azure.faults import Drop, Fault, Refuse
from tests.clouds.azure.recording import Writer
from tests.clouds.azure.server import TOKEN
from tests.world import service


@pytest.fixture
def world() -> Iterator[Cluster]:
    """A cluster with a node and one Service."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service("first"))
        yield world


@pytest.mark.spec("AZ-026")
def test_a_foreign_change_in_between_is_kept(world: Cluster) -> None:
    """Somebody adds a pool between our read and our write: both changes are there in the end."""
    Writer(world.azure, "kubernetes").add({"backendAddressPools": [{"name": "theirs"}]})
    world.server.journal.clear()
    world.apply(service("second", ports=(81,)))
    statuses = [call.status for call in world.server.journal.calls if call.action == f"{BALANCERS}/write"]
    assert statuses == [412, 200]
    assert "theirs" in world.parts("backendAddressPools")
    assert len(world.lb_rules()) == 2


@pytest.mark.spec("AZ-027")
def test_an_endless_second_writer_is_reported(world: Cluster) -> None:
    """After five conflicts in a row the batch backs off and an Event tells why."""
    world.server.faults.add(Fault(Refuse(412, "PreconditionFailed"), action=f"{BALANCERS}/write", times=50))
    world.server.journal.clear()
    world.kube.put(service("second", ports=(81,)))
    world.settle(4)
    refused = [call for call in world.server.journal.calls if call.status == 412]
    assert 5 <= len(refused) <= 8, "a pause has to follow the fifth"
    assert any("PreconditionFailed" in notice.message for key, notice in world.kube.events if key == "shop/second")


@pytest.mark.spec("AZ-028")
def test_a_superseded_write_is_written_again(world: Cluster) -> None:
    """An operation that another one overtook is looked at and repeated."""
    world.azure.cloud.plan_failure(
        "loadBalancers", code="CanceledAndSupersededDueToAnotherOperation", message="Overtaken."
    )
    world.apply(service("second", ports=(81,)))
    world.settle(30)
    assert len(world.lb_rules()) == 2
    assert world.addresses("second")


@pytest.mark.spec("AZ-035")
@pytest.mark.parametrize("action", [f"{ADDRESSES}/write", f"{BALANCERS}/write", f"{GROUPS}/write"])
def test_a_write_whose_answer_is_lost_is_not_repeated(world: Cluster, action: str) -> None:
    """The connection drops after Azure took the write: we look, see it done, and go on."""
    world.server.faults.add(Fault(Drop(after_write=True), action=action))
    world.server.journal.clear()
    world.apply(service("second", ports=(81,)))
    world.settle(60)
    assert world.addresses("second")
    writes = [call for call in world.server.journal.calls if call.action == action and call.method == "PUT"]
    assert len(writes) == 1
    assert world.plans() == []


@pytest.mark.parametrize("status", [500, 503, 408])
@pytest.mark.parametrize("action", [f"{ADDRESSES}/write", f"{BALANCERS}/write", f"{GROUPS}/write"])
def test_a_server_error_is_tried_again(world: Cluster, action: str, status: int) -> None:
    """A failing endpoint delays the Service and nothing else."""
    world.server.faults.add(Fault(Refuse(status, "InternalServerError"), action=action, times=2))
    world.apply(service("second", ports=(81,)))
    world.settle(120)
    assert world.addresses("second")
    assert world.plans() == []


@pytest.mark.spec("AZ-040")
def test_an_address_that_cannot_go_yet_is_not_forgotten(world: Cluster) -> None:
    """A refusal to delete an address is no success: it is deleted later, and the Service leaves after that."""
    refusal = Fault(Refuse(400, "PublicIPAddressCannotBeDeleted"), action=f"{ADDRESSES}/delete", times=3)
    world.server.faults.add(refusal)
    world.kube.delete("shop/first")
    world.settle(10)
    assert world.exists("first")
    world.settle(120)
    assert not world.exists("first")
    assert world.public_ips() == {}


@pytest.mark.spec("AZ-091")
def test_a_missing_right_is_named(world: Cluster) -> None:
    """The Event names the action and the scope that the role lacks."""
    every = world.server.access.principals[TOKEN]
    world.server.access.principals[TOKEN] = Principal(every.name, ("Microsoft.Network/*/read", f"{BALANCERS}/*"))
    world.apply(service("second", ports=(81,)))
    texts = [notice.message for _, notice in world.kube.events if notice.reason == "PermissionDenied"]
    assert any(f"{ADDRESSES}/write" in text and "resourceGroups/cluster-rg" in text for text in texts), texts


@pytest.mark.spec("AZ-037")
def test_a_restart_during_a_slow_write_waits_for_it(world: Cluster) -> None:
    """A process that finds its predecessor's write under way and equal does not write again."""
    world.azure.cloud.timing = Timing(by_type={"loadBalancers": 60})
    world.kube.put(service("second", ports=(81,)))
    world.settle(20)
    assert world.addresses("second") == []
    world.server.journal.clear()
    world.crash()
    world.settle(120)
    assert f"{BALANCERS}/write" not in world.writes()
    assert world.addresses("second")


@pytest.mark.spec("AZ-014")
def test_an_address_of_another_cluster_is_nobodys_here(world: Cluster) -> None:
    """An address whose tag names another cluster is neither taken nor removed."""
    tags = {"k8s-azure-service": "shop/first", "k8s-azure-cluster-name": "other"}
    identity = world.azure.put_public_ip("theirs", tags=tags)
    world.crash()
    world.settle()
    world.kube.delete("shop/first")
    world.settle(60)
    assert not world.exists("first")
    assert world.azure.state()[identity]["tags"] == tags


@pytest.mark.spec("AZ-046")
def test_the_tag_of_a_shared_address_has_an_end(world: Cluster) -> None:
    """Who does not fit into the tag is told so; the others share on."""
    (name,) = world.public_ips()
    where = {"service.beta.kubernetes.io/azure-pip-name": name}
    for number in range(10):
        world.kube.put(service(f"guest-with-a-long-name-{number}", ports=(9000 + number,), annotations=where))
    world.settle(60)
    (address,) = world.public_ips().values()
    assert len(address["tags"]["k8s-azure-service"]) <= 256
    assert "256 characters" in str(world.kube.events)


def test_an_unregistered_provider_is_reported(world: Cluster) -> None:
    """The driver registers no provider behind the operator's back."""
    world.azure.cloud.registered.clear()
    world.apply(service("second", ports=(81,)))
    assert any(call.action.endswith("register/action") for call in world.server.journal.calls) is False
    assert "register" in str(world.kube.events)
