"""What AWS remembers about a load balancer and moto does not.

Plain values beside moto's own objects: which addresses and interfaces a balancer holds, who is registered where and
since when. Rules write it, the snapshot stores it together with moto's backends, a reset empties it.
"""

from dataclasses import dataclass, field

from moto_fixtures.wire import Json

TargetKey = tuple[str, int]


@dataclass(slots=True)
class Target:
    """One (id, port) of a target group; times are the cloud clock's seconds."""

    id: str
    port: int
    zone: str | None
    registered_at: float
    drains_until: float | None = None
    forced_state: tuple[str, str | None, str | None] | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """Interfaces of a deleted balancer, which hold their security groups until `gone_at`."""

    interface_ids: tuple[str, ...]
    gone_at: float


@dataclass(slots=True)
class Ledger:
    """The facts by ARN (v2) or by name (classic)."""

    targets: dict[str, dict[TargetKey, Target]] = field(default_factory=dict)
    subnet_mappings: dict[str, dict[str, Json]] = field(default_factory=dict)
    interfaces: dict[str, dict[str, str]] = field(default_factory=dict)
    departures: list[Departure] = field(default_factory=list)
    born_without_groups: set[str] = field(default_factory=set)
    instance_protocols: dict[tuple[str, int], str] = field(default_factory=dict)
    source_nat: dict[str, str] = field(default_factory=dict)
    capacity: dict[str, int] = field(default_factory=dict)
    created_at: dict[str, float] = field(default_factory=dict)
    links_stale: bool = True
