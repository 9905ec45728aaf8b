"""How many calls each operation takes, counted on the server; polls of jobs are apart."""

from __future__ import annotations

import pytest

from tests.clouds.cloudstack.topology import add_pool
from tests.cloudstack.bench_calls import rows
from tests.cloudstack.stage import Stage
from tests.world import service


def calls(stage: Stage) -> int:
    """Reads and writes since the ledger was cleared."""
    return stage.cloud.faults.reads + stage.cloud.faults.writes


@pytest.mark.spec("CS-067", "CS-033")
def test_a_service_costs_ten_calls_nothing_and_six(stage: Stage):
    """Two ports: create at most 10 calls with tags, another pass none, delete at most 6."""
    stage.cloud.faults.clear()
    stage.apply(service(ports=(80, 443)))
    assert stage.served().keys() == {80, 443}
    assert calls(stage) <= 10, stage.cloud.faults.counts()
    stage.cloud.faults.clear()
    stage.annotate("web", stage.live().metadata.annotations | {"example.com/unrelated": "1"})
    assert calls(stage) == 0, stage.cloud.faults.counts()
    stage.delete("web")
    assert not stage.exists()
    assert calls(stage) <= 6, stage.cloud.faults.counts()


@pytest.mark.spec("CS-033")
def test_deletion_costs_the_same_for_any_number_of_ports(stage: Stage):
    """Five ports go with at most 6 calls, because the release takes all rules along."""
    stage.apply(service(ports=(80, 81, 82, 83, 84)))
    stage.settle(120)
    stage.cloud.faults.clear()
    stage.delete("web")
    assert calls(stage) <= 6, stage.cloud.faults.counts()
    assert not [rule for rule in stage.cloud.rules.values() if rule.name.startswith("a0")]


@pytest.mark.spec("CS-067")
def test_a_pass_over_many_services_is_three_lists(stage: Stage):
    """The drift pass over 200 Services lists rules, addresses and firewall rules once each, and changes nothing."""
    add_pool(stage.cloud, 250)
    stage.cloud.jobs.seconds = 0.1
    for number in range(200):
        stage.kube.put(service(f"web{number}"))
    stage.settle(400)
    assert all(stage.condition(f"web{number}").reason == "Ready" for number in range(200))
    stage.cloud.faults.clear()
    stage.settle(700)
    counts = stage.cloud.faults.counts()
    caches = {"listNetworks", "listVirtualMachines"}
    passes = counts["listFirewallRules"]
    lists = {name: n for name, n in counts.items() if name not in caches}
    assert passes >= 1
    assert lists == {
        "listLoadBalancerRules": passes,
        "listPublicIpAddresses": passes,
        "listFirewallRules": passes,
    }


@pytest.mark.spec("CS-047")
def test_a_node_costs_one_call_a_rule(stage: Stage):
    """A node that joins costs one list of machines and one assign a rule; one that leaves, only one removal a rule."""
    stage.apply(service(ports=(80, 443)))
    stage.cloud.faults.clear()
    stage.join("n3")
    counts = stage.cloud.faults.counts()
    assert counts == {"listVirtualMachines": 1, "assignToLoadBalancerRule": 2}
    assert stage.served()[80]["members"] == stage.machine_ids("n1", "n2", "n3")
    stage.cloud.faults.clear()
    stage.see_node(None, "n3")
    stage.settle(120)
    assert stage.cloud.faults.counts() == {"removeFromLoadBalancerRule": 2}
    assert stage.served()[443]["members"] == stage.machine_ids("n1", "n2")


@pytest.mark.spec("CS-063")
def test_many_jobs_are_asked_for_together(stage: Stage):
    """While three or more jobs run, each tick is one listAsyncJobs and no queryAsyncJobResult."""
    for number in range(6):
        stage.kube.put(service(f"web{number}", ports=(80, 443)))
    stage.settle(300)
    assert all(stage.addresses(f"web{n}") for n in range(6))
    polls = [name for name, _ in stage.cloud.faults.calls if name in {"listAsyncJobs", "queryAsyncJobResult"}]
    assert polls.count("listAsyncJobs") > polls.count("queryAsyncJobResult")


@pytest.mark.parametrize("services", [1, 10])
def test_every_operation_keeps_its_budget(services):
    """Writes are per rule and Service alone, and neither a change of no concern nor a restart writes anything."""
    wanted = {
        ("isolated", "create"): 7,
        ("isolated", "unchanged"): 0,
        ("isolated", "port-added"): 3,
        ("isolated", "node-joins"): 3,
        ("isolated", "node-leaves"): 3,
        ("isolated", "source-ranges"): 6,
        ("isolated", "restart"): 0,
        ("isolated", "delete"): 1,
        ("vpc", "create"): 9,
        ("vpc", "unchanged"): 0,
        ("vpc", "port-added"): 4,
        ("vpc", "node-joins"): 3,
        ("vpc", "node-leaves"): 3,
        ("vpc", "source-ranges"): 6,
        ("vpc", "restart"): 0,
        ("vpc", "delete"): 4,
    }
    measured = {(row["mode"], row["operation"]): row["writes"] for row in rows(services)}
    assert measured == {key: writes * services for key, writes in wanted.items()}
