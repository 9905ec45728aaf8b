"""A Service that shares its listener with another one by weights, on the honest AWS."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from lbctl.model.objects import Service
from lbctl_aws.annotations import PREFIX
from moto_fixtures.world import AwsWorld
from tests.aws.cluster import EXTERNAL, PODS, Cluster, ready_pods, service

CANARY_PODS = ("10.0.12.101", "10.0.12.102")
TARGET_TYPES = {"instance": EXTERNAL, "ip": PODS}
BACKEND_TYPE = {"instance": "NodePort", "ip": "ClusterIP"}


def action(
    *, service: str = "canary", port: int | str = 8080, weight: int = 10, base: int = 90, **more: Any
) -> dict[str, Any]:
    """A forward action to one port of another Service."""
    entry = {"serviceName": service, "servicePort": port, "weight": weight, **more}
    return {"type": "forward", "forwardConfig": {"baseServiceWeight": base, "targetGroups": [entry]}}


def annotated(mode: dict[str, str], listeners: dict[str, dict[str, Any]], **more: str) -> dict[str, str]:
    """A mode's annotations with these actions by listener."""
    return {**mode, **more, **{f"{PREFIX}actions.{name}": json.dumps(text) for name, text in listeners.items()}}


def canary(kind: str = "ClusterIP", *, port: int = 8080, name: str = "canary", **spec: Any) -> Service:
    """The Service that takes a part of the traffic."""
    return service(name, ports=(port,), node_ports={port: 31880}, type=kind, **spec)


def begin(aws: AwsWorld, target_type: str = "ip", *, topology: Any = "basic", **action_changes: Any) -> Cluster:
    """A cluster with a canary, and with `web` on port 80 that gives it 10 of 100 connections."""
    cluster = Cluster.begin(aws, topology)
    add_canary(cluster, BACKEND_TYPE[target_type])
    cluster.apply(service(annotations=annotated(TARGET_TYPES[target_type], {"TCP-80": action(**action_changes)})))
    assert not cluster.bugs
    return cluster


def add_canary(cluster: Cluster, kind: str = "ClusterIP", *pods: str, **spec: Any) -> None:
    """Create the canary with its pods."""
    cluster.see_slice(ready_pods(canary(kind, **spec), pods or CANARY_PODS))
    cluster.apply(canary(kind, **spec))


def move_canary(cluster: Cluster, *pods: str) -> None:
    """Have the canary's pods at these addresses."""
    cluster.see_slice(ready_pods(canary(), pods))


def group_of(cluster: Cluster, name: str) -> str:
    """Name of the one target group that serves the Service of this name."""
    (found,) = (group for group in cluster.target_groups() if re.fullmatch(f"k8s-shop-{name}-[0-9a-f]{{10}}", group))
    return found


def weights(cluster: Cluster, port: int = 80) -> dict[str, int]:
    """What a listener of the only balancer forwards to: weights by the name of the target group."""
    (balancer,) = cluster.balancers()
    (default,) = cluster.listeners(balancer)[port]["DefaultActions"]
    names = {group["TargetGroupArn"]: name for name, group in cluster.target_groups().items()}
    listed = default.get("ForwardConfig", {}).get("TargetGroups") or [{"TargetGroupArn": default["TargetGroupArn"]}]
    return {names[one["TargetGroupArn"]]: one.get("Weight", 1) for one in listed}


def upstream_name(cluster: Cluster, *, port: int, target_type: str, protocol: str = "TCP") -> str:
    """The name that LBC gives the canary's group, put together from its parts."""
    uids = [cluster.live(name).metadata.uid for name in ("web", "canary")]
    parts = ("demo", *uids, str(port), "8080", target_type, protocol, "TCP", "10")
    return "k8s-shop-canary-" + hashlib.sha256("".join(parts).encode()).hexdigest()[:10]
