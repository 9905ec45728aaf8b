"""A thousand network balancers: what a node and a restart cost."""

import pytest

from tests.aws.cluster import NLB, Cluster, service

SERVICES = 1000


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.spec("AWS-088")
def test_a_thousand_balancers_cost_one_call_each_for_a_node_and_no_write_for_a_restart(aws):
    """A node costs one register call for each target group and one read; a restart lists pages and writes nothing."""
    cluster = Cluster.begin(aws)
    aws.quotas["network-load-balancers"] = 2 * SERVICES
    node = next(iter(cluster.kube.nodes.values()))
    cluster.see_node(None, node.metadata.name)
    cluster.settle(60)
    for number in range(SERVICES):
        cluster.kube.put(service(f"s{number}", annotations=NLB, node_ports={80: 30000 + number}))
    cluster.settle(400)
    assert len(cluster.account.services) == SERVICES
    aws.calls.clear()
    cluster.see_node(node)
    cluster.settle(200)
    assert aws.calls.by_operation() == {"ec2:DescribeInstances": 1, "elbv2:RegisterTargets": SERVICES}
    aws.calls.clear()
    cluster.crash()
    cluster.settle(200)
    assert not cluster.write_calls()
    count = aws.calls.by_operation()
    assert count["elbv2:DescribeLoadBalancers"] == 3
    assert count["elbv2:DescribeTargetGroups"] == 3
    assert count["elbv2:DescribeTags"] <= 3 * SERVICES // 20 + 2 + SERVICES
