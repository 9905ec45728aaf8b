"""Bodies of all patches that we send for Services and Pods: pure functions from views to JSON values.

`writes` sends them. Each body names the uid and the version that the caller saw, so that the server refuses it for a
recreated object (422) and for a changed one (409). Lists are written whole, with the entries of others as read; a
finalizer is removed by name, never by writing the list.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbctl.model.objects import Condition, Ingress, Pod, PortStatus, Service

Json: TypeAlias = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """What goes together with the finalizer: the ingress, conditions by type, and annotations by key."""

    ingress: bool = True
    condition_types: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()


def build_finalizer_addition(service: Service, names: Sequence[str]) -> Json:
    """Merge patch: the finalizers as read, then those of `names` that are missing."""
    present = service.metadata.finalizers
    return {"metadata": _identity(service) | {"finalizers": list(dict.fromkeys((*present, *names)))}}


def build_finalizer_removal(service: Service, names: Sequence[str], clearing: Clearing | None = None) -> Json:
    """Strategic merge patch: `names` leave the set of finalizers, whoever else is in it stays."""
    metadata = _identity(service) | {"$deleteFromPrimitiveList/finalizers": list(names)}
    if clearing and clearing.annotations:
        metadata["annotations"] = dict.fromkeys(clearing.annotations)
    body: Json = {"metadata": metadata}
    status = _cleared(clearing) if clearing else {}
    return body | ({"status": status} if status else {})


def build_status(
    service: Service,
    *,
    ingress: Sequence[Ingress],
    conditions: Sequence[Condition],
    annotations: Mapping[str, str | None] | None = None,
) -> Json:
    """Merge patch: exactly this ingress and these conditions, others' included, and annotations; None removes one.

    Without any condition, before and after, the list is left out.
    """
    metadata = _identity(service) | ({"annotations": dict(annotations)} if annotations else {})
    status: Json = {"loadBalancer": {"ingress": [_ingress(entry) for entry in ingress] or None}}
    if conditions or service.status.conditions:
        status["conditions"] = [_condition(entry) for entry in conditions] or None
    return {"metadata": metadata, "status": status}


def build_pod_condition(pod: Pod, condition: Condition) -> Json:
    """Strategic merge patch: this condition, whatever else the kubelet has written meanwhile.

    The list is a map by `type`, and only we write this one, so the version that was seen does not matter; the uid does.
    """
    return {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [_condition(condition)]}}


def _identity(service: Service) -> Json:
    return {"uid": service.metadata.uid, "resourceVersion": service.metadata.resource_version}


def _cleared(clearing: Clearing) -> Json:
    status: Json = {"loadBalancer": {"ingress": None}} if clearing.ingress else {}
    if clearing.condition_types:
        # The list is a map by `type` for a strategic patch, so the entries of others need not be named.
        status["conditions"] = [{"$patch": "delete", "type": name} for name in clearing.condition_types]
    return status


def _ingress(entry: Ingress) -> Json:
    # Members are named one by one: the views leave defaults out, but the API requires some of them.
    values = {"ip": entry.ip, "hostname": entry.hostname, "ipMode": entry.ip_mode}
    ports = {"ports": [_port(port) for port in entry.ports]} if entry.ports else {}
    return {name: value for name, value in values.items() if value is not None} | ports


def _port(port: PortStatus) -> Json:
    error = {"error": port.error} if port.error is not None else {}
    return {"port": port.port, "protocol": port.protocol} | error


def _condition(entry: Condition) -> Json:
    values = {
        "type": entry.type,
        "status": entry.status,
        "reason": entry.reason,
        "message": entry.message,
        "lastTransitionTime": entry.last_transition_time,
    }
    generation = {"observedGeneration": entry.observed_generation} if entry.observed_generation else {}
    return {name: value for name, value in values.items() if value is not None} | generation
