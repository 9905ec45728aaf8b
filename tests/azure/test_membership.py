"""Machines join the pools through their interfaces, models before instances, and leave them in the same way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.azure.cluster import BALANCERS, Cluster, cluster
from tests.clouds.azure.cloud import Timing
from tests.clouds.azure.recording import Writer
from tests.world import service

NIC_POOLS = {"loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration"}


@pytest.fixture
def nics() -> Iterator[Cluster]:
    """A cluster whose pools hold interfaces."""
    with cluster(config=NIC_POOLS) as world:
        yield world


@pytest.mark.spec("AZ-024")
def test_a_uniform_set_joins_model_first(nics: Cluster) -> None:
    """The model of a scale set is written before its instances, and every instance ends in the pool."""
    nics.add_machines(nics.azure.uniform_set(count=3))
    nics.apply(service())
    assert nics.members() == [f"nodes/virtualMachines/{number}" for number in range(3)]
    writes = [call.action.lower() for call in nics.server.journal.calls if call.counted.value == "write"]
    compute = [action for action in writes if "virtualmachinescalesets" in action]
    assert compute[0] == "microsoft.compute/virtualmachinescalesets/write"
    assert len(compute) == 4
    assert nics.plans() == []


@pytest.mark.spec("AZ-023")
def test_a_scale_out_of_a_joined_model_writes_nothing(nics: Cluster) -> None:
    """New instances of a set whose model is in the pool are members without a write of ours."""
    nics.add_machines(nics.azure.uniform_set(count=2))
    nics.apply(service())
    nics.server.journal.clear()
    nics.add_machines(nics.azure.scale_out("nodes"))
    assert nics.writes() == {}
    assert nics.members() == [f"nodes/virtualMachines/{number}" for number in range(3)]


@pytest.mark.parametrize("kind", ["flex_set", "availability_set"])
def test_machines_with_interfaces_of_their_own_join_one_write_each(nics: Cluster, kind: str) -> None:
    """Flexible sets and availability sets join by one write of each machine's interface."""
    nics.add_machines(getattr(nics.azure, kind)(count=2))
    nics.server.journal.clear()
    nics.apply(service())
    assert len(nics.members()) == 2
    assert nics.writes()["Microsoft.Network/networkInterfaces/write"] == 2


@pytest.mark.spec("AZ-042", "AZ-041")
@pytest.mark.parametrize("kind", ["uniform_set", "flex_set"])
def test_the_last_service_takes_the_balancer_with_it(nics: Cluster, kind: str) -> None:
    """Machines are detached, then the balancer and its address go; nothing is left but the machines."""
    nics.add_machines(getattr(nics.azure, kind)(count=2))
    before = nics.azure.state()
    nics.apply(service())
    nics.server.journal.clear()
    nics.delete("web")
    nics.settle(120)
    assert not nics.exists(), nics.kube.events
    assert nics.azure.state() == before
    written = [call.action.lower() for call in nics.server.journal.calls if call.counted.value == "write"]
    compute = [action for action in written if "virtualmachinescalesets" in action]
    assert compute[:1] in ([], ["microsoft.compute/virtualmachinescalesets/write"])


@pytest.mark.spec("AZ-083")
def test_an_excluded_node_leaves_the_pool_but_never_the_last(nics: Cluster) -> None:
    """A control-plane or excluded machine is no member; the last member stays, so that outbound traffic does."""
    machines = nics.azure.availability_set(count=2)
    nics.add_machines(machines)
    nics.apply(service())
    label = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    nics.add_machines(machines[:1], **label)
    nics.settle(60)
    assert nics.members() == ["networkInterfaces/avset-1-nic"]
    nics.add_machines(machines[1:], **label)
    nics.settle(60)
    assert nics.members() == ["networkInterfaces/avset-1-nic"]


@pytest.mark.spec("AZ-084")
def test_an_interface_of_another_balancer_is_left_alone(nics: Cluster) -> None:
    """A machine that serves a foreign balancer is not touched, and the Service is told."""
    address = nics.azure.put_public_ip("foreign-by-hand")
    nics.azure.put(
        "loadBalancers",
        "foreign-by-hand",
        {
            "sku": {"name": "Standard"},
            "properties": {
                "frontendIPConfigurations": [{"name": "f", "properties": {"publicIPAddress": {"id": address}}}],
                "backendAddressPools": [{"name": "theirs"}],
            },
        },
    )
    pool = nics.azure.id("loadBalancers", "foreign-by-hand") + "/backendAddressPools/theirs"
    nics.add_machines([nics.azure.machine("busy", pools=[pool]), nics.azure.machine("free")])
    nics.apply(service())
    assert nics.members() == ["networkInterfaces/free-nic"]
    assert "NodeInOtherBalancer" in nics.reasons()


@pytest.mark.spec("AZ-024")
def test_instances_wait_until_their_model_is_written(nics: Cluster) -> None:
    """While the model of a scale set is still being written, no instance of it is touched, joining or leaving."""
    nics.add_machines(nics.azure.uniform_set(count=2))
    nics.azure.cloud.timing = Timing(by_type={"virtualMachineScaleSets": 40.0})
    for act in (lambda: nics.kube.put(service()), lambda: nics.kube.delete("shop/web")):
        nics.server.journal.clear()
        act()
        nics.settle(20)
        assert _compute_writes(nics) == ["microsoft.compute/virtualmachinescalesets/write"]
        nics.settle(200)
        assert len(_compute_writes(nics)) == 3
    assert not nics.exists()


def _compute_writes(world: Cluster) -> list[str]:
    written = [call.action.lower() for call in world.server.journal.calls if call.counted.value == "write"]
    return [action for action in written if "virtualmachinescalesets" in action]


@pytest.mark.parametrize("kind", ["uniform_set", "flex_set", "availability_set"])
def test_no_write_is_wasted_on_the_tag_that_joining_machines_moved(nics: Cluster, kind: str) -> None:
    """Machines that join, or turn out to have joined, give the balancer another ETag: its next write is not refused."""
    nics.add_machines(getattr(nics.azure, kind)(count=2))
    nics.apply(service())
    nics.apply(service("second", ports=(81,)))
    if kind == "uniform_set":
        nics.add_machines(nics.azure.scale_out("nodes"))
    nics.see_node(None, min(nics.kube.nodes))
    nics.settle(60)
    nics.edit("web", ports=service(ports=(80, 443)).spec.ports)
    nics.delete("second")
    nics.settle(60)
    assert [call.status for call in nics.server.journal.calls if call.status == 412] == []
    assert sorted(rule["frontendPort"] for rule in nics.lb_rules().values()) == [80, 443]
    assert nics.plans() == []


def test_what_somebody_changed_while_machines_joined_is_kept(nics: Cluster) -> None:
    """The balancer is planned anew when more than its ETag has moved, and neither change is lost or refused."""
    nics.add_machines(nics.azure.uniform_set(count=2))
    nics.apply(service())
    Writer(nics.azure, "kubernetes").add({"backendAddressPools": [{"name": "theirs"}]})
    nics.server.journal.clear()
    nics.apply(service("second", ports=(81,)))
    statuses = [call.status for call in nics.server.journal.calls if call.action == f"{BALANCERS}/write"]
    assert statuses == [200]
    assert "theirs" in nics.parts("backendAddressPools")
    assert len(nics.lb_rules()) == 2
