"""Readiness gates of pods: a pod is ready when AWS finds its target healthy, and costs nothing from then on."""

import contextlib

import pytest

from lbctl.driver import JudgesGates
from lbctl.engine.controller import Task
from lbctl.engine.planning import build_world
from lbctl.errors import KubeDenied, LostLease
from lbctl.plan.policy import Mode, Policy
from tests.aws.cluster import EVERY_MODE, PODS, service
from tests.aws.gated import PREFIX, GatedCluster
from tests.aws.weighted import action, annotated, group_of
from tests.clouds.memory import Crash

A, B, C, D = (f"10.0.10.{number}" for number in (101, 102, 103, 104))
INITIAL = ("False", "Elb.InitialHealthChecking", "Initial health checks in progress")
OPEN = ("True", "", "")
FOREIGN = "cloud.google.com/load-balancer-neg-ready"
CHECKS_TAKE = 30.0
LONGEST_POLL = 36.0


def begin(aws, **options):
    return GatedCluster.begin(aws, **options)


def open_pod(cluster, gate, name="old", address=A):
    """A pod that has been through its gate."""
    cluster.run_pod(name, address, gates=(gate,))
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert cluster.gate(name, gate) == OPEN


def at_the_write(cluster):
    """Work up to the first write on a pod and stay there: the work, its steps, and time has passed."""
    while True:
        cluster.controller.tick()
        work = cluster.controller.next_work()
        if work is None:
            due = cluster.controller.next_due()
            assert due is not None
            cluster.clock.advance(max(due - cluster.clock.monotonic(), 0.001))
            continue
        steps = cluster.controller.run(work)
        if work.task is Task.GATES and next(steps, None) is not None:
            return work, steps
        for _ in steps:
            pass
        cluster.controller.done(work)


@pytest.mark.spec("AWS-072")
def test_a_pod_waits_until_aws_finds_it_healthy(aws):
    """It becomes a target when its containers are ready, hears why it waits, and is ready when AWS says healthy."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,), ready=False)
    aws.calls.clear()
    cluster.settle(60)
    assert (cluster.states(gate), cluster.gate("a", gate), cluster.health_reads()) == ({}, ("", "", ""), 0)
    cluster.set_containers("a", ready=True)
    cluster.settle(10)
    assert cluster.states(gate) == {A: "initial"}
    assert (cluster.gate("a", gate), cluster.is_ready("a")) == (INITIAL, False)
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert (cluster.gate("a", gate), cluster.is_ready("a")) == (OPEN, True)
    assert cluster.states(gate) == {A: "healthy"}
    assert cluster.plans() == []


@pytest.mark.spec("AWS-072")
def test_the_gate_is_named_as_upstream_names_it(aws):
    """The name is that of the target group, which is LBC's own; a pod made under LBC's webhook waits for the same."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    prefix, name = gate.split("/")
    assert prefix == "target-health.elbv2.k8s.aws"
    assert name.startswith("k8s-shop-web-")
    assert cluster.driver.known_gates([gate, gate + "0", PREFIX, "x/" + name], cluster_world(cluster)) == {gate}


def cluster_world(cluster):
    """What the driver may look at."""
    return build_world(
        cluster.account, list(cluster.account.services.values()), cluster=cluster.cluster, now=cluster.clock.now()
    )


@pytest.mark.spec("AWS-072")
def test_a_pod_with_a_gate_for_each_port_waits_for_all(aws):
    """One port that AWS does not find healthy keeps the pod from being ready, and only its own gate closed."""
    cluster = begin(aws)
    first, second = cluster.serve(ports=(80, 81))
    cluster.run_pod("a", A, gates=(first, second))
    cluster.settle(10)
    why = {"state": "unhealthy", "reason": "Target.FailedHealthChecks", "description": "Health checks failed"}
    aws.set_health(cluster.arn(second), A, **why)
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert cluster.gate("a", first) == OPEN
    assert cluster.gate("a", second) == ("False", "Target.FailedHealthChecks", "Health checks failed")
    assert not cluster.is_ready("a")
    assert cluster.states(first) == {A: "healthy"}
    aws.set_health(cluster.arn(second), A, state="healthy")
    cluster.settle(LONGEST_POLL)
    assert cluster.is_ready("a")


@pytest.mark.spec("AWS-072")
def test_a_rollout_that_waits_for_its_pods_never_has_less_healthy_targets(aws):
    """A deployment that removes an old pod for each new one that is ready keeps two healthy targets all the time."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    for name, address in (("old-1", A), ("old-2", B)):
        cluster.run_pod(name, address, gates=(gate,))
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    healthy = []
    for (name, address), old in zip((("new-1", C), ("new-2", D)), ("old-1", "old-2"), strict=True):
        cluster.run_pod(name, address, gates=(gate,))
        for _ in range(20):
            cluster.settle(5)
            healthy.append(list(cluster.states(gate).values()).count("healthy"))
            if cluster.is_ready(name):
                break
        assert cluster.is_ready(name)
        cluster.stop_pod(old)
    cluster.settle(5)
    healthy.append(list(cluster.states(gate).values()).count("healthy"))
    assert min(healthy) == 2
    assert {address for address, state in cluster.states(gate).items() if state == "healthy"} == {C, D}


def test_open_gates_cost_no_calls(aws):
    """Once every gate is open, and where no pod has one, nothing is read between two looks at the whole cloud."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    open_pod(cluster, gate)
    cluster.run_pod("plain", B, gates=())
    cluster.settle(5)
    aws.calls.clear()
    writes = cluster.gate_writes()
    cluster.settle(300)
    assert (cluster.read_calls(), cluster.write_calls(), cluster.gate_writes()) == ([], [], writes)


def test_a_look_costs_one_call_for_each_group_with_a_pod_that_waits(aws):
    """However many pods wait, each of their groups is read once, and groups without such a pod not at all."""
    cluster = begin(aws)
    first, second = cluster.serve(ports=(80, 81))
    (other,) = cluster.serve("other", ports=(90,))
    open_pod(cluster, first)
    cluster.run_pod("settled", B, gates=(other,), serves=("other",))
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    for number in range(5):
        cluster.run_pod(f"new-{number}", f"10.0.10.{110 + number}", gates=(first, second))
    cluster.settle(1)
    aws.calls.clear()
    cluster.settle(5)
    asked = [record.params["TargetGroupArn"] for record in aws.calls.reads]
    assert sorted(asked) == sorted([cluster.arn(first), cluster.arn(second)])
    assert cluster.write_calls() == []


def test_a_pod_that_stays_unhealthy_is_asked_for_ever_less_often(aws):
    """The pauses grow to half a minute; the condition is written once, and the pod is ready soon after it recovers."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,))
    cluster.settle(1)
    aws.set_health(cluster.arn(gate), A, state="unhealthy", reason="Target.Timeout", description="Request timed out")
    aws.calls.clear()
    cluster.settle(300)
    assert 300 / LONGEST_POLL <= cluster.health_reads() <= 300 / 24 + 4
    assert (cluster.gate("a", gate), cluster.gate_writes()) == (("False", "Target.Timeout", "Request timed out"), 1)
    aws.set_health(cluster.arn(gate), A, state="healthy")
    cluster.settle(LONGEST_POLL)
    assert cluster.is_ready("a")


def test_the_time_of_a_condition_is_that_of_its_last_turn(aws):
    """Another reason for the same status leaves the time of transition as it is."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,))
    cluster.settle(10)
    since = cluster.pod("a").condition(gate).last_transition_time
    aws.set_health(cluster.arn(gate), A, state="unhealthy", reason="Target.Timeout")
    cluster.settle(LONGEST_POLL)
    assert cluster.pod("a").condition(gate).reason == "Target.Timeout"
    assert cluster.pod("a").condition(gate).last_transition_time == since
    aws.set_health(cluster.arn(gate), A, state="healthy")
    cluster.settle(LONGEST_POLL)
    assert cluster.pod("a").condition(gate).last_transition_time > since


def test_an_open_gate_stays_open_whatever_befalls_the_target(aws):
    """A served pod does not become unready because its target fails later: the balancer sends elsewhere by itself."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    open_pod(cluster, gate)
    aws.set_health(cluster.arn(gate), A, state="unhealthy", reason="Target.Timeout")
    cluster.settle(700)
    cluster.crash()
    cluster.settle(60)
    assert cluster.is_ready("old")


def test_a_pod_whose_containers_fail_has_to_prove_itself_anew(aws):
    """Its gate closes when its target is taken out, and opens when the target is healthy again."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    open_pod(cluster, gate)
    cluster.set_containers("old", ready=False)
    cluster.settle(5)
    assert cluster.gate("old", gate)[:2] == ("False", "ContainersNotReady")
    assert cluster.states(gate) == {A: "draining"}
    cluster.set_containers("old", ready=True)
    cluster.settle(10)
    assert (cluster.gate("old", gate), cluster.is_ready("old")) == (INITIAL, False)
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert (cluster.gate("old", gate), cluster.states(gate)) == (OPEN, {A: "healthy"})


def test_gates_of_others_are_left_alone(aws):
    """A gate of another controller, of an Ingress or of a group that is gone is neither read for nor written."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    foreign = (FOREIGN, PREFIX + "k8s-shop-web-0123456789", PREFIX + "k8s-shop-ingress-0123456789")
    for number, name in enumerate(foreign):
        cluster.run_pod(f"pod-{number}", f"10.0.10.{110 + number}", gates=(name,))
    cluster.settle(5)
    aws.calls.clear()
    before = dict(cluster.kube.pods)
    cluster.settle(300)
    assert (cluster.kube.pods, cluster.gate_writes(), cluster.read_calls()) == (before, 0, [])
    assert cluster.states(gate) == {}


def test_a_pod_that_somebody_else_holds_back_is_no_target(aws):
    """Traffic comes when the other's gate is open too, and ours opens after that."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate, FOREIGN))
    cluster.settle(60)
    assert cluster.states(gate) == {}
    assert cluster.gate("a", gate)[:2] == ("False", "Target.NotRegistered")
    cluster.set_condition("a", FOREIGN, ready=True)
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert (cluster.states(gate), cluster.is_ready("a")) == ({A: "healthy"}, True)


def test_a_pod_that_is_no_target_of_the_service_costs_no_calls(aws):
    """A gate on a pod that no Service lists stays closed, says so, and AWS is not asked for it."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    aws.calls.clear()
    cluster.run_pod("lost", A, gates=(gate,), serves=())
    cluster.settle(120)
    assert cluster.gate("lost", gate)[:2] == ("False", "Target.NotRegistered")
    assert cluster.health_reads() == 0


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made anew"])
def test_a_pod_that_goes_before_it_is_told_is_no_error(aws, again):
    """Between the answer and the write it is deleted, or another takes its name, whose gate is its own."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,))
    work, steps = at_the_write(cluster)
    cluster.stop_pod("a")
    if again:
        cluster.run_pod("a", B, gates=(gate,), ready=False)
    with contextlib.closing(steps):
        assert list(steps) == []
    cluster.controller.done(work)
    assert cluster.gate_writes() == 0
    aws.calls.clear()
    cluster.settle(300)
    assert (cluster.health_reads(), cluster.bugs) == (0, [])


def test_pods_of_a_service_that_takes_a_part_by_weight_wait_for_its_group(aws):
    """Their gate is named after that Service's target group, and opens when AWS finds them healthy there."""
    cluster = begin(aws)
    cluster.apply(service("canary", ports=(8080,), type="ClusterIP", selector={"app": "canary"}))
    marks = annotated(PODS, {"TCP-80": action()})
    cluster.apply(service(annotations=marks, selector={"app": "web"}))
    gate = PREFIX + group_of(cluster, "canary")
    cluster.run_pod("a", A, gates=(gate,), serves=("canary",))
    cluster.settle(10)
    assert (cluster.states(gate), cluster.gate("a", gate)) == ({A: "initial"}, INITIAL)
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert (cluster.gate("a", gate), cluster.is_ready("a")) == (OPEN, True)
    assert cluster.states(PREFIX + group_of(cluster, "web")) == {}
    aws.calls.clear()
    cluster.settle(300)
    assert (cluster.read_calls(), cluster.write_calls()) == ([], [])


def test_a_service_that_goes_leaves_its_pods_alone(aws):
    """The wait of its pods ends with it: nothing is read or written for a gate without a target group."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    open_pod(cluster, gate)
    cluster.run_pod("new", B, gates=(gate,))
    cluster.settle(10)
    cluster.delete("web")
    assert gate.removeprefix(PREFIX) not in cluster.target_groups()
    before = dict(cluster.kube.pods)
    aws.calls.clear()
    cluster.settle(300)
    assert (cluster.kube.pods, cluster.health_reads()) == (before, 0)
    assert cluster.is_ready("old")


def test_a_pod_that_waits_for_a_group_that_is_yet_to_be_made_is_not_forgotten(aws):
    """Somebody removed the group, a process starts, and the pods are looked at as soon as it is there again."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    (balancer,) = [one for one in cluster.balancers() if one["LoadBalancerName"].startswith("k8s-shop-web-")]
    arn = cluster.arn(gate)
    aws.backstage("elbv2").delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    aws.backstage("elbv2").delete_target_group(TargetGroupArn=arn)
    cluster.run_pod("a", A, gates=(gate,))
    cluster.crash()
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert cluster.gate("a", gate) == OPEN


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_crash_at_a_write_is_made_good(aws, when, number):
    """Whether the condition was written or not, the next process ends with the same, and writes no word twice."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,))
    crashed = []

    def crash(name, _number):
        if name == "write-pod-condition":
            crashed.append(name)
            if len(crashed) == number:
                raise Crash

    setattr(cluster.kube, when, crash)
    with contextlib.suppress(Crash):
        cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    cluster.crash()
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert len(crashed) >= number
    assert (cluster.gate("a", gate), cluster.gate_writes()) == (OPEN, 2)
    assert cluster.plans() == []


def test_an_old_leader_writes_no_condition(aws):
    """The lease moves on between the answer and the write: the new leader writes, the old one does not."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,))
    _, steps = at_the_write(cluster)
    cluster.leading = False
    with pytest.raises(LostLease):
        next(steps)
    assert cluster.gate_writes() == 0
    cluster.leading = True
    cluster.crash()
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert cluster.gate("a", gate) == OPEN


def test_a_restart_leaves_waiting_pods_where_they_are(aws):
    """A pod that waits stays registered while another process takes over, and its checks go on."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,))
    cluster.settle(10)
    aws.calls.clear()
    cluster.crash()
    cluster.settle(3)
    assert cluster.states(gate) == {A: "initial"}
    assert cluster.write_calls() == []


def test_a_pod_that_became_healthy_while_nobody_looked_is_ready_soon_after_a_start(aws):
    """The first look comes with the first reading of the cloud, not a pause after it."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,))
    cluster.settle(1)
    cluster.clock.advance(CHECKS_TAKE)
    cluster.crash()
    cluster.settle(1)
    assert cluster.is_ready("a")


def test_a_failed_read_is_made_again_later(aws):
    """A throttled account keeps the pod waiting, and no longer than it is throttled."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,))
    cluster.settle(1)
    aws.faults.throttle("DescribeTargetHealth", times=12)
    cluster.settle(60)
    cluster.settle(60)
    assert cluster.gate("a", gate) == OPEN


def test_a_pod_that_may_not_be_told_keeps_no_other_waiting(aws):
    """An admission rule that refuses one pod's status stops that one; it is tried again."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    for name, address in (("a", A), ("b", B), ("c", C)):
        cluster.run_pod(name, address, gates=(gate,))
    tried = []

    def refuse(what, number):
        if what == "write-pod-condition" and cluster.kube.writing.startswith("shop/a"):
            tried.append(number)
            raise KubeDenied("refused")

    cluster.kube.before = refuse
    cluster.settle(CHECKS_TAKE + LONGEST_POLL)
    assert [cluster.is_ready(name) for name in ("a", "b", "c")] == [False, True, True]
    assert len(tried) > 1
    cluster.kube.before = lambda _what, _number: None
    cluster.settle(LONGEST_POLL)
    assert cluster.is_ready("a")


def test_nothing_is_written_while_only_observing(aws):
    """Under the policy observe pods keep waiting, and AWS is not asked for them."""
    cluster = begin(aws)
    (gate,) = cluster.serve()
    cluster.run_pod("a", A, gates=(gate,))
    cluster.settle(1)
    cluster.policy = Policy(Mode.OBSERVE)
    cluster.crash()
    cluster.settle(1)
    aws.calls.clear()
    cluster.settle(120)
    assert (cluster.gate_writes(), cluster.health_reads()) == (0, 0)


def test_the_driver_offers_what_its_description_says(aws):
    """It watches pods, so the core asks it for gates; only Services that send to pods make it look at any."""
    cluster = begin(aws)
    assert "pods" in cluster.info.watches
    assert isinstance(cluster.driver, JudgesGates)
    wanted = {name: cluster.driver.may_gate(service(annotations=mode)) for name, mode in EVERY_MODE.items()}
    assert [name for name, may in wanted.items() if may] == ["pods"]
    assert not cluster.driver.may_gate(service(annotations=PODS, type="ClusterIP"))
