"""The plan is a value: the same whatever the order of its input."""

from __future__ import annotations

import random

from lbctl.clock import ManualClock
from lbctl.driver import Cluster, World
from lbctl.model.node import NodeSet
from lbctl.model.resource import Identity, Observed
from lbctl.plan.render import plan_lines
from lbctl_cloudstack.model import Candidate, Facts, intersection, model_scope
from lbctl_cloudstack.names import own_scope
from lbctl_cloudstack.networks import Machine, Network
from lbctl_cloudstack.parse import parse_service
from lbctl_cloudstack.plan import build_actions
from lbctl_cloudstack.settings import CloudStackSettings
from tests.world import change, service

UID = "00000001-0000-4000-8000-000000000000"


def plan_text(order: random.Random) -> str:
    """The plan for a new Service of three ports, made from shuffled input."""
    wanted = service(ports=(80, 443, 8080), load_balancer_source_ranges=("10.0.0.0/8", "192.0.2.0/24"))
    wanted = change(wanted, metadata=change(wanted.metadata, uid=UID))
    ports = list(wanted.spec.ports)
    order.shuffle(ports)
    wanted = change(wanted, spec=change(wanted.spec, ports=tuple(ports)))
    intent = parse_service(wanted, CloudStackSettings())
    machines = [Machine(f"m{n}", f"n{n}", networks=frozenset({"net"})) for n in range(5)]
    order.shuffle(machines)
    network = Network("net", "k8s", provider="VirtualRouter", services=frozenset({"Lb", "Firewall"}))
    facts = Facts({"net": network}, tuple(machines), candidates=(Candidate("203.0.113.7"),))
    identity = Identity("shop", "web", UID)
    world = World(
        Cluster(id="c"), ManualClock().now(), NodeSet(), intents={identity: intent}, services={identity: wanted}
    )
    scope = own_scope(UID)
    desired = model_scope(scope, world, facts, tags=True)
    return "\n".join(plan_lines(build_actions(desired, Observed(scope), world, updates_cidrs=True)))


def test_shuffled_input_gives_the_same_plan():
    """Ports and machines in any order make one text."""
    texts = {plan_text(random.Random(seed)) for seed in range(10)}
    assert len(texts) == 1
    assert "8080" in texts.pop()


def test_the_intersection_of_ranges_is_what_both_admit():
    """The narrower of two nested ranges, nothing of disjoint ones."""
    assert intersection(frozenset({"0.0.0.0/0"}), frozenset({"10.0.0.0/8"})) == {"10.0.0.0/8"}
    assert intersection(frozenset({"10.0.0.0/8"}), frozenset({"10.1.0.0/16", "192.0.2.0/24"})) == {"10.1.0.0/16"}
    assert intersection(frozenset({"10.0.0.0/8"}), frozenset({"192.0.2.0/24"})) == frozenset()
