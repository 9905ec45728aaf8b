"""What one row of the cloud's lists says: marks, tags, sources, ports. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lbctl.model.resource import Scope
from lbctl_cloudstack.names import (
    HALF_TAG,
    OWNER_TAG,
    RELEASED,
    UDP_HALF,
    Bond,
    Mark,
    own_scope,
    read_mark,
    read_rule_name,
    udp_scope,
)
from lbctl_cloudstack.parse import ALL

Row = Mapping[str, Any]


def tags_of(row: Row) -> dict[str, str]:
    """A row's tags by key."""
    return {str(tag["key"]): str(tag["value"]) for tag in row.get("tags") or ()}


def cidrs_of(text: str | None) -> frozenset[str]:
    """Sources of a rule: creation stores them with blanks, updates with commas, and nothing means everybody."""
    return frozenset((text or "").replace(",", " ").split()) or frozenset({ALL})


def mark_of(row: Row) -> Mark | None:
    """The mark in a rule's description."""
    return read_mark(str(row.get("description") or ""))


def is_upstreams(row: Row) -> bool:
    """True for a rule that says nothing about itself, or that we let go of: its name tells whose it is."""
    return str(row.get("description") or "") in {"", RELEASED}


def scope_in_tags(uid: str, tags: Mapping[str, str]) -> Scope:
    """The own scope that an address's tags name."""
    return udp_scope(uid) if tags.get(HALF_TAG) == UDP_HALF else own_scope(uid)


def bond_of(row: Row, filters: list[str]) -> Bond:
    """By the rule's own word where it is ours; what came before upstream's 1.0 may have opened the firewall, too."""
    mark = mark_of(row)
    if mark is not None and mark.opened and ALL in filters:
        return Bond.BORN if filters == [ALL] else Bond.UNKNOWN
    if mark is not None:
        return Bond.APART
    name = read_rule_name(str(row.get("name", "")))
    return Bond.UNKNOWN if name is not None and not name.protocol else Bond.APART


def address_outputs(row: Row) -> dict[str, str]:
    """What the cloud says about an address."""
    outputs = {"id": str(row["id"]), "ip": str(row["ipaddress"])}
    if OWNER_TAG in tags_of(row):
        outputs["tags"] = "true"
    if row.get("allocated"):
        outputs["created"] = str(row["allocated"])
    outputs |= {"vpc": str(row["vpcid"])} if row.get("vpcid") else {}
    flags = {"source_nat": row.get("issourcenat"), "static_nat": row.get("isstaticnat")}
    return outputs | {name: "true" for name, value in flags.items() if value}


def union(texts: Iterable[str]) -> frozenset[str]:
    """All CIDRs of several lists."""
    return frozenset(cidr for text in texts for cidr in cidrs_of(text))


def spare_entries(outputs: Mapping[str, str]) -> frozenset[str]:
    """Entries that let in nobody whom larger ones do not: the server takes the same entry twice."""
    admitted: set[str] = set()
    spare: set[str] = set()
    for entry, text in sorted(outputs.items(), key=lambda item: (-len(cidrs_of(item[1])), item[0])):
        cidrs = cidrs_of(text)
        if cidrs <= admitted:
            spare.add(entry)
        admitted |= cidrs
    return frozenset(spare)


def transport_of(row: Row) -> str:
    """`tcp` or `udp`: `tcp-proxy`, and no protocol at all, are TCP."""
    return "udp" if str(row.get("protocol") or "").lower() == "udp" else "tcp"


def opens_port(entry: Row, port: int, protocol: str) -> bool:
    """True for exactly this port; ports are text in ACLs and numbers in firewall rules."""
    ports = (str(entry.get("startport", "")), str(entry.get("endport", entry.get("startport", ""))))
    return ports == (str(port), str(port)) and str(entry.get("protocol", "")).lower() == protocol


def lets_in(item: Row) -> bool:
    """True for an ACL entry that lets somebody in."""
    is_allow = str(item.get("action", "")).lower() == "allow"
    return is_allow and str(item.get("traffictype", "")).lower() == "ingress"
