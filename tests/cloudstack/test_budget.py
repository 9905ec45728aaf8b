"""How many calls each operation takes, counted on the server; polls of jobs are apart."""

from __future__ import annotations

import pytest

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.topology import add_guarded_tier, add_network, add_pool, add_shared, add_tier, picture
from tests.clouds.cloudstack.upstream import provision
from tests.cloudstack.bench_calls import rows
from tests.cloudstack.stage import Stage
from tests.world import service


def calls(stage: Stage) -> int:
    """Reads and writes since the ledger was cleared."""
    return stage.cloud.faults.reads + stage.cloud.faults.writes


NETWORKS = {"isolated": (add_network, 8, 5), "vpc": (add_tier, 10, 6), "shared": (add_shared, 8, 4)}


@pytest.mark.spec("CS-067", "CS-033")
@pytest.mark.parametrize(("make", "creation", "deletion"), NETWORKS.values(), ids=NETWORKS)
def test_a_service_costs_ten_calls_nothing_and_six(server, make, creation, deletion):
    """Two ports: create at most 10 calls with tags, another pass none, delete at most 6, in every kind of network."""
    stage = Stage(server, make(server.cloud))
    before = picture(stage.cloud)
    stage.cloud.faults.clear()
    stage.apply(service(ports=(80, 443)))
    assert stage.served().keys() == {80, 443}
    assert calls(stage) == creation <= 10, stage.cloud.faults.counts()
    stage.cloud.faults.clear()
    stage.annotate("web", stage.live().metadata.annotations | {"example.com/unrelated": "1"})
    assert calls(stage) == 0, stage.cloud.faults.counts()
    stage.delete("web")
    assert not stage.exists()
    assert calls(stage) == deletion <= 6, stage.cloud.faults.counts()
    assert picture(stage.cloud) == before


@pytest.mark.parametrize(
    ("release", "make", "ranges", "expected"),
    [
        ("4.22", add_network, ("10.0.0.0/8",), (10, 5)),
        ("4.22", add_tier, ("10.0.0.0/8",), (10, 6)),
        ("next", add_tier, (), (10, 7)),
        ("next", add_guarded_tier, (), (12, 7)),
    ],
    ids=["isolated-ranges", "vpc-ranges", "vpc-4.23", "guarded-vpc-4.23"],
)
def test_filters_of_their_own_cost_a_call_each(serve, release, make, ranges, expected):
    """Ranges of an isolated network are a call a port; where a VPC can have firewall rules one more look is needed."""
    cloud = Cloud(release)
    stage = Stage(serve(cloud), make(cloud))
    creation, deletion = expected
    stage.cloud.faults.clear()
    stage.apply(service(ports=(80, 443), load_balancer_source_ranges=ranges))
    assert calls(stage) == creation, stage.cloud.faults.counts()
    stage.cloud.faults.clear()
    stage.delete("web")
    assert not stage.exists()
    assert calls(stage) == deletion, stage.cloud.faults.counts()


@pytest.mark.parametrize(("make", "deletion"), [(add_network, 5), (add_tier, 9)], ids=["isolated", "vpc"])
def test_what_upstream_made_costs_a_second_look_in_a_vpc(serve, make, deletion):
    """Upstream's ACL entries are known by their rules, so they go first, and the address is looked at again after."""
    cloud = Cloud()
    stage = Stage(serve(cloud), make(cloud))
    uid = "00000001-0000-4000-8000-000000000000"
    provision(cloud, stage.network, uid, ports=[(80, 30080), (443, 30443)])
    stage.crash()
    stage.apply(service(ports=(80, 443)))
    stage.cloud.faults.clear()
    stage.delete("web")
    assert not stage.exists()
    assert calls(stage) == deletion, stage.cloud.faults.counts()


@pytest.mark.spec("CS-033")
def test_deletion_costs_the_same_for_any_number_of_ports(stage: Stage):
    """Five ports go with at most 6 calls, because the release takes all rules along."""
    stage.apply(service(ports=(80, 81, 82, 83, 84)))
    stage.settle(120)
    stage.cloud.faults.clear()
    stage.delete("web")
    assert calls(stage) <= 6, stage.cloud.faults.counts()
    assert not [rule for rule in stage.cloud.rules.values() if rule.name.startswith("a00000001")]


@pytest.mark.spec("CS-067")
def test_a_pass_over_many_services_is_three_lists(stage: Stage):
    """The drift pass over 200 Services lists rules, addresses and firewall rules once each, and changes nothing."""
    add_pool(stage.cloud, 250)
    free = sorted({address.ip for address in stage.cloud.addresses.values() if address.state == "Free"})
    for number in range(200):
        stored = stage.kube.put(service(f"web{number}"))
        ports = [(80, stored.spec.ports[0].node_port)]
        provision(stage.cloud, stage.network, stored.metadata.uid, ports=ports, ip=free[number])
    stage.crash()
    stage.settle(60)
    assert all(stage.condition(f"web{number}").reason == "Ready" for number in range(200))
    assert stage.cloud.faults.writes == 0
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


# Reads and writes of one Service with two ports, then three; `restart` is a process that starts, with its snapshot.
BUDGET = {
    "isolated": {
        "create": (1, 7),
        "unchanged": (0, 0),
        "port-added": (0, 3),
        "node-joins": (1, 3),
        "node-leaves": (3, 3),
        "source-ranges": (1, 6),
        "restart": (10, 0),
        "delete": (4, 1),
    },
    "vpc": {
        "create": (1, 9),
        "unchanged": (0, 0),
        "port-added": (0, 4),
        "node-joins": (1, 3),
        "node-leaves": (3, 3),
        "source-ranges": (1, 6),
        "restart": (10, 0),
        "delete": (3, 4),
    },
    "shared": {
        "create": (1, 7),
        "unchanged": (0, 0),
        "port-added": (0, 3),
        "node-joins": (1, 3),
        "node-leaves": (2, 3),
        "source-ranges": (1, 3),
        "restart": (9, 0),
        "delete": (3, 1),
    },
}


def test_every_operation_keeps_its_budget():
    """Neither a change of no concern nor a restart writes anything; figures are measured, a rise or fall shows here."""
    measured = {(row["mode"], row["operation"]): (row["reads"], row["writes"]) for row in rows(1)}
    assert measured == {(mode, name): figures for mode, of in BUDGET.items() for name, figures in of.items()}


def test_writes_grow_with_services_alone_and_reads_less():
    """Three Services cost three times the writes of one, and no more reads than that."""
    for row in rows(3):
        reads, writes = BUDGET[row["mode"]][row["operation"]]
        assert row["writes"] == 3 * writes, row
        assert row["reads"] <= 3 * reads, row
