"""What a cloud can do, as data: parsing refuses the rest with a sentence, and the support matrix shows it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Affinity(enum.StrEnum):
    """How much of session affinity a cloud can do."""

    NONE = "none"
    CLIENT_IP = "client-ip"
    CLIENT_IP_WITH_TIMEOUT = "client-ip+timeout"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a cloud can do, as data."""

    protocols: frozenset[str] = frozenset({"TCP"})
    mixed_protocols: bool = False
    families: tuple[str, ...] = ("IPv4",)
    dual_stack: bool = False
    source_ranges: bool = True
    affinity: Affinity = Affinity.NONE
    needs_node_ports: bool = True
    proxy_protocol: bool = False
    shared_address: bool = False
    requested_address: bool = False
