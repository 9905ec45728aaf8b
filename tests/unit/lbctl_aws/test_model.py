"""What the model makes of a Service, without any cloud."""

from dataclasses import replace

import pytest

from lbctl.model.objects import EndpointSlice, ObjectMeta
from lbctl.model.resource import Observed, Seen
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


def group_of(found):
    """The one target group."""
    (group,) = (r for key, r in found.resources.items() if key.kind == TARGETS)
    return group


def seen_with(group, *targets):
    """What is observed of the Service's scope when the group has these targets."""
    there = Seen(replace(group, fields={**group.fields, "targets": frozenset(targets)}), {"arn": "arn"})
    (owner,) = group.owners
    return {balancer_scope(owner): Observed(balancer_scope(owner), {group.key: there})}


@pytest.mark.spec("AWS-071")
@pytest.mark.parametrize("mode", ["nlb-instance", "nlb-ip"])
def test_nothing_is_deregistered_before_nodes_or_slices_are_known(mode):
    """While no node, or no slice of the Service, is known at all, the targets that are there are wanted."""
    read = intent(annotated(mode, **INTERNET), ports=((80, "TCP"),))
    observed = seen_with(group_of(desired(read, nodes=())), "x")
    assert group_of(desired(read, nodes=(), observed=observed)).fields["targets"] == {"x"}
    empty = EndpointSlice(metadata=ObjectMeta(name="web-1", namespace="default"))
    known = desired(read, observed=observed, slices={read.identity: (empty,)})
    assert group_of(known).fields["targets"] == ({"i-a", "i-b"} if mode == "nlb-instance" else frozenset())


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
    observed = seen_with(group_of(desired(read)), "i-other")
    assert group_of(desired(read, observed=observed)).fields["targets"] == {"i-other", "i-a", "i-b"}
