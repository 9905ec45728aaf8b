"""The fields of each kind of resource, as both `model.py` and `observe.py` write them, and their JSON forms.

Each pair of functions here is two directions of one translation: resource fields -> request, answer -> fields. Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from lbctl.model.ranges import ALLOW_ALL, normalise_cidr
from lbctl_openstack.annotations import FORWARDED_HEADERS

Json = dict[str, Any]
Fields = Mapping[str, Hashable]

TIMEOUT_FIELDS = ("timeout_client_data", "timeout_member_connect", "timeout_member_data", "timeout_tcp_inspect")
EVERYBODY = frozenset(ALLOW_ALL.values())


class Member(NamedTuple):
    """One member of a pool; `monitor_port` 0 is the member's own port, an empty `subnet` is Octavia's choice."""

    name: str
    address: str
    port: int
    monitor_port: int = 0
    subnet: str = ""
    weight: int = 1

    def __str__(self) -> str:
        parts = [
            f"{self.name} at {self.address}:{self.port}",
            f"in subnet {self.subnet}" if self.subnet else "",
            f"checked at port {self.monitor_port}" if self.monitor_port else "",
            f"of weight {self.weight}" if self.weight != 1 else "",
        ]
        return " ".join(part for part in parts if part)

    @property
    def place(self) -> str:
        """What Octavia tells members apart by."""
        return f"{self.address}/{self.port}"


class Timeouts(NamedTuple):
    """Time-outs of a listener in milliseconds, None where Octavia tells none."""

    client_data: int | None
    member_connect: int | None
    member_data: int | None
    tcp_inspect: int | None

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value} ms" for name, value in self._asdict().items())


def member_body(member: Member) -> Json:
    """A member as Octavia wants it."""
    body: Json = {"name": member.name, "address": member.address, "protocol_port": member.port}
    body["weight"] = member.weight
    if member.subnet:
        body["subnet_id"] = member.subnet
    if member.monitor_port:
        body["monitor_port"] = member.monitor_port
    return body


def member_of(body: Json) -> Member:
    """A member as Octavia tells it."""
    return Member(
        body["name"],
        body["address"],
        body["protocol_port"],
        body.get("monitor_port") or 0,
        body.get("subnet_id") or "",
        body.get("weight", 1),
    )


def ranges(cidrs: Iterable[str]) -> frozenset[str]:
    """Source ranges as compared: normalised, and empty when everybody may come."""
    normal = frozenset(normalise_cidr(cidr) for cidr in cidrs)
    return frozenset() if normal & EVERYBODY else normal


LISTENER_NAMES = {
    "name": "name",
    "limit": "connection_limit",
    "tls": "default_tls_container_ref",
    "pool": "default_pool_id",
}


def listener_body(fields: Fields, *, kept_headers: Json) -> Json:
    """The changeable part of a listener; headers that are not ours are kept."""
    body: Json = {LISTENER_NAMES[name]: fields[name] for name in LISTENER_NAMES if name in fields}
    if "tls" in body:
        body["default_tls_container_ref"] = body["default_tls_container_ref"] or None
    if fields.get("timeouts"):
        body |= dict(zip(TIMEOUT_FIELDS, _items(fields["timeouts"]), strict=True))
    if "ranges" in fields:
        body["allowed_cidrs"] = sorted(_items(fields["ranges"])) or None
    if "headers" in fields:
        foreign = {key: value for key, value in kept_headers.items() if key not in FORWARDED_HEADERS}
        body["insert_headers"] = foreign | {str(name): "true" for name in _items(fields["headers"])}
    return body


def listener_fields(body: Json) -> dict[str, Hashable]:
    """The compared part of a listener."""
    headers = body.get("insert_headers") or {}
    return {
        "limit": body["connection_limit"],
        "tls": body.get("default_tls_container_ref") or "",
        "pool": body.get("default_pool_id") or "",
        "timeouts": Timeouts(*(body.get(name) for name in TIMEOUT_FIELDS)),
        "ranges": ranges(body.get("allowed_cidrs") or ()),
        "headers": frozenset(k for k in FORWARDED_HEADERS if str(headers.get(k)).lower() == "true"),
    }


def pool_body(fields: Fields) -> Json:
    """The changeable part of a pool."""
    persistence = fields["persistence"]
    wanted = {"type": persistence} if persistence else None
    return {"name": fields["name"], "lb_algorithm": fields["method"], "session_persistence": wanted}


def pool_fields(body: Json) -> dict[str, Hashable]:
    """The compared part of a pool."""
    persistence = body.get("session_persistence") or {}
    return {"method": body["lb_algorithm"], "persistence": persistence.get("type", "")}


MONITOR_NAMES = {
    "name": "name",
    "delay": "delay",
    "timeout": "timeout",
    "retries": "max_retries",
    "retries_down": "max_retries_down",
    "path": "url_path",
    "codes": "expected_codes",
}


def monitor_body(fields: Fields) -> Json:
    """The changeable part of a monitor."""
    return {MONITOR_NAMES[name]: value for name, value in fields.items() if name in MONITOR_NAMES and value}


def monitor_fields(body: Json) -> dict[str, Hashable]:
    """The compared part of a monitor; path and codes only where the check is HTTP."""
    fields: dict[str, Hashable] = {"type": body["type"]}
    for name, theirs in MONITOR_NAMES.items():
        is_http = name in {"path", "codes"}
        fields[name] = (body.get(theirs) or "") if not is_http or body["type"] == "HTTP" else ""
    return fields


def _items(value: Hashable) -> list[Any]:
    assert isinstance(value, (tuple, frozenset))
    return list(value)
