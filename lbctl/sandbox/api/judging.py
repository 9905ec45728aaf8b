"""What an API server would say of a Service that it has never seen, without one: nothing is listened on or kept.

`lbctl check` asks it, so that a file which no server would store is not called valid.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from lbctl.clock import SystemClock
from lbctl.model.problem import Problem
from lbctl.sandbox.api import decoding
from lbctl.sandbox.api.kinds import NAMESPACES, SERVICES
from lbctl.sandbox.api.objects import Obj
from lbctl.sandbox.api.ownership import Author
from lbctl.sandbox.api.resources import Resources
from lbctl.sandbox.api.rules import rules_of
from lbctl.sandbox.api.service_pools import Pools
from lbctl.sandbox.api.status import Refusal
from lbctl.sandbox.api.store import Store

# Which addresses and node ports there are is each cluster's own, so all are taken to be.
CIDRS = ("10.0.0.0/8", "fd00::/108")
NODE_PORTS = (1, 65535)
HINT = "compare with: kubectl explain service.spec"
AUTHORS = ("name", "generateName", "namespace", "labels", "annotations", "finalizers")
"""The metadata that is its author's; the rest is what a server answered once, and comes with files made by `get`."""


def judge_service(document: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Everything for which an API server would refuse to create the Service, as kube-apiserver 1.36 has it.

    Unknown fields count, as with strict validation. Addresses and node ports are taken to be free.
    """
    unknown: list[str] = []
    try:
        body = decoding.read(SERVICES, _as_written(document), warn=unknown.append, field_validation="Warn")
        _create(body)
    except Refusal as refusal:
        return (*_unknown_fields(unknown), *_problems(refusal))
    return _unknown_fields(unknown)


def _as_written(document: Mapping[str, Any]) -> Obj:
    metadata = {name: value for name, value in document["metadata"].items() if name in AUTHORS}
    spec = document.get("spec")
    if isinstance(spec, dict) and spec.get("clusterIP") != "None":
        spec = {name: value for name, value in spec.items() if name not in ("clusterIP", "clusterIPs")}
    return {"kind": document.get("kind"), "apiVersion": document.get("apiVersion"), "metadata": metadata, "spec": spec}


def _create(body: Obj) -> None:
    chance = random.Random(0)  # noqa: S311 - names and numbers, no secrets
    clock = SystemClock()
    pools = Pools.of(CIDRS, NODE_PORTS, chance)
    resources = Resources(Store(history=1), rules_of(pools), now=clock.now, chance=chance)
    namespace = str(body.get("metadata", {}).get("namespace") or "default")
    resources.seed(NAMESPACES, {"metadata": {"name": namespace}})
    resources.create(SERVICES, namespace, body, author=Author("lbctl", clock.now().isoformat()), dry_run=True)


def _unknown_fields(told: list[str]) -> tuple[Problem, ...]:
    return tuple(Problem(text.partition('"')[2].rstrip('"'), "is no field of a Service", HINT) for text in told)


def _problems(refusal: Refusal) -> tuple[Problem, ...]:
    causes = (refusal.details or {}).get("causes", ())
    if not causes:
        return (Problem("", str(refusal), HINT),)
    return tuple(Problem(cause["field"], cause["message"]) for cause in causes)
