"""What the API server would hold after `kubectl apply` of a document: the merge, and the defaults that matter. Pure.

`lbctl plan -f` and `lbctl check` use it where no server is asked. What only a server allocates (uid, node ports) is
assumed, the same for the same Service, and replaced by the real ones with `--server-dry-run`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from lbctl.model.objects import Service, ServicePort

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ASSUMED_NODE_PORT = 30_000
ASSUMED_HEALTH_PORT = 32_767
NAMESPACE_OF_UIDS = uuid.UUID("6b1f1d6e-6d1c-5f0e-9a52-0c1b6f7c5a10")

Json = dict[str, Any]


def merged(live: Mapping[str, Any] | None, document: Mapping[str, Any]) -> Json:
    """The live object with the document applied on it, three-way as kubectl does; lists are replaced as wholes.

    Node ports of ports that stay are kept. `live` None means that there is no such object yet.
    """
    meta = dict(document.get("metadata") or {})
    meta.setdefault("namespace", "default")
    wanted = {**document, "metadata": meta, "spec": dict(document.get("spec") or {})}
    if live is None:
        return wanted
    before = _last_applied(live)
    metadata = dict(live["metadata"])
    for field in ("labels", "annotations"):
        metadata[field] = _overlay(metadata.get(field), before.get("metadata", {}).get(field), meta.get(field))
    spec = _overlay(live.get("spec"), before.get("spec"), wanted["spec"])
    spec["ports"] = _with_node_ports(spec.get("ports", []), live.get("spec", {}).get("ports", []))
    return {**live, "metadata": metadata, "spec": spec}


def as_created(service: Service) -> Service:
    """The Service with what a server would have filled in on creation; what it has stays."""
    meta = service.metadata
    namespace = meta.namespace or "default"
    uid = meta.uid or str(uuid.uuid5(NAMESPACE_OF_UIDS, f"{namespace}/{meta.name}"))
    spec = service.spec
    allocates = spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports
    needs_health_port = spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local"
    return msgspec.structs.replace(
        service,
        metadata=msgspec.structs.replace(meta, namespace=namespace, uid=uid),
        spec=msgspec.structs.replace(
            spec,
            ports=tuple(_allocated(port, index, allocates=allocates) for index, port in enumerate(spec.ports)),
            ip_families=spec.ip_families or ("IPv4",),
            health_check_node_port=spec.health_check_node_port or (ASSUMED_HEALTH_PORT if needs_health_port else 0),
        ),
    )


def _allocated(port: ServicePort, index: int, *, allocates: bool) -> ServicePort:
    node_port = port.node_port or (ASSUMED_NODE_PORT + index if allocates else 0)
    return msgspec.structs.replace(port, node_port=node_port, target_port=port.target_port or port.port)


def _last_applied(live: Mapping[str, Any]) -> Json:
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED, "{}")
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _overlay(live: Json | None, before: Json | None, wanted: Json | None) -> Json:
    """The live members, without those that were applied before and are not wanted now, and with the wanted ones."""
    dropped = set(before or {}) - set(wanted or {})
    return {key: value for key, value in (live or {}).items() if key not in dropped} | (wanted or {})


def _with_node_ports(ports: list[Json], live: list[Json]) -> list[Json]:
    known = {(port.get("port"), port.get("protocol", "TCP")): port.get("nodePort") for port in live}
    kept = ({"nodePort": known.get((port.get("port"), port.get("protocol", "TCP")))} | port for port in ports)
    return [{key: value for key, value in port.items() if value is not None} for port in kept]
