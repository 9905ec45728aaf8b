"""Security-group rules as values: one protocol, one port range, one source. Pure.

Rules are compared without their description, as EC2 itself does; the description only says whose a rule is. Used by
the models (which rules there should be), by the reads (which there are) and by the writes (many rules in one call).
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}
ANY, EVERYTHING = "-1", "all"
ICMP_UNREACHABLE, ICMP_FRAGMENTATION = 3, 4
ICMPV6_TOO_BIG = 2


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One rule; `source` is a CIDR, a security group id or a prefix list id. ICMP has type and code as ports."""

    protocol: str
    low: int
    high: int
    source: str

    @property
    def text(self) -> str:
        """Stable text, part of a resource's key: `tcp 80 from 10.0.0.0/8`, `all from sg-1`."""
        if self.protocol == ANY:
            return f"{EVERYTHING} from {self.source}"
        ports = str(self.low) if self.low == self.high else f"{self.low}..{self.high}"
        return f"{self.protocol} {ports} from {self.source}"

    @property
    def is_group(self) -> bool:
        """True when the source is a security group."""
        return self.source.startswith("sg-")

    def covers(self, other: Rule) -> bool:
        """True when everything that `other` lets in comes in by this rule too."""
        if self.source != other.source:
            return False
        if self.protocol == ANY:
            return True
        return self.protocol == other.protocol and self.low <= other.low and self.high >= other.high


def parse_rule(text: str) -> Rule:
    """The rule of a stable text."""
    traffic, _, source = text.partition(" from ")
    if traffic == EVERYTHING:
        return all_from(source)
    protocol, _, ports = traffic.partition(" ")
    low, _, high = ports.partition("..")
    return Rule(protocol, int(low), int(high or low), source)


def all_from(source: str) -> Rule:
    """Everything from one source."""
    return Rule(ANY, -1, -1, source)


def mtu_rule(source: str) -> Rule:
    """What path MTU discovery needs from one IPv4 source (CCM, aws.go: fragmentation packets)."""
    return Rule("icmp", ICMP_UNREACHABLE, ICMP_FRAGMENTATION, source)


def mtu_rule_v6(source: str) -> Rule:
    """What path MTU discovery needs from one IPv6 source."""
    return Rule("icmpv6", ICMPV6_TOO_BIG, 0, source)


def read_permissions(permissions: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Rule, str]]:
    """Every single rule of `IpPermissions` with its description."""
    for permission in permissions:
        protocol = PROTOCOLS.get(permission["IpProtocol"], permission["IpProtocol"])
        low, high = (-1, -1) if protocol == ANY else (permission.get("FromPort", -1), permission.get("ToPort", -1))
        for source, description in _sources(permission):
            yield Rule(protocol, low, high, source), description


def _sources(permission: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for entry in permission.get("IpRanges", ()):
        yield normalised(entry["CidrIp"]), entry.get("Description", "")
    for entry in permission.get("Ipv6Ranges", ()):
        yield normalised(entry["CidrIpv6"]), entry.get("Description", "")
    for entry in permission.get("PrefixListIds", ()):
        yield entry["PrefixListId"], entry.get("Description", "")
    for entry in permission.get("UserIdGroupPairs", ()):
        yield entry["GroupId"], entry.get("Description", "")


def normalised(cidr: str) -> str:
    """Canonical CIDR text."""
    return str(ipaddress.ip_network(cidr, strict=False))


def write_permissions(rules: Iterable[tuple[Rule, str]]) -> list[dict[str, Any]]:
    """`IpPermissions` for rules with their descriptions, grouped by protocol and ports, in a stable order."""
    grouped: dict[tuple[str, int, int], list[tuple[Rule, str]]] = defaultdict(list)
    for rule, description in sorted(rules):
        grouped[(rule.protocol, rule.low, rule.high)].append((rule, description))
    return [_permission(members) for _, members in sorted(grouped.items())]


def _permission(members: list[tuple[Rule, str]]) -> dict[str, Any]:
    rule = members[0][0]
    permission: dict[str, Any] = {"IpProtocol": rule.protocol}
    if rule.protocol != ANY:
        permission.update(FromPort=rule.low, ToPort=rule.high)
    for member, description in members:
        key, entry = _source_entry(member.source)
        if description:
            entry["Description"] = description
        permission.setdefault(key, []).append(entry)
    return permission


def _source_entry(source: str) -> tuple[str, dict[str, str]]:
    if source.startswith("sg-"):
        return "UserIdGroupPairs", {"GroupId": source}
    if source.startswith("pl-"):
        return "PrefixListIds", {"PrefixListId": source}
    return ("Ipv6Ranges", {"CidrIpv6": source}) if ":" in source else ("IpRanges", {"CidrIp": source})
