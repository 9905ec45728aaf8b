"""How many calls each operation costs, counted on the counterpart; a rise fails."""

import pytest

from tests.aws import cluster as clusters
from tests.aws.cluster import MODES, Cluster, service

PORTS = (80, 443)
# Calls to create and to delete, both with two ports.
BUDGETS = {"classic": (6, 3), "nlb": (9, 4), "external": (10, 5), "pods": (10, 5)}
EVERY_MODE = pytest.mark.parametrize("mode", BUDGETS)


def warm(aws, mode, *, topology="basic"):
    """A cluster with a Service of this mode on far apart ports, so that what is shared exists and facts are read."""
    cluster = Cluster.begin(aws, topology)
    cluster.apply(service("first", ports=(1, 999), annotations=clusters.EVERY_MODE[mode]))
    aws.calls.clear()
    return cluster


@pytest.mark.spec("AWS-083")
@EVERY_MODE
def test_a_create_stays_in_its_budget(aws, mode):
    """A new balancer with two ports costs 6 calls as classic and at most 10 as network balancer, reads included."""
    cluster = warm(aws, mode)
    create, _ = BUDGETS[mode]
    cluster.apply(service(ports=PORTS, annotations=clusters.EVERY_MODE[mode]))
    assert len(aws.calls) <= create, aws.calls.by_operation()
    assert not cluster.read_calls()


@pytest.mark.spec("AWS-084")
@EVERY_MODE
def test_an_unchanged_service_costs_nothing(aws, mode):
    """A pass over a Service in sync makes no call at all."""
    cluster = warm(aws, mode)
    for scope in cluster.account.all_scopes():
        cluster.controller.resync(cluster.account, scope)
    cluster.settle()
    assert not aws.calls.by_operation()


@pytest.mark.spec("AWS-085")
@pytest.mark.parametrize("mode", MODES)
def test_a_node_costs_one_call_for_each_group_and_one_read_for_the_cluster(aws, mode):
    """A joining node costs one call for each target group, or balancer if classic, and one read for all of them."""
    cluster = Cluster.begin(aws)
    node = next(iter(cluster.kube.nodes.values()))
    cluster.see_node(None, node.metadata.name)
    cluster.settle(120)
    for name in ("a", "b", "c"):
        cluster.apply(service(name, ports=(80, 443), annotations=MODES[mode], node_ports=node_ports(name)))
    aws.calls.clear()
    cluster.see_node(node)
    cluster.settle(120)
    calls = aws.calls.by_operation()
    each = 1 if mode == "classic" else 2
    register = "elb:RegisterInstancesWithLoadBalancer" if mode == "classic" else "elbv2:RegisterTargets"
    assert calls == {"ec2:DescribeInstances": 1, register: 3 * each}
    assert not cluster.plans()


def node_ports(name):
    """Node ports of their own for each Service."""
    base = 32000 + 10 * ord(name)
    return {80: base, 443: base + 1}


@pytest.mark.spec("AWS-086")
@EVERY_MODE
def test_a_deletion_stays_in_its_budget(aws, mode):
    """A balancer goes in 3 calls as classic and 5 as network balancer with two ports, refused waits not counted."""
    cluster = warm(aws, mode)
    _, delete = BUDGETS[mode]
    cluster.apply(service(ports=PORTS, annotations=clusters.EVERY_MODE[mode]))
    aws.calls.clear()
    cluster.delete("web")
    cluster.settle(60)
    done = [call for call in aws.calls if call.outcome != "DependencyViolation"]
    assert len(done) <= delete, aws.calls.by_operation()
    assert not cluster.exists()
