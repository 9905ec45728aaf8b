"""What a pool and a listener are, as typed values: the fields of resources and the marks in Envoy's files.

`model.py` makes them, `render.py` turns them into Envoy's configuration, `observe.py` reads them back. Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import msgspec


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Targets of one port; an Envoy cluster. `targets` are `address:port`, IPv6 in brackets; times are seconds."""

    protocol: str
    targets: frozenset[str] = frozenset()
    algorithm: str = "round-robin"
    proxy_protocol: str = ""
    check: str = "none"
    check_port: int = 0
    check_path: str = ""
    check_interval: int = 10
    check_timeout: int = 2
    check_healthy_after: int = 2
    check_unhealthy_after: int = 2


class ListenerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One port on one address, which sends to the pool of that name."""

    address: str
    port: int
    protocol: str
    pool: str
    source_ranges: frozenset[str] = frozenset()
    by_client: bool = False
    idle_seconds: int = 3600
    max_connections: int = 0
    access_log: str = ""


Spec = PoolSpec | ListenerSpec


def fields_of(spec: Spec, *, intact: bool = True, serving: bool = True) -> Mapping[str, Hashable]:
    """The spec as fields of a resource.

    `intact` is False for an observed entry that somebody has edited, `serving` for one that Envoy does not hold.
    """
    return {**msgspec.structs.asdict(spec), "intact": intact, "serving": serving}


def pool_of(fields: Mapping[str, Hashable]) -> PoolSpec:
    """The pool that these fields describe; ValidationError when they do not."""
    return msgspec.convert(dict(fields), PoolSpec)


def listener_of(fields: Mapping[str, Hashable]) -> ListenerSpec:
    """The listener that these fields describe; ValidationError when they do not."""
    return msgspec.convert(dict(fields), ListenerSpec)
