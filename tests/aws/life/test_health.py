"""How many targets of a Service are healthy, as `lbctl status --targets` asks."""

import pytest

from lbctl.driver import Health, TellsHealth
from lbctl.engine.planning import build_world
from lbctl.model.intent import identity_of
from tests.aws.cluster import CLASSIC, EXTERNAL, NLB, PODS, Cluster, service

ASKED, OTHER = "web", "other"


def told(cluster):
    """What the driver tells of the asked Service."""
    (account,) = cluster.controller.accounts.values()
    assert isinstance(account.driver, TellsHealth)
    world = build_world(account, list(account.services.values()), cluster=cluster.cluster, now=cluster.clock.now())
    identity = identity_of(cluster.live(ASKED))
    return account.driver.health([identity], world).get(identity)


@pytest.mark.parametrize("mode", [NLB, EXTERNAL, PODS], ids=["nlb", "external", "pods"])
def test_each_registered_target_of_a_network_balancer_counts_once_a_port(aws, mode):
    """All targets of the Service's own groups count, and one that AWS calls sick is not healthy."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(OTHER, ports=(90,), annotations=mode))
    before = set(cluster.target_groups())
    cluster.apply(service(ASKED, ports=(80, 81), annotations=mode))
    groups = set(cluster.target_groups()) - before
    members = {(group, target) for group in groups for target, _ in cluster.targets(group)}
    assert len(groups) == 2
    for group, target in members:
        aws.set_health(cluster.target_groups()[group]["TargetGroupArn"], target, state="healthy")
    assert told(cluster) == Health(len(members), len(members))
    group, target = min(members)
    aws.set_health(cluster.target_groups()[group]["TargetGroupArn"], target, state="unhealthy", reason="Target.Timeout")
    assert told(cluster) == Health(len(members) - 1, len(members))


def test_an_instance_of_a_classic_balancer_counts_once_a_port(aws):
    """The one check of a classic balancer speaks for all of its listeners."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(ASKED, ports=(80, 81), annotations=CLASSIC))
    (balancer,) = cluster.classics()
    instances = len(balancer["Instances"])
    assert instances
    assert told(cluster) == Health(2 * instances, 2 * instances)


@pytest.mark.parametrize("mode", [CLASSIC, EXTERNAL], ids=["classic", "external"])
def test_asking_costs_one_call_for_each_group_of_the_asked_service(aws, mode):
    """Other Services' targets are not asked for."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(OTHER, ports=(90,), annotations=mode))
    cluster.apply(service(ASKED, ports=(80, 81), annotations=mode))
    aws.calls.clear()
    told(cluster)
    expected = ["elb.DescribeInstanceHealth"] if mode is CLASSIC else ["elbv2.DescribeTargetHealth"] * 2
    assert cluster.read_calls() == expected
    assert not cluster.write_calls()


@pytest.mark.parametrize("mode", [CLASSIC, EXTERNAL], ids=["classic", "external"])
def test_a_balancer_that_went_meanwhile_has_no_targets(aws, mode):
    """What somebody removed behind our back is no error for the one who asks."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(ASKED, annotations=mode))
    for one in cluster.classics():
        aws.backstage("elb").delete_load_balancer(LoadBalancerName=one["LoadBalancerName"])
    for one in cluster.balancers() if mode is EXTERNAL else ():
        (group,) = (g["TargetGroupArn"] for g in cluster.target_groups().values() if g["LoadBalancerArns"])
        aws.backstage("elbv2").delete_load_balancer(LoadBalancerArn=one["LoadBalancerArn"])
        aws.backstage("elbv2").delete_target_group(TargetGroupArn=group)
    assert told(cluster) == Health(0, 0)
