"""What the model makes of a Service, without any cloud."""

import pytest

from lbctl.model.objects import EndpointSlice, ObjectMeta
from lbctl.model.resource import Observed, Resource, Seen
from lbctl_aws.model import build_balancer
from lbctl_aws.network import Network, Subnet
from lbctl_aws.place import TARGETS, BalancerFacts, balancer_scope
from tests.unit.lbctl_aws.shapes import MODES, SETTINGS, annotated, intent, node, world

FACTS = BalancerFacts(
    Network("vpc-1", ("10.0.0.0/16",), (Subnet("subnet-1", "eu-west-1a", "10.0.0.0/24", public=True),))
)
INTERNET = {"scheme": "internet-facing"}


def desired(read, **values):
    """The desired state of one Service's balancer scope."""
    nodes = values.pop("nodes", (node("a"), node("b")))
    here = world(nodes, intents={read.identity: read}, **values)
    return build_balancer(balancer_scope(read.identity), here, FACTS, settings=SETTINGS, cluster="demo")


def targets(found):
    """The targets of the one target group."""
    (group,) = (r for key, r in found.resources.items() if key.kind == TARGETS)
    return group.key, group.fields["targets"]


@pytest.mark.spec("AWS-071")
@pytest.mark.parametrize("mode", ["nlb-instance", "nlb-ip"])
def test_nothing_is_deregistered_before_nodes_or_slices_are_known(mode):
    """While no node, or no slice of the Service, is known at all, the targets that are there are wanted."""
    read = intent(annotated(mode, **INTERNET), ports=((80, "TCP"),))
    key, _ = targets(desired(read, nodes=()))
    scope = balancer_scope(read.identity)
    there = Seen(Resource(key, key.id, {"targets": frozenset({"x"})}, frozenset({read.identity})), {"arn": "arn"})
    observed = {scope: Observed(scope, {key: there})}
    assert targets(desired(read, nodes=(), observed=observed))[1] == {"x"}
    empty = EndpointSlice(metadata=ObjectMeta(name="web-1", namespace="default"))
    known = desired(read, observed=observed, slices={read.identity: (empty,)})
    assert targets(known)[1] == ({"i-a", "i-b"} if mode == "nlb-instance" else frozenset())


@pytest.mark.parametrize("mode", MODES)
def test_the_same_service_makes_the_same_model(mode):
    """Shuffled ports and nodes make the same resources with the same fields."""
    annotations = annotated(mode, **(INTERNET if mode.startswith("nlb-i") else {}))
    one = intent(annotations, ports=((80, "TCP"), (443, "TCP")))
    other = intent(annotations, ports=((443, "TCP"), (80, "TCP")))
    first = desired(one, nodes=(node("a"), node("b")))
    second = desired(other, nodes=(node("b"), node("a")))
    assert {k: dict(r.fields) for k, r in first.resources.items()} == {
        k: dict(r.fields) for k, r in second.resources.items()
    }


def test_a_multi_cluster_group_loses_no_target():
    """With multi-cluster-target-group what others registered stays wanted."""
    read = intent(annotated("nlb-instance", multi_cluster_target_group="true", **INTERNET), ports=((80, "TCP"),))
    key, _ = targets(desired(read))
    scope = balancer_scope(read.identity)
    there = Seen(Resource(key, key.id, {"targets": frozenset({"i-other"})}, frozenset({read.identity})))
    found = desired(read, observed={scope: Observed(scope, {key: there})})
    assert targets(found)[1] == {"i-other", "i-a", "i-b"}
