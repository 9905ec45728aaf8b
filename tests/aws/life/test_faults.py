"""What goes wrong on AWS: throttles, lost answers, refusals, slow consistency, things deleted by hand."""

import pytest

from tests.aws.cluster import EXTERNAL, MODES, NLB, Cluster, service

CREATES = {
    "classic": ["CreateSecurityGroup", "elb:CreateLoadBalancer", "AuthorizeSecurityGroupIngress"],
    "nlb": ["CreateTargetGroup", "elbv2:CreateLoadBalancer", "CreateListener", "RegisterTargets"],
    "external": ["CreateSecurityGroup", "CreateTargetGroup", "elbv2:CreateLoadBalancer", "CreateListener"],
}
CREATE_CASES = [(mode, operation) for mode, operations in CREATES.items() for operation in operations]


@pytest.mark.spec("AWS-079")
@pytest.mark.parametrize(("mode", "operation"), CREATE_CASES)
def test_a_lost_answer_makes_no_duplicate(aws, mode, operation):
    """A create whose answer is lost is found again: one of each object, and an empty plan."""
    cluster = Cluster.begin(aws)
    aws.faults.lose_answer(operation)
    cluster.apply(service(annotations=MODES[mode]))
    cluster.settle(300)
    assert not aws.faults.pending()
    assert len(cluster.balancers()) + len(cluster.classics()) == 1
    assert len(cluster.target_groups()) == (0 if mode == "classic" else 1)
    assert not cluster.plans()
    assert not cluster.bugs


def test_an_answer_that_is_no_answer_of_aws_makes_no_duplicate(aws):
    """A proxy's error page in place of a create's answer counts as a lost one, and the balancer is found."""
    cluster = Cluster.begin(aws)
    aws.faults.garble("elbv2:CreateLoadBalancer")
    cluster.apply(service(annotations=NLB))
    cluster.settle(300)
    assert not aws.faults.pending()
    assert not cluster.bugs
    assert len(cluster.balancers()) == 1
    assert not cluster.plans()


THROTTLES = ["Throttling", "RequestLimitExceeded", "DependencyThrottle", "TooManyRequestsException", "SlowDown"]


@pytest.mark.spec("AWS-090")
@pytest.mark.parametrize("code", THROTTLES)
def test_a_throttled_call_is_repeated_and_no_other_waits(aws, code):
    """A throttled create is repeated with pauses until it goes through; nobody is blamed."""
    cluster = Cluster.begin(aws)
    aws.faults.throttle("CreateTargetGroup", code=code, times=3)
    cluster.apply(service(annotations=NLB))
    assert cluster.addresses()
    assert not cluster.plans()
    assert "SyncLoadBalancerFailed" not in cluster.reasons()
    assert all(call.attempt == 1 for call in aws.calls)


@pytest.mark.spec("AWS-090")
def test_throttled_snapshots_wait_and_succeed(aws):
    """The classic API's own throttle code, which the SDK does not know, is repeated too."""
    cluster = Cluster.begin(aws)
    cluster.apply(service())
    aws.faults.throttle("elb:DescribeLoadBalancers", code="DependencyThrottle", times=2)
    cluster.crash()
    cluster.settle(120)
    assert not aws.faults.pending()
    assert cluster.account.snapshot_at is not None


@pytest.mark.spec("AWS-091")
def test_a_quota_is_not_asked_again_at_once(aws):
    """A balancer too many is an Event that names the quota, and is not tried again within five minutes."""
    cluster = Cluster.begin(aws)
    aws.faults.fail("elbv2:CreateLoadBalancer", code="TooManyLoadBalancers", message="limit 50", times=50)
    cluster.apply(service(annotations=NLB))
    cluster.settle(250)
    assert aws.calls.by_operation()["elbv2:CreateLoadBalancer"] == 1
    assert cluster.condition().reason == "QuotaExceeded"
    aws.faults.reset()
    cluster.settle(400)
    assert cluster.addresses()


@pytest.mark.spec("AWS-092")
def test_a_denied_attribute_degrades_to_an_event(aws):
    """A permission that is missing for an attribute is told with its name; the balancer serves all the same."""
    from lbctl_aws.annotations import AWS

    cluster = Cluster.begin(aws)
    aws.faults.deny("ModifyTargetGroupAttributes")
    attribute = {AWS + "target-group-attributes": "preserve_client_ip.enabled=false"}
    cluster.apply(service(annotations={**NLB, **attribute}))
    assert len(cluster.listeners(cluster.balancers()[0])) == 1
    assert cluster.addresses()
    told = " ".join(notice.message for _, notice in cluster.kube.events)
    assert "elasticloadbalancing:ModifyTargetGroupAttributes" in told


@pytest.mark.spec("AWS-074")
def test_a_stopped_instance_fails_alone(aws):
    """A node whose instance is stopped is left out, and the others of its call are registered."""
    cluster = Cluster.begin(aws)
    stopped = cluster.scene["node-1"]
    aws.backstage("ec2").stop_instances(InstanceIds=[stopped])
    cluster.apply(service(annotations=NLB))
    (group,) = cluster.target_groups()
    assert len(cluster.targets(group)) == 3
    assert stopped not in {target for target, _ in cluster.targets(group)}
    assert cluster.addresses()


@pytest.mark.spec("AWS-096")
def test_a_failing_port_leaves_the_others_alone(aws):
    """When one target group refuses its health check, the nodes of the other one are kept up to date."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(ports=(80, 443), annotations=NLB))
    aws.faults.fail("ModifyTargetGroup", code="InvalidConfigurationRequest", times=50)
    from lbctl_aws.annotations import AWS

    live = cluster.live()
    gone = next(iter(cluster.kube.nodes.values()))
    cluster.annotate("web", {**live.metadata.annotations, AWS + "healthcheck-healthy-threshold": "5"})
    cluster.see_node(None, gone.metadata.name)
    cluster.settle(300)
    for group in cluster.target_groups():
        assert len(cluster.targets(group)) == 3, group


KINDS = ["balancer", "target group", "listener", "rule", "node rule"]


@pytest.mark.spec("AWS-080")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_deleted_by_hand_comes_back(aws, kind):
    """A deleted balancer, listener, target group or rule is made again at the next sweep, and told."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=EXTERNAL))
    delete_by_hand(cluster, kind)
    cluster.settle(1500)
    assert not cluster.bugs
    assert not cluster.plans()
    assert len(cluster.listeners(cluster.balancers()[0])) == 1
    assert "DriftRepaired" in cluster.reasons() or kind == "node rule"  # which belongs to no Service alone


def delete_by_hand(cluster, kind):
    """Delete one object behind our back."""
    elbv2, ec2 = cluster.aws.backstage("elbv2"), cluster.aws.backstage("ec2")
    (balancer,) = cluster.balancers()
    (listener,) = cluster.listeners(balancer).values()
    (group,) = cluster.target_groups().values()
    if kind == "balancer":
        elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    elif kind == "rule":
        front = next(g for g in cluster.groups().values() if "Managed" in g["Description"])
        ec2.revoke_security_group_ingress(GroupId=front["GroupId"], IpPermissions=front["IpPermissions"])
    elif kind == "node rule":
        backend = cluster.groups()["k8s-traffic-demo-2a97516c35"]["GroupId"]
        nodes = cluster.groups()["demo-nodes"]
        ours = [
            p
            for p in nodes["IpPermissions"]
            if p["UserIdGroupPairs"] and p["UserIdGroupPairs"][0]["GroupId"] == backend
        ]
        ec2.revoke_security_group_ingress(GroupId=nodes["GroupId"], IpPermissions=ours)
    else:
        elbv2.delete_listener(ListenerArn=listener["ListenerArn"])
        if kind == "target group":
            elbv2.delete_target_group(TargetGroupArn=group["TargetGroupArn"])


def test_two_clusters_in_one_account_do_not_meet(aws):
    """Another cluster's lbctl sees nothing of ours and changes nothing of it."""
    first = Cluster.begin(aws)
    first.apply(service(annotations=EXTERNAL))
    before = aws.state()
    second = Cluster(aws, first.scene, cluster_id="prod2")
    second.start()
    second.settle(1500)
    assert aws.state() == before
    assert not any(observed.owners() for observed in second.account.observed.values())
