"""Renders objects as the tables that `kubectl get` prints: one column list a kind, cells from one object.

Pure; ages are counted from the `now` that is given. Column names and texts are those of kube-apiserver's printers.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbctl.sandbox.api.objects import Json, Obj, metadata, name_of, section

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN, NONE = "<unknown>", "<none>"
MINUTE, HOUR, DAY, YEAR = 60, 3600, 86_400, 31_536_000


@dataclass(frozen=True, slots=True)
class Column:
    """One column; a priority above 0 is shown by `-o wide` only."""

    name: str
    cell: Callable[[Obj, dt.datetime], Json]
    type: str = "string"
    priority: int = 0


def table_columns(storage: str) -> tuple[Column, ...]:
    """The columns of a kind; name and age for kinds without a printer."""
    return TABLES.get(storage, (NAME, AGE))


def definitions(storage: str) -> list[Obj]:
    """The columns as `columnDefinitions`."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": "name" if column is NAME else "",
            "description": "",
            "priority": column.priority,
        }
        for column in table_columns(storage)
    ]


def cells(storage: str, obj: Obj, now: dt.datetime) -> list[Json]:
    """One row."""
    return [column.cell(obj, now) for column in table_columns(storage)]


def age(text: str | None, now: dt.datetime) -> str:
    """The time since `text`, as short as kubectl prints it: 42s, 5m3s, 3h, 2d4h, 12d."""
    if not text:
        return UNKNOWN
    seconds = max(0, int((now - dt.datetime.fromisoformat(text)).total_seconds()))
    for upper, unit, small, letters in AGES:
        if seconds < upper:
            whole, rest = divmod(seconds, unit)
            shown_rest = rest // small if small else 0
            return f"{whole}{letters[0]}" + (f"{shown_rest}{letters[1]}" if shown_rest else "")
    return f"{seconds // YEAR}y"


AGES = (
    (2 * MINUTE, 1, 0, "s"),
    (10 * MINUTE, MINUTE, 1, "ms"),
    (3 * HOUR, MINUTE, 0, "m"),
    (8 * HOUR, HOUR, MINUTE, "hm"),
    (2 * DAY, HOUR, 0, "h"),
    (8 * DAY, DAY, HOUR, "dh"),
    (2 * YEAR, DAY, 0, "d"),
)


def _name(obj: Obj, _now: dt.datetime) -> str:
    return name_of(obj)


def _age(obj: Obj, now: dt.datetime) -> str:
    return age(metadata(obj).get("creationTimestamp"), now)


NAME, AGE = Column("Name", _name), Column("Age", _age)


def _at(*path: str, missing: Json = NONE) -> Callable[[Obj, dt.datetime], Json]:
    def cell(obj: Obj, _now: dt.datetime) -> Json:
        *parents, last = path
        found = section(obj, *parents).get(last)
        return missing if found in (None, "") else found

    return cell


def _count(*path: str) -> Callable[[Obj, dt.datetime], Json]:
    def cell(obj: Obj, _now: dt.datetime) -> int:
        *parents, last = path
        return len(section(obj, *parents).get(last) or ())

    return cell


def _pairs(labels: Obj) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE


def _service_external(obj: Obj, _now: dt.datetime) -> str:
    spec = section(obj, "spec")
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", NONE))
    ingress = section(obj, "status", "loadBalancer").get("ingress", ())
    found = [item.get("ip") or item.get("hostname", "") for item in ingress] + list(spec.get("externalIPs", ()))
    nothing = "<pending>" if spec.get("type") == "LoadBalancer" else NONE
    return ",".join(address for address in found if address) or nothing


def _service_ports(obj: Obj, _now: dt.datetime) -> str:
    ports = section(obj, "spec").get("ports", ())
    shown = (
        f"{port['port']}" + (f":{port['nodePort']}" if "nodePort" in port else "") + f"/{port['protocol']}"
        for port in ports
    )
    return ",".join(shown) or NONE


def _service_selector(obj: Obj, _now: dt.datetime) -> str:
    return _pairs(section(obj, "spec", "selector"))


def _node_status(obj: Obj, _now: dt.datetime) -> str:
    ready = [item for item in section(obj, "status").get("conditions", ()) if item.get("type") == "Ready"]
    words = ["Ready" if ready[0].get("status") == "True" else "NotReady"] if ready else ["Unknown"]
    return ",".join(words + (["SchedulingDisabled"] if section(obj, "spec").get("unschedulable") else []))


def _node_roles(obj: Obj, _now: dt.datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = section(obj, "metadata", "labels")
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or NONE


def _node_address(kind: str) -> Callable[[Obj, dt.datetime], str]:
    def cell(obj: Obj, _now: dt.datetime) -> str:
        addresses = section(obj, "status").get("addresses", ())
        return next((item["address"] for item in addresses if item.get("type") == kind), NONE)

    return cell


def _node_info(name: str) -> Column:
    titles = {"osImage": "OS-Image", "kernelVersion": "Kernel-Version", "containerRuntimeVersion": "Container-Runtime"}
    return Column(titles[name], _at("status", "nodeInfo", name, missing=UNKNOWN), priority=1)


def _event_seen(obj: Obj, now: dt.datetime) -> str:
    seen = section(obj, "series").get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("eventTime")
    return age(seen or metadata(obj).get("creationTimestamp"), now)


def _event_first(obj: Obj, now: dt.datetime) -> str:
    return age(obj.get("firstTimestamp") or obj.get("eventTime"), now)


def _event_object(obj: Obj, _now: dt.datetime) -> str:
    about = section(obj, "involvedObject")
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _event_source(obj: Obj, _now: dt.datetime) -> str:
    source = section(obj, "source")
    return ", ".join(
        part for part in (source.get("component") or obj.get("reportingComponent"), source.get("host")) if part
    )


def _event_message(obj: Obj, _now: dt.datetime) -> str:
    return str(obj.get("message", "")).strip()


def _pod_ready(obj: Obj, _now: dt.datetime) -> str:
    containers = section(obj, "spec").get("containers", ())
    ready = [item for item in section(obj, "status").get("containerStatuses", ()) if item.get("ready")]
    return f"{len(ready)}/{len(containers)}"


def _pod_restarts(obj: Obj, _now: dt.datetime) -> str:
    return str(sum(item.get("restartCount", 0) for item in section(obj, "status").get("containerStatuses", ())))


def _pod_status(obj: Obj, _now: dt.datetime) -> str:
    if "deletionTimestamp" in metadata(obj):
        return "Terminating"
    status = section(obj, "status")
    return str(status.get("reason") or status.get("phase") or UNKNOWN)


def _deployment_ready(obj: Obj, _now: dt.datetime) -> str:
    return f"{section(obj, 'status').get('readyReplicas', 0)}/{section(obj, 'spec').get('replicas', 1)}"


def _slice_ports(obj: Obj, _now: dt.datetime) -> str:
    return ",".join(str(port.get("port", "*")) for port in obj.get("ports") or ()) or "<unset>"


def _slice_endpoints(obj: Obj, _now: dt.datetime) -> str:
    found = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses", ())]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""  # noqa: PLR2004 - as many as kubectl shows
    return ",".join(found[:3]) + more if found else "<unset>"


def _role_ref(obj: Obj, _now: dt.datetime) -> str:
    reference = section(obj, "roleRef")
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


BINDING = (NAME, Column("Role", _role_ref), AGE)
WORKLOAD = (
    NAME,
    Column("Ready", _deployment_ready),
    Column("Up-to-date", _at("status", "updatedReplicas", missing=0), "integer"),
    Column("Available", _at("status", "availableReplicas", missing=0), "integer"),
    AGE,
)
TABLES: dict[str, tuple[Column, ...]] = {
    "services": (
        NAME,
        Column("Type", _at("spec", "type")),
        Column("Cluster-IP", _at("spec", "clusterIP")),
        Column("External-IP", _service_external),
        Column("Port(s)", _service_ports),
        AGE,
        Column("Selector", _service_selector, priority=1),
    ),
    "nodes": (
        NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        Column("Version", _at("status", "nodeInfo", "kubeletVersion", missing="")),
        Column("Internal-IP", _node_address("InternalIP"), priority=1),
        Column("External-IP", _node_address("ExternalIP"), priority=1),
        _node_info("osImage"),
        _node_info("kernelVersion"),
        _node_info("containerRuntimeVersion"),
    ),
    "namespaces": (NAME, Column("Status", _at("status", "phase")), AGE),
    "events": (
        Column("Last Seen", _event_seen),
        Column("Type", _at("type", missing="")),
        Column("Reason", _at("reason", missing="")),
        Column("Object", _event_object),
        Column("Subobject", _at("involvedObject", "fieldPath", missing=""), priority=1),
        Column("Source", _event_source, priority=1),
        Column("Message", _event_message),
        Column("First Seen", _event_first, priority=1),
        Column("Count", _at("count", missing=1), "integer", priority=1),
        Column("Name", _name, priority=1),
    ),
    "pods": (
        NAME,
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _pod_restarts),
        AGE,
        Column("IP", _at("status", "podIP"), priority=1),
        Column("Node", _at("spec", "nodeName"), priority=1),
    ),
    "deployments.apps": WORKLOAD,
    "statefulsets.apps": (NAME, Column("Ready", _deployment_ready), AGE),
    "leases.coordination.k8s.io": (NAME, Column("Holder", _at("spec", "holderIdentity", missing="")), AGE),
    "endpointslices.discovery.k8s.io": (
        NAME,
        Column("AddressType", _at("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
        AGE,
    ),
    "configmaps": (NAME, Column("Data", _count("data"), "integer"), AGE),
    "secrets": (NAME, Column("Type", _at("type")), Column("Data", _count("data"), "integer"), AGE),
    "clusterrolebindings.rbac.authorization.k8s.io": BINDING,
    "rolebindings.rbac.authorization.k8s.io": BINDING,
}
