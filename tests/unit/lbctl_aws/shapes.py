"""Services, networks and places for the tests of the pure stages."""

from __future__ import annotations

from typing import Any

import pytest

from lbctl.driver import World
from lbctl.errors import InvalidService
from lbctl.model.node import NodeSet
from lbctl.model.objects import Node, NodeCondition, NodeSpec, NodeStatus, ObjectMeta, Service, ServicePort, ServiceSpec
from lbctl_aws.annotations import AWS
from lbctl_aws.parse import parse
from lbctl_aws.settings import LBC_CLASS, AwsSettings

UID = "8c9a1f1e-52f4-4b0e-9a53-0d6b6f3f2a10"
SETTINGS = AwsSettings()
LBC = {AWS + "type": "external", AWS + "nlb-target-type": "instance"}
MODES: dict[str, dict[str, str]] = {
    "clb": {},
    "nlb-legacy": {AWS + "type": "nlb"},
    "nlb-instance": LBC,
    "nlb-ip": {AWS + "type": "external", AWS + "nlb-target-type": "ip"},
}


def service(
    annotations: dict[str, str] | None = None,
    *,
    ports: tuple[tuple[int, str], ...] = ((80, "TCP"), (443, "TCP")),
    **spec: Any,
) -> Service:
    """A Service; node ports are 31000 + the port's last three digits."""
    listed = tuple(
        ServicePort(port=n, protocol=p, name=f"p{n}{p.lower()}", node_port=31000 + n % 1000, target_port=n)
        for n, p in ports
    )
    return Service(
        metadata=ObjectMeta(name="web", namespace="default", uid=UID, annotations=annotations or {}),
        spec=ServiceSpec(**{"type": "LoadBalancer", "ports": listed, "ip_families": ("IPv4",), **spec}),
    )


def intent(annotations: dict[str, str] | None = None, *, settings: AwsSettings = SETTINGS, **spec: Any) -> Any:
    """The parsed Service."""
    return parse(service(annotations, **spec), settings)


def problems(annotations: dict[str, str] | None = None, *, settings: AwsSettings = SETTINGS, **spec: Any) -> list[str]:
    """What is wrong with the Service; fails when nothing is."""
    with pytest.raises(InvalidService) as raised:
        parse(service(annotations, **spec), settings)
    return [str(problem) for problem in raised.value.problems]


def annotated(mode: str, **values: str) -> dict[str, str]:
    """Annotations of a mode, with values by the annotation's suffix; `_` stands for `-`."""
    return {**MODES[mode], **{AWS + key.replace("_", "-"): value for key, value in values.items()}}


def node(name: str, *, provider: str = "", ready: str = "True", **meta: Any) -> Node:
    """A node with an instance id of its name."""
    return Node(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}", **meta),
        spec=NodeSpec(provider_id=provider or f"aws:///eu-west-1a/i-{name}"),
        status=NodeStatus(conditions=(NodeCondition(type="Ready", status=ready),)),
    )


def world(nodes: tuple[Node, ...], **values: Any) -> World:
    """A World with these nodes."""
    import datetime as dt

    from lbctl.driver import Cluster

    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return World(Cluster("demo", "demo"), now, nodes=NodeSet.of(nodes), **values)


CLASSED = LBC_CLASS
