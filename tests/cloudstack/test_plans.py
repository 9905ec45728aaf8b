"""What a plan says is what is sent: the same calls with the same parameters, each after those that it waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbctl.plan.actions import Action
from lbctl_cloudstack.calls import NO_CALLS
from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.faults import is_write
from tests.clouds.cloudstack.topology import add_machine, add_network, add_shared, add_tier
from tests.cloudstack.stage import Stage
from tests.cloudstack.test_wishes import PROXY, SOURCES, STICKINESS
from tests.world import change, node, service

Promise = Callable[[Action], dict[str, Any]]
FIELDS = {
    "port": "publicport",
    "private_port": "privateport",
    "protocol": "protocol",
    "algorithm": "algorithm",
    "network": "networkid",
    "cidrs": "cidrlist",
}


def differences(action: Action) -> dict[str, tuple[Any, Any]]:
    """Old and new of each field that the action's first step changes."""
    return {c.field: (c.old, c.new) for c in action.steps[0].changes}


def new_rule(action: Action) -> dict[str, Any]:
    """All of a rule, under the API's names."""
    step = action.steps[0]
    assert step.desired is not None
    return {"name": step.name} | {FIELDS[f]: v for f, v in step.desired.fields.items() if f in FIELDS}


def changed_rule(action: Action) -> dict[str, Any]:
    """What changes of a rule."""
    return {FIELDS[f]: new for f, (_, new) in differences(action).items() if f in FIELDS}


def joining(action: Action) -> dict[str, Any]:
    """Machines that are not yet members."""
    old, new = differences(action)["machines"]
    return {"virtualmachineids": new - (old or frozenset())}


def leaving(action: Action) -> dict[str, Any]:
    """Machines that are members no more."""
    old, new = differences(action)["machines"]
    return {"virtualmachineids": old - new}


def opened(action: Action) -> dict[str, Any]:
    """The port of a filter, and whom it lets in."""
    port = action.steps[0].key.id
    return {"startport": port, "endport": port, "cidrlist": action.payload.cidrs}


def address(action: Action) -> dict[str, Any]:
    """The address that is taken."""
    return {"ipaddress": differences(action)["ip"][1]}


def seen_id(action: Action) -> dict[str, Any]:
    """The object that goes."""
    return {"id": action.steps[0].seen.outputs["id"]}


PROMISES: dict[str, Promise] = {
    "associateIpAddress": address,
    "disassociateIpAddress": seen_id,
    "createLoadBalancerRule": new_rule,
    "updateLoadBalancerRule": changed_rule,
    "deleteLoadBalancerRule": seen_id,
    "assignToLoadBalancerRule": joining,
    "removeFromLoadBalancerRule": leaving,
    "createFirewallRule": opened,
    "createNetworkACL": opened,
    "deleteFirewallRule": lambda action: {"id": action.payload.id},
    "deleteNetworkACL": lambda action: {"id": action.payload.id},
    "createTags": lambda action: {"resourceids": len(action.steps)},
    "createLBStickinessPolicy": lambda action: {"methodname": differences(action)["method"][1]},
    "deleteLBStickinessPolicy": seen_id,
}


def is_kept(promise: dict[str, Any], sent: dict[str, str]) -> bool:
    """True when a call has these parameters; lists in any order."""
    for name, value in promise.items():
        text = sent.get(name, "")
        if isinstance(value, frozenset):
            if sorted(text.split(",")) != sorted(map(str, value)):
                return False
        elif name == "resourceids":
            if len(text.split(",")) != value:
                return False
        elif text != str(value):
            return False
    return True


def edit(stage: Stage, *, annotations: dict[str, str] | None = None, **spec: Any) -> None:
    """Change a Service's spec and annotations."""
    live = stage.live()
    metadata = change(live.metadata, annotations=live.metadata.annotations | (annotations or {}))
    stage.kube.put(change(live, spec=change(live.spec, **spec), metadata=metadata))


def join(stage: Stage) -> None:
    """A third node."""
    add_machine(stage.cloud, "n3", stage.network)
    take_note_of_node(stage, node("n3"), "n3")


def take_note_of_node(stage: Stage, new: Any, name: str) -> None:
    """A Node comes or goes, and the pause after which the controller looks at it passes."""
    stage.see_node(new, name)
    stage.clock.advance(20)
    stage.controller.tick()


STORY: dict[str, Callable[[Stage], Any]] = {
    "create": lambda stage: stage.kube.put(service(ports=(80, 443))),
    "port changes": lambda stage: edit(stage, ports=service(ports=(80, 8443)).spec.ports),
    "node port changes": lambda stage: edit(stage, ports=_with_node_port(stage, 8443, 31999)),
    "node joins": join,
    "node leaves": lambda stage: take_note_of_node(stage, None, "n3"),
    "affinity": lambda stage: edit(stage, session_affinity="ClientIP"),
    "stickiness": lambda stage: edit(stage, annotations={STICKINESS: "SourceBased"}),
    "proxy": lambda stage: edit(stage, annotations={PROXY: "true"}),
    "ranges narrow": lambda stage: edit(stage, load_balancer_source_ranges=("10.0.0.0/8",)),
    "ranges widen": lambda stage: edit(stage, load_balancer_source_ranges=("10.0.0.0/8", "192.0.2.0/24")),
    "ranges change": lambda stage: edit(stage, load_balancer_source_ranges=("198.51.100.0/24", "192.0.2.0/24")),
    "everybody": lambda stage: edit(stage, load_balancer_source_ranges=()),
    "one source": lambda stage: edit(stage, annotations={SOURCES: "10.0.0.0/8"}),
    "two sources": lambda stage: edit(stage, annotations={SOURCES: "10.0.0.0/8,192.0.2.0/24"}),
    "no proxy": lambda stage: edit(stage, annotations={PROXY: "false"}),
    "delete": lambda stage: stage.kube.delete("shop/web"),
}


def _with_node_port(stage: Stage, port: int, node_port: int) -> Any:
    return tuple(change(p, node_port=node_port) if p.port == port else p for p in stage.live().spec.ports)


def planned_calls(stage: Stage) -> dict[str, Action]:
    """The calls of all plans that would be made now, by id."""
    return {a.id: a for plan in stage.plans() for a in plan.actions if a.call not in NO_CALLS}


@pytest.mark.spec("CS-068")
@pytest.mark.parametrize("make", [add_network, add_tier, add_shared])
def test_the_plan_is_what_is_done(serve, make):
    """Through a whole life: as many calls as the plan says, with the parameters that it says, in the order it says."""
    cloud = Cloud()
    stage = Stage(serve(cloud), make(cloud))
    stage.settle()
    for chapter, act in STORY.items():
        act(stage)
        planned = planned_calls(stage)
        cloud.faults.clear()
        stage.settle(200)
        made = [(name, parameters) for name, parameters in cloud.faults.calls if is_write(name)]
        places: dict[str, int] = {}
        for action in planned.values():
            promise = PROMISES[action.call](action)
            fitting = [
                place
                for place, (name, sent) in enumerate(made)
                if name == action.call and place not in places.values() and is_kept(promise, sent)
            ]
            assert fitting, f"{chapter}: {action.id} with {promise} is not among {made}"
            places[action.id] = fitting[0]
        assert sorted(places.values()) == list(range(len(made))), f"{chapter}: more than the plan was done"
        for action in planned.values():
            befores = {places[before] for before in action.after if before in places}
            assert all(before < places[action.id] for before in befores), f"{chapter}: {action.id} came too early"
        assert planned, f"{chapter} planned nothing"
        assert stage.plans() == [], chapter
    assert not stage.exists()
    assert not stage.bugs
