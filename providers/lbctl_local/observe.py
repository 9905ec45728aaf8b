"""The state directory and what Envoy reports -> Observed. Pure: the driver hands in what it read.

An entry belongs to us when its marks name our cluster; all others are left out and never touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lbctl.model.resource import Identity, Key, Observed, Resource, Scope, Seen, nothing
from lbctl_local.names import BALANCER, MARK, PROCESS, PROCESS_KEY, address_key
from lbctl_local.process import Running
from lbctl_local.render import Json, join_target, render_cluster, render_listener
from lbctl_local.spec import ListenerSpec, PoolSpec, fields_of
from lbctl_local.state import Reservation


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was read. `bound` is None when Envoy could not be asked; `on_interface` as the host says."""

    clusters: Mapping[str, Json]
    listeners: Mapping[str, Json]
    reservations: Mapping[str, Reservation] = field(default_factory=nothing, hash=False)
    bound: frozenset[str] | None = None
    on_interface: frozenset[str] = frozenset()
    read_at: float = 0.0


def observe_balancers(reading: Reading, *, cluster: str, interface: str) -> dict[Scope, Observed]:
    """Every scope of this cluster that holds anything."""
    by_scope: dict[Scope, dict[Key, Seen]] = defaultdict(dict)
    for scope, seen in (
        *_addresses(reading, cluster, interface),
        *_entries(reading.clusters, cluster, _seen_pool),
        *_entries(reading.listeners, cluster, lambda name, entry: _seen_listener(name, entry, reading.bound)),
    ):
        by_scope[scope][seen.key] = seen
    return {scope: Observed(scope, resources, reading.read_at) for scope, resources in by_scope.items()}


def observe_process(running: Running | None, *, read_at: float) -> Observed:
    """The Envoy process."""
    if running is None:
        return Observed(PROCESS, read_at=read_at)
    return Observed(PROCESS, {PROCESS_KEY: seen_process(running)}, read_at)


def seen_process(running: Running) -> Seen:
    """The running process as a resource."""
    fields = {"version": running.version, "bootstrap": running.bootstrap}
    return Seen(Resource(PROCESS_KEY, "envoy", fields), {"pid": str(running.pid)})


def seen_address(reservation: Reservation, *, interface: str) -> Seen:
    """A reserved address; `interface` is where it is now."""
    fields = {"interface": interface, "leaving": bool(reservation.leaves_at)}
    owner = Identity(reservation.namespace, reservation.name, reservation.uid)
    outputs = {"leaves_at": reservation.leaves_at} if reservation.leaves_at else {}
    key = address_key(reservation.address)
    return Seen(Resource(key, reservation.balancer, fields, frozenset({owner})), outputs)


def marks_of(entry: Json) -> Mapping[str, Any]:
    """The ownership marks of an entry; empty for one that lbctl did not write."""
    marks = entry.get("metadata", {}).get("filter_metadata", {}).get(MARK, {})
    return marks if isinstance(marks, dict) else {}


def _addresses(reading: Reading, cluster: str, interface: str) -> Iterator[tuple[Scope, Seen]]:
    for address, reservation in reading.reservations.items():
        if reservation.cluster == cluster:
            place = interface if address in reading.on_interface else ""
            yield Scope(BALANCER, reservation.balancer), seen_address(reservation, interface=place)


def _entries(
    entries: Mapping[str, Json], cluster: str, read: Callable[[str, Json], Resource]
) -> Iterator[tuple[Scope, Seen]]:
    for name, entry in entries.items():
        marks = marks_of(entry)
        if marks.get("cluster") != cluster:
            continue
        yield Scope(BALANCER, str(marks["balancer"])), Seen(read(name, entry))


def _seen_pool(name: str, entry: Json) -> Resource:
    marks = marks_of(entry)
    try:
        spec = msgspec.convert({**marks["spec"], "targets": _targets(entry)}, PoolSpec)
        intact = render_cluster(name, spec, marks=plain_marks(marks)) == entry
    except (msgspec.ValidationError, KeyError, TypeError):
        spec, intact = PoolSpec(protocol=""), False
    key = Key("pool", name.partition("/")[2])
    return Resource(key, name, fields_of(spec, intact=intact), _owners(marks))


def _seen_listener(name: str, entry: Json, bound: frozenset[str] | None) -> Resource:
    marks = marks_of(entry)
    address, port, protocol = name.partition("/")[2].split("/")
    try:
        spec = msgspec.convert(marks["spec"], ListenerSpec)
        intact = render_listener(name, spec, marks=plain_marks(marks)) == entry
    except (msgspec.ValidationError, KeyError, TypeError):
        spec, intact = ListenerSpec(address=address, port=int(port), protocol=protocol, pool=""), False
    fields = fields_of(spec, intact=intact, serving=bound is None or name in bound)
    needs = frozenset({Key("pool", f"{port}/{protocol}"), address_key(address)})
    return Resource(Key("listener", f"{address}/{port}/{protocol}"), name, fields, _owners(marks), needs)


def _targets(entry: Json) -> list[str]:
    (locality,) = entry["load_assignment"]["endpoints"]
    addresses = (endpoint["endpoint"]["address"]["socket_address"] for endpoint in locality["lb_endpoints"])
    return [join_target(address["address"], address["port_value"]) for address in addresses]


def plain_marks(marks: Mapping[str, Any]) -> dict[str, str]:
    """The marks without the spec."""
    return {key: value for key, value in marks.items() if key != "spec"}


def _owners(marks: Mapping[str, Any]) -> frozenset[Identity]:
    return frozenset({Identity(str(marks["namespace"]), str(marks["name"]), str(marks["uid"]))})
