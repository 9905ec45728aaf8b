"""A thousand network balancers, more than two pages: what a restart and a node cost."""

import pytest

from moto_fixtures import crowd
from tests.aws.cluster import NLB, Cluster, service
from tests.world import change

SERVICES = 1000
A_PAGE = 400
ARNS_A_CALL = 20
ANYWHERE = {"CidrIp": "0.0.0.0/0"}
# Sixty rules are not enough for so many ports, so there is one for all of them.
NODE_RULES = [
    {
        "IpProtocol": "tcp",
        "FromPort": 30000,
        "ToPort": 30000 + SERVICES - 1,
        "IpRanges": [{**ANYWHERE, "Description": "lbctl.io/owner=demo"}],
    },
    {
        "IpProtocol": "icmp",
        "FromPort": 3,
        "ToPort": 4,
        "IpRanges": [{**ANYWHERE, "Description": "kubernetes.io/rule/nlb/mtu"}],
    },
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.spec("AWS-088")
def test_a_thousand_balancers_cost_pages_for_a_restart_and_one_call_each_for_a_node(aws):
    """A start lists pages, reads once what no list has, writes nothing; a node is one register call for each group."""
    topology = crowd.network_balancers(SERVICES)
    topology["rules"] = {**topology["rules"], "nodes": [*topology["rules"]["nodes"], *NODE_RULES]}
    cluster = Cluster(aws, aws.seed_crowd(topology))
    for one in crowd.services(SERVICES):
        wanted = service(one.name, namespace="default", annotations=NLB, node_ports={80: one.node_port})
        cluster.kube.overwrite(change(wanted, metadata=change(wanted.metadata, uid=one.uid)))
    cluster.start()
    cluster.settle(60)
    assert len(cluster.account.services) == SERVICES
    count = aws.calls.by_operation()
    assert not cluster.write_calls(), count
    assert count["elbv2:DescribeLoadBalancers"] == count["elbv2:DescribeTargetGroups"] == SERVICES // A_PAGE + 1
    assert count["elbv2:DescribeListeners"] == count["elbv2:DescribeTargetHealth"] == SERVICES
    assert count["elbv2:DescribeTags"] <= 3 * SERVICES // ARNS_A_CALL + 2
    aws.calls.clear()
    node = next(iter(cluster.kube.nodes.values()))
    cluster.see_node(None, node.metadata.name)
    cluster.settle(60)
    assert aws.calls.by_operation() == {"elbv2:DeregisterTargets": SERVICES}
    aws.calls.clear()
    cluster.see_node(node)
    cluster.settle(200)
    assert aws.calls.by_operation() == {"ec2:DescribeInstances": 1, "elbv2:RegisterTargets": SERVICES}
