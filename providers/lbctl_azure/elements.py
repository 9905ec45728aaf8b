"""Which field of ours is which JSON path of ARM's documents: one table a kind, read and written through it. Pure.

`observe` reads elements into resources, `body` writes changed fields back. What the table does not name is never
looked at and never lost: an element is only ever changed in the fields that a step names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl_azure.ids import last_segment

Element = dict[str, Any]
Read = Callable[[Any], Hashable]
Write = Callable[[Any, str], Any]

BALANCER = "load-balancer"
POOL = "pool"
FRONTEND = "frontend"
RULE = "rule"
PROBE = "probe"
COLLECTIONS: Mapping[str, str] = {
    POOL: "backendAddressPools",
    FRONTEND: "frontendIPConfigurations",
    PROBE: "probes",
    RULE: "loadBalancingRules",
}
FOREIGN_COLLECTIONS = ("inboundNatRules", "inboundNatPools", "outboundRules")
DEFAULT_IDLE_MINUTES = 4
DEFAULT_PROBE_SECONDS = 15


def _as_is(value: Any) -> Hashable:  # noqa: ANN401 - JSON
    result: Hashable = value
    return result


def _same(value: Any, _balancer: str) -> Any:  # noqa: ANN401 - JSON
    return value


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where it is, what its absence means, and how its value looks in JSON."""

    name: str
    path: tuple[str, ...]
    default: Hashable = None
    read: Read = _as_is
    write: Write = _same

    def of(self, element: Mapping[str, Any]) -> Hashable:
        """The field's value in an element."""
        value: Any = element
        for step in self.path:
            value = value.get(step) if isinstance(value, Mapping) else None
        return self.default if value is None else self.read(value)

    def put(self, element: Element, value: Hashable, balancer: str) -> None:
        """Set the field in an element; None removes it. `balancer` is the id that inner references start with."""
        inner = element
        for step in self.path[:-1]:
            inner = inner.setdefault(step, {})
        if value is None:
            inner.pop(self.path[-1], None)
        else:
            inner[self.path[-1]] = self.write(value, balancer)


def _plain(name: str, wire: str, default: Hashable = None) -> Field:
    return Field(name, ("properties", wire), default)


def _outer(name: str, wire: str) -> Field:
    """A reference to another object, by its whole id; what ARM expands inside it is cut off."""
    return Field(name, ("properties", wire), None, lambda value: value.get("id"), lambda value, _: {"id": value})


def _inner(name: str, wire: str, collection: str) -> Field:
    """A reference to another part of the same balancer, by name."""
    return Field(
        name,
        ("properties", wire),
        None,
        lambda value: last_segment(value["id"]),
        lambda value, balancer: {"id": f"{balancer}/{collection}/{value}"},
    )


def _zones(value: Iterable[str]) -> Hashable:
    return tuple(sorted(value))


def _addresses(value: Iterable[Mapping[str, Any]]) -> Hashable:
    pairs = ((entry.get("name", ""), (entry.get("properties") or {}).get("ipAddress", "")) for entry in value)
    return frozenset((name, ip) for name, ip in pairs if ip)


def _address_list(value: Iterable[tuple[str, str]], _balancer: str) -> list[Element]:
    return [{"name": name, "properties": {"ipAddress": ip}} for name, ip in sorted(value)]


FIELDS: Mapping[str, tuple[Field, ...]] = {
    FRONTEND: (
        _outer("public_ip", "publicIPAddress"),
        _outer("subnet", "subnet"),
        _plain("private_ip", "privateIPAddress"),
        _plain("version", "privateIPAddressVersion"),
        Field("zones", ("zones",), None, _zones, lambda value, _: list(value)),
    ),
    POOL: (
        _outer("network", "virtualNetwork"),
        Field("addresses", ("properties", "loadBalancerBackendAddresses"), frozenset(), _addresses, _address_list),
    ),
    PROBE: (
        _plain("protocol", "protocol"),
        _plain("port", "port"),
        _plain("path", "requestPath"),
        _plain("interval", "intervalInSeconds", DEFAULT_PROBE_SECONDS),
        _plain("threshold", "probeThreshold", 1),
    ),
    RULE: (
        _plain("protocol", "protocol"),
        _plain("frontend_port", "frontendPort", 0),
        _plain("backend_port", "backendPort", 0),
        _inner("frontend", "frontendIPConfiguration", COLLECTIONS[FRONTEND]),
        _inner("pool", "backendAddressPool", COLLECTIONS[POOL]),
        _inner("probe", "probe", COLLECTIONS[PROBE]),
        _plain("idle_minutes", "idleTimeoutInMinutes", DEFAULT_IDLE_MINUTES),
        _plain("tcp_reset", "enableTcpReset", default=False),
        _plain("floating_ip", "enableFloatingIP", default=False),
        _plain("snat_off", "disableOutboundSnat", default=False),
        _plain("distribution", "loadDistribution", "Default"),
    ),
}


def read_fields(kind: str, element: Mapping[str, Any]) -> dict[str, Hashable]:
    """Our fields of an element; a dynamic private address is no field, because nobody asked for it."""
    fields = {field.name: field.of(element) for field in FIELDS[kind]}
    properties = element.get("properties") or {}
    if kind == FRONTEND and properties.get("privateIPAllocationMethod") != "Static":
        fields["private_ip"] = None
    if kind == RULE and fields["pool"] is None and properties.get("backendAddressPools"):
        fields["pool"] = last_segment(properties["backendAddressPools"][0]["id"])
    return fields


def write_fields(kind: str, element: Mapping[str, Any], changes: Mapping[str, Hashable], balancer: str) -> Element:
    """A copy of the element with the changed fields set; everything else stays byte for byte."""
    result: Element = copy.deepcopy(dict(element))
    for field in FIELDS[kind]:
        if field.name in changes:
            field.put(result, changes[field.name], balancer)
    if kind == FRONTEND and "private_ip" in changes:
        method = "Static" if changes["private_ip"] else "Dynamic"
        result.setdefault("properties", {})["privateIPAllocationMethod"] = method
    if kind == RULE and "pool" in changes:
        # ARM keeps the pool twice and refuses two that differ.
        result["properties"].pop("backendAddressPools", None)
    return result
