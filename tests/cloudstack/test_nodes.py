"""Nodes and their machines: who is a target, and what happens when that changes."""

from __future__ import annotations

import pytest

from lbctl.model.objects import Endpoint, EndpointConditions, EndpointSlice, ObjectMeta
from tests.clouds.cloudstack.topology import add_machine, add_network
from tests.cloudstack.stage import Stage
from tests.world import node, service


@pytest.mark.spec("CS-042")
@pytest.mark.parametrize("form", ["external-cloudstack://{}", "cloudstack://{}", "cloudstack:///{}"])
def test_provider_ids_name_the_machine(stage: Stage, form):
    """All forms of provider ids lead to the machine, whatever the node's name."""
    machine = add_machine(stage.cloud, "vm-of-n9", stage.network)
    stage.see_node(node("n9", provider_id=form.format(machine.id)))
    stage.apply(service())
    assert machine.id in stage.served()[80]["members"]


@pytest.mark.spec("CS-043")
def test_names_are_matched_by_their_first_label_in_any_case(stage: Stage):
    """An upper-case machine and a node with a domain are one; a name that two machines have is skipped and told."""
    upper = add_machine(stage.cloud, "WORKER-A", stage.network)
    twins = [add_machine(stage.cloud, "Twin", stage.network) for _ in range(2)]
    stage.see_node(node("worker-a.example.com"))
    stage.see_node(node("twin"))
    stage.settle()
    stage.apply(service())
    members = stage.served()[80]["members"]
    assert upper.id in members
    assert not {t.id for t in twins} & set(members)
    assert "NodeSkipped" in stage.reasons()


@pytest.mark.spec("CS-044", "CS-045")
def test_the_network_is_chosen_by_what_it_can_do_not_by_the_first_nic(stage: Stage):
    """Machines with NICs in any order are served in the balancing network; one outside is skipped, the rest served."""
    storage = add_network(stage.cloud, "storage", services={"Dhcp": "VirtualRouter"})
    both = add_machine(stage.cloud, "n3", storage, stage.network)
    outside = add_machine(stage.cloud, "n4", storage)
    for name in ("n3", "n4"):
        stage.see_node(node(name))
    stage.crash()
    stage.settle()
    stage.apply(service())
    assert both.id in stage.served()[80]["members"]
    assert outside.id not in stage.served()[80]["members"]
    assert stage.condition().reason == "Ready"
    assert "NodeSkipped" in stage.reasons()


@pytest.mark.spec("CS-046")
def test_all_pages_are_read(stage: Stage):
    """1,204 machines take three pages, and a node on the last one is a target."""
    for number in range(1200):
        add_machine(stage.cloud, f"other{number}", stage.network)
    stage.cloud.faults.clear()
    stage.join("late")
    stage.apply(service())
    assert stage.machine_ids("late")[0] in stage.served()[80]["members"]
    assert stage.cloud.faults.counts()["listVirtualMachines"] == 3


@pytest.mark.spec("CS-049")
def test_no_node_at_all_removes_no_member(stage: Stage):
    """A cluster that shows no node keeps the members that it had."""
    stage.apply(service())
    before = stage.served()
    for name in ("n1", "n2"):
        stage.see_node(None, name)
    stage.settle(300)
    assert stage.served() == before


def test_only_nodes_with_endpoints_are_targets_where_that_is_asked_for(serve):
    """Under policy Local members follow the ready endpoints of all slices; the last one stays when none is left."""
    stage = Stage(serve(), nodes=("n1", "n2", "n3"), options={"local_targets": "endpoints"})
    see = stage.controller.see_slice
    one, two = slice_on("one", "n1"), slice_on("two", "n2")
    see(None, one)
    stage.apply(service(external_traffic_policy="Local", health_check_node_port=31111))
    stage.apply(service("everywhere", ports=(443,)))
    assert stage.served()[80]["members"] == stage.machine_ids("n1")
    assert stage.served("everywhere")[443]["members"] == stage.machine_ids("n1", "n2", "n3")
    see(None, two)
    stage.settle(60)
    assert stage.served()[80]["members"] == stage.machine_ids("n1", "n2")
    see(one, slice_on("one", "n1", ready=False))
    stage.settle(60)
    assert stage.served()[80]["members"] == stage.machine_ids("n2")
    see(two, None)
    stage.settle(60)
    assert stage.served()[80]["members"] == stage.machine_ids("n2")
    assert stage.plans() == []


def test_a_service_without_endpoints_starts_on_all_nodes(serve):
    """Before its first pod is ready every node is a target, so that the address can be published."""
    stage = Stage(serve(), options={"local_targets": "endpoints"})
    stage.apply(service(external_traffic_policy="Local", health_check_node_port=31111))
    assert stage.served()[80]["members"] == stage.machine_ids("n1", "n2")
    stage.controller.see_slice(None, slice_on("one", "n2"))
    stage.settle(60)
    assert stage.served()[80]["members"] == stage.machine_ids("n2")


def test_a_member_that_is_no_node_is_taken_out(stage: Stage):
    """A machine that somebody put into our rule goes at the next look at members, as upstream does it."""
    stage.apply(service())
    stranger = add_machine(stage.cloud, "stranger", stage.network)
    (rule,) = (r for r in stage.cloud.rules.values() if r.name.startswith("a00000001"))
    rule.members.append(stranger.id)
    stage.settle(4000)
    assert sorted(rule.members) == stage.machine_ids("n1", "n2")


def slice_on(name: str, on: str, *, ready: bool = True) -> EndpointSlice:
    """A slice of the Service web with one endpoint on a node."""
    meta = ObjectMeta(name=name, namespace="shop", labels={"kubernetes.io/service-name": "web"})
    endpoint = Endpoint(addresses=("10.9.0.1",), node_name=on, conditions=EndpointConditions(ready=ready))
    return EndpointSlice(metadata=meta, endpoints=(endpoint,))


@pytest.mark.spec("CS-050")
def test_members_that_somebody_took_out_are_put_back(stage: Stage):
    """A member removed by hand is back after the drift repair, without a conflict."""
    stage.apply(service())
    (rule,) = (r for r in stage.cloud.rules.values() if r.name.startswith("a00000001"))
    rule.members.pop()
    stage.settle(4000)
    assert sorted(rule.members) == stage.machine_ids("n1", "n2")
    assert "DriftRepaired" in stage.reasons()


@pytest.mark.spec("CS-048")
def test_a_member_that_is_mapped_already_is_a_success(stage: Stage):
    """Assigning what somebody has just assigned fails on the server; a new look finds all as wanted."""
    stage.apply(service())
    (rule,) = (r for r in stage.cloud.rules.values() if r.name.startswith("a00000001"))
    machine = add_machine(stage.cloud, "n3", stage.network)
    rule.members.append(machine.id)
    stage.see_node(node("n3"))
    stage.settle(60)
    assert sorted(rule.members) == stage.machine_ids("n1", "n2", "n3")
    assert stage.condition().reason == "Ready"


def test_a_node_that_moves_to_another_machine_is_followed(stage: Stage):
    """When a node's provider id changes, the new machine joins before the old one leaves."""
    old, new = (add_machine(stage.cloud, name, stage.network) for name in ("old", "new"))
    stage.see_node(node("n3", provider_id=f"external-cloudstack://{old.id}"))
    stage.settle()
    stage.apply(service())
    stage.cloud.faults.clear()
    stage.see_node(node("n3", provider_id=f"external-cloudstack://{new.id}"))
    stage.settle(60)
    assert new.id in stage.served()[80]["members"]
    assert old.id not in stage.served()[80]["members"]
    writes = [name for name, _ in stage.cloud.faults.calls if name.endswith("LoadBalancerRule")]
    assert writes == ["assignToLoadBalancerRule", "removeFromLoadBalancerRule"]
