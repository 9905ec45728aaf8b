"""Nodes and their machines: who is a target, and what happens when that changes."""

from __future__ import annotations

import pytest

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
