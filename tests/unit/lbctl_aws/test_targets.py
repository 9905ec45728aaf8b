"""Which nodes and pods are targets."""

import pytest

from lbctl.model.objects import (
    Condition,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    ObjectMeta,
    Pod,
    PodSpec,
    PodStatus,
    ReadinessGate,
    Taint,
    TargetRef,
)
from lbctl_aws.gates import PREFIX, gates_of
from lbctl_aws.names import with_generation
from lbctl_aws.network import Network
from lbctl_aws.options import options_of
from lbctl_aws.targets import (
    InstanceIds,
    PodGroup,
    instance_id,
    instance_targets,
    is_target,
    parse_target,
    pod_targets,
)
from tests.unit.lbctl_aws.shapes import MODES, annotated, intent, node, world
from tests.world import change


@pytest.mark.spec("AWS-038")
@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("aws:///eu-west-1a/i-0abc", "i-0abc"),
        ("aws:////i-0abc", "i-0abc"),
        ("i-0abc", "i-0abc"),
        ("aws:///eu-west-1a/fargate-ip-10-0-0-1", None),
        ("eks-hybrid:///eu-west-1/demo/i-0abc", None),
    ],
)
def test_provider_ids_name_instances(provider, expected):
    """All upstream forms are read; fargate and hybrid nodes are no instances."""
    assert instance_id(node("x", provider=provider)) == expected


@pytest.mark.spec("AWS-038")
def test_a_node_without_provider_id_leaves_the_others_alone():
    """One node without a provider id is left out, the others stay targets."""
    nodes = (node("a"), change(node("b"), spec=change(node("b").spec, provider_id="")))
    assert InstanceIds()(nodes) == {"i-a"}


@pytest.mark.spec("AWS-039")
@pytest.mark.parametrize(
    "leaving",
    [
        {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}},
        {"labels": {"eks.amazonaws.com/compute-type": "fargate"}},
        {"deletion_timestamp": "2026-01-01T00:00:00Z"},
    ],
)
def test_marked_nodes_are_no_targets(leaving):
    """The exclude label, fargate's label and a deletion keep a node out."""
    assert is_target(node("a"))
    assert not is_target(node("a", **leaving))


@pytest.mark.spec("AWS-039")
@pytest.mark.parametrize("key", ["ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted"])
def test_condemned_nodes_are_no_targets(key):
    """The taints of both autoscalers take a node out before it dies."""
    tainted = node("a")
    assert not is_target(change(tainted, spec=change(tainted.spec, taints=(Taint(key=key, effect="NoSchedule"),))))


@pytest.mark.spec("AWS-040")
def test_node_labels_choose_targets():
    """A label with a value must match, one without must exist; all must."""
    here = world((node("a", labels={"pool": "edge", "fast": "1"}), node("b", labels={"pool": "edge"}), node("c")))
    chosen = options_of(intent(annotated("clb", target_node_labels="pool=edge,fast")))
    assert instance_targets(here, chosen, limit=10) == {"i-a"}
    chosen = options_of(intent(annotated("clb", target_node_labels="pool=edge")))
    assert instance_targets(here, chosen, limit=10) == {"i-a", "i-b"}


def test_services_with_the_same_labels_share_one_set():
    """Thousands of target groups hold the same set object, so that comparing them costs nothing."""
    here = world((node("a"), node("b")))
    options = options_of(intent(MODES["nlb-legacy"]))
    assert instance_targets(here, options, limit=10) is instance_targets(here, options, limit=10)


def test_a_limit_keeps_zones_in_balance():
    """With more nodes than a group takes, each zone gives its share, the same ones each time."""
    nodes = tuple(node(f"{z}{n}", provider=f"aws:///zone-{z}/i-{z}{n}") for z in "ab" for n in range(5))
    chosen = InstanceIds(limit=4)(nodes)
    assert chosen == {"i-a0", "i-a1", "i-b0", "i-b1"} == InstanceIds(limit=4)(nodes[::-1])


def endpoint(address, *, ready=True, node_name="a", kind="Pod", terminating=None, uid=""):
    """An endpoint."""
    return Endpoint(
        addresses=(address,),
        conditions=EndpointConditions(ready=ready, terminating=terminating),
        node_name=node_name,
        target_ref=TargetRef(kind=kind, name="pod", uid=uid),
    )


GROUP = "k8s-default-web-0123456789"


def pods(*endpoints, nodes=(), port=8080, waiting=()):
    """The targets that these endpoints make for the port p80tcp, where these pods have gates."""
    read = intent(MODES["nlb-ip"])
    one = EndpointSlice(
        metadata=ObjectMeta(name="web-1", namespace="default"),
        endpoints=endpoints,
        ports=(EndpointPort(name="p80tcp", port=port), EndpointPort(name="other", port=1)),
    )
    here = world(nodes, slices={read.identity: (one,)}, pods={pod.metadata.uid: pod for pod in waiting})
    group = PodGroup(GROUP, 8080, Network("vpc-1", ("10.0.0.0/16",)))
    return pod_targets(here, read, read.ports[0], group)


def gated(*gates, true=()):
    """A pod with these gates, of whose conditions exactly these are true."""
    conditions = tuple(Condition(type=kind, status="True") for kind in true)
    return Pod(
        metadata=ObjectMeta(name="pod", namespace="default", uid="pod-1"),
        spec=PodSpec(readiness_gates=tuple(ReadinessGate(condition_type=gate) for gate in gates)),
        status=PodStatus(conditions=conditions),
    )


def test_pods_are_targets_while_they_are_ready():
    """Ready pods count; terminating ones and endpoints that are no pods do not; an address outside gets zone all."""
    assert pods(endpoint("10.0.0.1"), endpoint("10.0.0.2", ready=False)) == {"10.0.0.1"}
    assert pods(endpoint("10.0.0.1", ready=None), endpoint("10.0.0.2", terminating=True)) == {"10.0.0.1"}
    assert pods(endpoint("10.0.0.1", kind="Node")) == frozenset()
    assert pods(endpoint("192.168.0.1")) == {"192.168.0.1@all"}
    assert pods(endpoint("10.0.0.1"), port=9090) == {"10.0.0.1|9090"}


def test_without_a_ready_pod_those_on_unknown_nodes_serve():
    """When no pod is ready, pods on nodes that nothing is known of are taken rather than none."""
    nodes = (node("a", ready="Unknown"), node("b"))
    assert pods(endpoint("10.0.0.1", ready=False), endpoint("10.0.0.2", ready=False, node_name="b"), nodes=nodes) == {
        "10.0.0.1"
    }


OURS, OTHERS = PREFIX + GROUP, "example.com/ready"


@pytest.mark.spec("AWS-072")
@pytest.mark.parametrize(
    ("pod", "is_target"),
    [
        (gated(OURS, true=("ContainersReady",)), True),
        (gated(OURS), False),
        (gated(OURS, OTHERS, true=("ContainersReady",)), False),
        (gated(OURS, OTHERS, true=("ContainersReady", OTHERS)), True),
        (gated(OURS, PREFIX + "another", true=("ContainersReady",)), True),
        (gated(PREFIX + "another", true=("ContainersReady",)), False),
    ],
    ids=["waits", "containers", "others", "others are open", "two groups", "another group"],
)
def test_a_pod_that_waits_only_for_its_target_is_one(pod, is_target):
    """Its endpoint is not ready before AWS checks it, and AWS checks it only as a target; other waits go first."""
    waiting = endpoint("10.0.0.1", ready=False, uid="pod-1", node_name="b")
    assert pods(endpoint("10.0.0.2"), waiting, waiting=[pod], nodes=(node("b"),)) == (
        {"10.0.0.1", "10.0.0.2"} if is_target else {"10.0.0.2"}
    )


def test_the_state_of_a_node_keeps_no_pod_waiting():
    """Nodes are seen as they were when they last changed as targets, so that only AWS can say whether one answers."""
    waiting = endpoint("10.0.0.1", ready=False, uid="pod-1", node_name="b")
    pod = gated(OURS, true=("ContainersReady",))
    assert pods(waiting, waiting=[pod], nodes=(node("b", ready="False"),)) == {"10.0.0.1"}


def test_a_terminating_pod_and_a_predecessors_endpoint_do_not_wait():
    """Nobody waits for a pod that goes, and the condition of a new pod says nothing of one that had its name."""
    pod = gated(OURS, true=("ContainersReady",))
    leaving = endpoint("10.0.0.1", ready=False, terminating=True, uid="pod-1")
    former = endpoint("10.0.0.3", ready=False, uid="pod-0")
    assert pods(endpoint("10.0.0.2"), leaving, former, waiting=[pod]) == {"10.0.0.2"}


def test_a_group_answers_to_the_gates_of_the_name_that_it_took_over():
    """A group that had to be made beside another of its name serves the pods that were made for that one."""
    base = "k8s-default-longname-0123456789"
    for group in (base, with_generation(base, 2), with_generation(base, 12)):
        assert gates_of(group, [PREFIX + base, PREFIX + "k8s-default-web-2", "x/" + base]) == {PREFIX + base}
    assert gates_of(with_generation(base, 2), [PREFIX + with_generation(base, 2)]) != set()
    assert gates_of(base, [PREFIX + with_generation(base, 2)]) == frozenset()


def test_a_target_text_reads_back():
    """Id, port and zone of a target come back from its text."""
    target = parse_target("192.168.0.1|9090@all", group_port=80)
    assert (target.id, target.port, target.zone) == ("192.168.0.1", 9090, "all")
    assert parse_target("i-1", group_port=31000).port == 31000
