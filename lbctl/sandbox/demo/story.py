"""What happens in the demo, step by step: a table of names and functions, in the order in which they are played.

Each step changes something as a user would, shows the plan first, and checks with traffic that it came true. A step
raises an `LbctlError` when something is not as it should be; the last two are played in any case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import msgspec
import yaml

from lbctl.engine.summary import State
from lbctl.model.objects import Service
from lbctl.sandbox.demo.stage import Stage, StepFailed, annotation, spec
from lbctl.sandbox.nodes.traffic import Kind
from lbctl.sandbox.nodes.workloads import REPLICAS_ANNOTATION

WEB, ORDERS, NAMES, STRANGER = "shop/web", "shop/orders", "shop/names", "shop/stranger"
PODS = 3
ALLOWED, REFUSED = "127.0.0.9", "127.0.0.8"
ALGORITHM = "lbctl.io/algorithm"

Step = Callable[[Stage], None]


def manifests() -> list[dict[str, Any]]:
    """The documents that the demo applies."""
    text = resources.files(__package__).joinpath("manifests.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def apply_manifests(stage: Stage) -> None:
    """Apply three Services before anybody serves them, show the plan, then let the controller work."""
    for document in manifests():
        stage.hands.apply(document)
        meta = document["metadata"]
        stage.screen.say(
            f"  $ apply {document['kind']} {meta.get('namespace', '')}{'/' * ('namespace' in meta)}{meta['name']}"
        )
    stage.screen.say("  lbctl plan says:")
    stage.show_plan()
    stage.screen.say("  the controller starts")
    stage.start_controller()
    for key in (WEB, ORDERS, NAMES):
        stage.wait_state(key, State.READY)
    stage.wait_settled()


def send_traffic(stage: Stage) -> None:
    """Every port of every Service answers, and all three pods of each take part."""
    for key in (WEB, ORDERS, NAMES):
        stage.fleet.wait_served(key, pods=PODS)
    for kind, key, port in (
        (Kind.HTTP, WEB, 8080),
        (Kind.TCP, ORDERS, 7000),
        (Kind.UDP, NAMES, 5353),
        (Kind.TCP, NAMES, 5353),
    ):
        _tell(stage, f"{kind} {stage.address(key)}:{port}", stage.ask(kind, key, port, at_least=PODS))


def join_node(stage: Stage) -> None:
    """A node joins and becomes a target of every Service, and no request is lost meanwhile."""
    node = stage.fleet.join()
    stage.screen.say(f"  {node.name} joins at {node.address}; lbctl plan says:")
    stage.show_plan()
    with stage.steady(Kind.HTTP, WEB, 8080):
        stage.wait_settled()
    stage.ask(Kind.HTTP, WEB, 8080, at_least=PODS)


def lose_node(stage: Stage) -> None:
    """A node leaves, and the others serve on."""
    leaving = stage.fleet.nodes()[0].name
    stage.screen.say(f"  {leaving} is going to leave; lbctl plan says:")
    stage.show_plan(nodes=[node for node in stage.nodes() if node.metadata.name != leaving])
    stage.fleet.leave(leaving)
    stage.wait_settled()
    for key in (WEB, ORDERS, NAMES):
        stage.fleet.wait_served(key, pods=PODS)
    stage.ask(Kind.HTTP, WEB, 8080, at_least=PODS)
    stage.ask(Kind.TCP, ORDERS, 7000, at_least=PODS)


def change_port_and_ranges(stage: Stage) -> None:
    """The port moves and only one client may come in."""
    ports = [{"name": "http", "port": 8088, "targetPort": 8080}]
    _change(stage, WEB, spec(ports=ports, loadBalancerSourceRanges=[f"{ALLOWED}/32"]))
    pods = stage.ask(Kind.HTTP, WEB, 8088, at_least=PODS, source=ALLOWED)
    _tell(stage, f"http {stage.address(WEB)}:8088 from {ALLOWED}", pods)
    _expect(stage.is_refused(Kind.HTTP, WEB, 8088, source=REFUSED), f"{REFUSED} was answered, though it is not allowed")
    stage.screen.say(f"  from {REFUSED}: refused, as it should be")
    _expect(stage.is_refused(Kind.HTTP, WEB, 8080, source=ALLOWED), "the old port 8080 still answers")
    _change(stage, WEB, spec(loadBalancerSourceRanges=None))


def keep_traffic_local(stage: Stage) -> None:
    """With traffic policy Local a request stays on the node that it came to."""
    before = _second_hops(stage)
    _change(stage, WEB, spec(externalTrafficPolicy="Local"))
    stage.wait("requests to stay on their node", lambda: not _second_hops(stage))
    stage.screen.say(f"  requests that took a second hop: {before} of 12 before, 0 of 12 now")
    stage.hands.patch(WEB, spec(externalTrafficPolicy="Cluster"))
    stage.wait_settled()


def scale_to_zero(stage: Stage) -> None:
    """Without pods nobody answers, the address stays; with pods all is as before."""
    address = stage.address(ORDERS)
    _change(stage, ORDERS, annotation(REPLICAS_ANNOTATION, "0"))
    stage.wait("requests to be refused", lambda: stage.is_refused(Kind.TCP, ORDERS, 7000))
    _expect(stage.address(ORDERS) == address, "the address changed")
    stage.screen.say(f"  0 pods: {address}:7000 refuses, and the address is kept")
    stage.hands.patch(ORDERS, annotation(REPLICAS_ANNOTATION, None))
    stage.fleet.wait_served(ORDERS, pods=PODS)
    stage.wait("requests to be answered again", lambda: not stage.is_refused(Kind.TCP, ORDERS, 7000))
    _tell(stage, f"tcp {address}:7000 with 3 pods", stage.ask(Kind.TCP, ORDERS, 7000, at_least=PODS))


def break_annotation(stage: Stage) -> None:
    """A mistake is named on the Service, and what it has goes on serving."""
    _change(stage, WEB, annotation(ALGORITHM, "fastest"), settle=False)
    summary = stage.wait_state(WEB, State.FAILED)
    stage.screen.say(f"  condition {summary.reason}: {summary.message}")
    stage.ask(Kind.HTTP, WEB, 8088, at_least=PODS)
    stage.screen.say("  and it still serves; the annotation is mended")
    with stage.steady(Kind.HTTP, WEB, 8088):
        _change(stage, WEB, annotation(ALGORITHM, "least-request"))
        stage.wait_state(WEB, State.READY)


def leave_strangers_alone(stage: Stage) -> None:
    """A Service of a class that nobody here serves gets nothing, and it is said why."""
    document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": "stranger"},
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "example.com/other",
            "selector": {"app": "web"},
            "ports": [{"port": 9090}],
        },
    }
    imagined = msgspec.json.decode(stage.hands.apply(document, dry_run=True), type=Service)
    stage.screen.say("  a Service of class example.com/other; lbctl plan says:")
    stage.show_plan(imagined)
    _expect(not stage.changes(imagined), "something is planned for another controller's Service")
    stage.hands.apply(document)
    summary = stage.wait_state(STRANGER, State.FOREIGN)
    stage.screen.say(f"  left alone: {summary.message}")
    _expect(not summary.addresses, "it has an address")


def delete_everything(stage: Stage) -> None:
    """All Services are deleted; each goes only when its balancer is gone."""
    services = stage.balancers()
    stage.screen.say(f"  {len(services)} Services are going to be deleted; lbctl plan says:")
    stage.show_plan(*(_deleted(service) for service in services))
    for service in services:
        stage.hands.delete(service.key)
    stage.wait("all Services to be gone", lambda: not stage.balancers())


def prove_nothing_is_left(stage: Stage) -> None:
    """Data plane and API server are read afresh: no part of a balancer, no finalizer, no address that answers."""
    stage.report.leftovers = stage.count_leftovers()
    stage.screen.say(
        f"  listeners, pools, addresses, Services, finalizers and ports that answer: {stage.report.leftovers}"
    )
    _expect(stage.report.leftovers == 0, f"{stage.report.leftovers} things are left")


STEPS: tuple[tuple[str, Step], ...] = (
    ("apply three Services", apply_manifests),
    ("send traffic", send_traffic),
    ("a node joins", join_node),
    ("a node leaves", lose_node),
    ("change port and source ranges", change_port_and_ranges),
    ("traffic policy Local", keep_traffic_local),
    ("scale to zero and back", scale_to_zero),
    ("a bad annotation", break_annotation),
    ("an unknown class", leave_strangers_alone),
)
ENDING: tuple[tuple[str, Step], ...] = (
    ("delete everything", delete_everything),
    ("nothing is left", prove_nothing_is_left),
)


def _change(stage: Stage, key: str, change: Mapping[str, Any], *, settle: bool = True) -> None:
    stage.screen.say(f"  $ patch {key} {msgspec.json.encode(change).decode()}; lbctl plan says:")
    stage.show_plan(stage.hands.patch(key, change, dry_run=True))
    stage.hands.patch(key, change)
    if settle:
        stage.wait_settled()


def _second_hops(stage: Stage) -> int:
    address_of = {node.name: node.address for node in stage.fleet.nodes()}
    nodes = set(address_of.values())
    seen = stage.clients_seen(WEB, 8088, count=12)
    return sum(1 for node, client in seen if client in nodes and client != address_of.get(node))


def _deleted(service: Service) -> Service:
    meta = msgspec.structs.replace(service.metadata, deletion_timestamp="2000-01-01T00:00:00Z")
    return msgspec.structs.replace(service, metadata=meta)


def _tell(stage: Stage, what: str, pods: Counter[str]) -> None:
    counts = ", ".join(f"{pod} {count}x" for pod, count in sorted(pods.items()))
    stage.screen.say(f"  {what} -> {counts}")


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence at every call
    if not holds:
        raise StepFailed(otherwise)
