"""Source ranges of a Service, as tolerant as upstream and per address family (service-controller A.15).

Python's `ipaddress` refuses blanks and leading zeros that stored Services may have, so text is normalised first.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from lbctl.model.problem import Problem

if TYPE_CHECKING:
    from lbctl.model.objects import Service

SOURCE_RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"
LENGTH = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
ALLOW_ALL = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}


def normalise_cidr(text: str) -> str:
    """Canonical CIDR: trimmed, leading zeros of IPv4 dropped, host bits cleared; ValueError if it is none.

    Netmasks, zones and IPv4 ranges in the form of IPv6 ones are none, as the API server has it.
    """
    trimmed = text.strip()
    if "/" not in trimmed:
        raise ValueError(f"{trimmed!r} is not a CIDR")
    address, _, length = trimmed.partition("/")
    if ":" in address:
        if "%" in address or ipaddress.IPv6Address(address).ipv4_mapped or not LENGTH.fullmatch(length):
            raise ValueError(f"{trimmed!r} is not a CIDR")
    else:
        length = length.lstrip("0") or length[:1]
        if not LENGTH.fullmatch(length):
            raise ValueError(f"{trimmed!r} is not a CIDR")
        address = ".".join(octet.lstrip("0") or "0" if octet.isdecimal() else octet for octet in address.split("."))
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))


def family_of(cidr: str) -> str:
    """`IPv4` or `IPv6` of a normalised CIDR."""
    return "IPv6" if ":" in cidr else "IPv4"


def parse_source_ranges(service: Service) -> tuple[frozenset[str], list[Problem]]:
    """Ranges that the Service names, normalised; empty means that it names none, so everybody may come.

    The field wins over the annotation. A trailing comma or a bare address is a problem, as upstream has it
    (kubernetes/cloud-provider, service/helpers: GetLoadBalancerSourceRanges).
    """
    if service.spec.load_balancer_source_ranges:
        return _parse("spec.loadBalancerSourceRanges", list(service.spec.load_balancer_source_ranges))
    annotation = service.metadata.annotations.get(SOURCE_RANGES_ANNOTATION, "").strip()
    if not annotation:
        return frozenset(), []
    return _parse(f"metadata.annotations[{SOURCE_RANGES_ANNOTATION}]", annotation.split(","))


def served_ranges(ranges: frozenset[str], families: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Split ranges into those of served families and the rest; no ranges at all mean everybody of each family.

    Ranges that all belong to families which are not served leave the first set empty: that denies everybody.
    """
    if not ranges:
        return frozenset(ALLOW_ALL[family] for family in families), frozenset()
    served = frozenset(cidr for cidr in ranges if family_of(cidr) in families)
    return served, ranges - served


def _parse(path: str, parts: list[str]) -> tuple[frozenset[str], list[Problem]]:
    ranges: set[str] = set()
    problems: list[Problem] = []
    for part in parts:
        try:
            ranges.add(normalise_cidr(part))
        except ValueError:
            problems.append(Problem(path, f"{part!r} is not a CIDR", "write it as 10.0.0.0/24 or 2001:db8::/64"))
    return frozenset(ranges), problems
