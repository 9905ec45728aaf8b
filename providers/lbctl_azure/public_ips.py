"""The document of a public address: a new one, or the server's with a step worked in. Pure."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from typing import Any

from lbctl.plan.actions import Step
from lbctl_azure.settings import CloudConfig

READ_ONLY = ("provisioningState", "resourceGuid", "ipConfiguration")


def next_public_ip(present: Mapping[str, Any] | None, step: Step, config: CloudConfig) -> dict[str, Any]:
    """What to write: everything that is wanted of a new address, only what differs of one that exists."""
    assert step.desired is not None
    if present is None:
        return _new(step.desired.fields, config)
    document: dict[str, Any] = copy.deepcopy(dict(present))
    properties = {name: value for name, value in document.get("properties", {}).items() if name not in READ_ONLY}
    changes = {change.field: change.new for change in step.changes}
    if "tags" in changes:
        document["tags"] = _pairs(changes["tags"])
    if "dns_label" in changes:
        _set_label(properties, changes["dns_label"])
    if "ip_tags" in changes:
        properties["ipTags"] = _ip_tags(changes["ip_tags"])
    document["properties"] = properties
    document.pop("etag", None)
    return document


def _new(fields: Mapping[str, Hashable], config: CloudConfig) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "publicIPAllocationMethod": "Static",
        "publicIPAddressVersion": fields["version"],
    }
    _set_label(properties, fields.get("dns_label"))
    if fields.get("ip_tags"):
        properties["ipTags"] = _ip_tags(fields["ip_tags"])
    if fields.get("prefix"):
        properties["publicIPPrefix"] = {"id": fields["prefix"]}
    document: dict[str, Any] = {
        "location": config.location,
        "sku": {"name": "Standard"},
        "tags": _pairs(fields["tags"]),
        "properties": properties,
    }
    zones = fields.get("zones")
    if isinstance(zones, tuple) and zones:
        document["zones"] = list(zones)
    if config.extended_location:
        document["extendedLocation"] = {"name": config.extended_location, "type": config.extended_location_type}
    return document


def _set_label(properties: dict[str, Any], label: object) -> None:
    if label is None:
        return
    settings = {k: v for k, v in (properties.get("dnsSettings") or {}).items() if k != "fqdn"}
    if label:
        properties["dnsSettings"] = {**settings, "domainNameLabel": label}
    else:
        properties.pop("dnsSettings", None)


def _ip_tags(value: object) -> list[dict[str, str]]:
    assert isinstance(value, frozenset)
    return [{"ipTagType": kind, "tag": tag} for kind, tag in sorted(value)]


def _pairs(value: object) -> dict[str, str]:
    assert isinstance(value, frozenset)
    return dict(sorted(value))
