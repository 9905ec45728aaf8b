"""Intent, nodes and taken addresses -> the resources that a scope should hold. Pure.

A Service has one `address` a family, one `pool` a port, and one `listener` a port and address. The scope `envoy` holds
the process that serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.driver import World
from lbctl.model.intent import Intent, Port
from lbctl.model.node import internal_ip
from lbctl.model.objects import EndpointSlice, Node
from lbctl.model.ranges import family_of
from lbctl.model.resource import Desired, Identity, Observed, Resource, Scope
from lbctl_local.addresses import Wish, choose_addresses
from lbctl_local.names import (
    PROCESS,
    PROCESS_KEY,
    address_key,
    balancer_scope,
    entry_name,
    listener_key,
    pool_key,
)
from lbctl_local.render import join_target
from lbctl_local.settings import Network
from lbctl_local.spec import ListenerSpec, PoolSpec, fields_of

IDLE_SECONDS = {"TCP": 3600, "UDP": 60}


@dataclass(frozen=True, slots=True)
class Facts:
    """What modelling needs beyond the Service: `taken` is holder by address, without the scope's own.

    `access_logs` is the folder for access logs; `process` is the fields of the Envoy that should run, if one does.
    """

    taken: Mapping[str, str]
    access_logs: str = ""
    process: Mapping[str, Hashable] | None = None


def model_process(facts: Facts) -> Desired:
    """The Envoy process as it should run, while one runs: the first write of a pool starts it."""
    if facts.process is None:
        return Desired(PROCESS)
    return Desired.of(PROCESS, [Resource(PROCESS_KEY, "envoy", facts.process)])


def model_balancers(scope: Scope, world: World, facts: Facts, *, pools: tuple[Network, ...], interface: str) -> Desired:
    """What the Services of the scope need; raises as `choose_addresses` does when one has no address."""
    resources: list[Resource] = []
    for identity, intent in world.intents.items():
        if balancer_scope(identity) == scope:
            addresses = choose_addresses(_wish(intent, scope, world), pools, facts.taken)
            resources += _Balancer(intent, scope.name, addresses, world, facts, interface).resources()
    return Desired.of(scope, resources)


def _wish(intent: Intent, scope: Scope, world: World) -> Wish:
    observed = world.observed.get(scope)
    held = [*_reserved(observed), *_listened(observed), *_published(intent.identity, world)]
    return Wish(intent.identity.uid, intent.families, intent.requested_address, tuple(held))


def _reserved(observed: Observed | None) -> list[str]:
    return sorted(seen.key.id for seen in observed.of_kind("address") if seen.ours) if observed else []


def _listened(observed: Observed | None) -> list[str]:
    return sorted({str(seen.resource.fields["address"]) for seen in observed.of_kind("listener")}) if observed else []


def _published(identity: Identity, world: World) -> list[str]:
    service = world.services.get(identity)
    return [entry.ip for entry in service.status.load_balancer.ingress if entry.ip] if service else []


@dataclass(frozen=True, slots=True)
class _Balancer:
    """One Service's resources in the making."""

    intent: Intent
    name: str
    addresses: tuple[str, ...]
    world: World
    facts: Facts
    interface: str

    @property
    def options(self) -> Mapping[str, Any]:
        return self.intent.options or {}

    def resources(self) -> Iterator[Resource]:
        owners = frozenset({self.intent.identity})
        for address in self.addresses:
            yield Resource(address_key(address), self.name, {"interface": self.interface, "leaving": False}, owners)
        for port in self.intent.ports:
            key = pool_key(port)
            yield Resource(key, entry_name(self.name, key), fields_of(self.pool(port)), owners)
            for address in self.addresses:
                key = listener_key(address, port)
                needs = frozenset({pool_key(port), address_key(address)})
                spec = self.listener(port, address)
                yield Resource(key, entry_name(self.name, key), fields_of(spec), owners, needs)

    def pool(self, port: Port) -> PoolSpec:
        options = self.options
        check, check_port = self.check(port)
        return PoolSpec(
            protocol=port.protocol,
            targets=self.targets(port),
            algorithm="maglev" if self.by_client else options["algorithm"],
            proxy_protocol=options["proxy_protocol"] if port.protocol == "TCP" else "",
            check=check,
            check_port=check_port,
            check_path=options["check_path"] if check == "http" else "",
            check_interval=options["check_interval"],
            check_timeout=options["check_timeout"],
            check_healthy_after=options["check_healthy_after"],
            check_unhealthy_after=options["check_unhealthy_after"],
        )

    def listener(self, port: Port, address: str) -> ListenerSpec:
        options = self.options
        log = f"{self.facts.access_logs}/{self.name}.log" if options["access_log"] else ""
        return ListenerSpec(
            address=address,
            port=port.port,
            protocol=port.protocol,
            pool=entry_name(self.name, pool_key(port)),
            source_ranges=_ranges_for(address, self.intent.source_ranges),
            by_client=self.by_client,
            idle_seconds=options["idle_seconds"] or IDLE_SECONDS[port.protocol],
            max_connections=options["max_connections"] if port.protocol == "TCP" else 0,
            access_log=log,
        )

    @property
    def by_client(self) -> bool:
        return self.intent.affinity_seconds is not None or self.options["algorithm"] == "maglev"

    def check(self, port: Port) -> tuple[str, int]:
        """Protocol and port of the health check; port 0 is the target's own.

        A UDP port tells nothing when it is probed, so its targets are checked at the Service's first TCP node port, as
        far as there is one.
        """
        options = self.options
        wanted = options["check_protocol"]
        if self.intent.local and options["target_type"] == "node" and wanted in {"", "http"}:
            return "http", options["check_port"] or self.intent.health_port
        if wanted == "none" or (options["target_type"] == "ip" and not wanted):
            return "none", 0
        check_port = options["check_port"] or (0 if port.protocol == "TCP" else self.first_tcp_node_port)
        if port.protocol == "UDP" and not check_port:
            return "none", 0
        return wanted or "tcp", check_port

    @property
    def first_tcp_node_port(self) -> int:
        return next((port.node_port for port in self.intent.ports if port.protocol == "TCP"), 0)

    def targets(self, port: Port) -> frozenset[str]:
        family = self.intent.families[0]
        if self.options["target_type"] == "ip":
            return frozenset(_endpoints(self.world.slices.get(self.intent.identity, ()), port, family))
        addresses = self.world.nodes.project(NODE_ADDRESSES[family])
        return frozenset(join_target(address, port.node_port) for address in addresses)


def _node_addresses(family: str) -> Callable[[tuple[Node, ...]], tuple[str, ...]]:
    def derive(nodes: tuple[Node, ...]) -> tuple[str, ...]:
        return tuple(address for node in nodes if (address := internal_ip(node, family)))

    return derive


# One function object a family: the node set remembers what it derived by function.
NODE_ADDRESSES = {family: _node_addresses(family) for family in ("IPv4", "IPv6")}


def _endpoints(slices: tuple[EndpointSlice, ...], port: Port, family: str) -> Iterator[str]:
    for piece in slices:
        numbers = [p.port for p in piece.ports or () if p.name == port.name and p.protocol == port.protocol and p.port]
        if piece.address_type != family or not numbers:
            continue
        for endpoint in piece.endpoints or ():
            if endpoint.conditions.ready is not False:
                yield from (join_target(address, numbers[0]) for address in endpoint.addresses)


def _ranges_for(address: str, ranges: frozenset[str]) -> frozenset[str]:
    """The ranges of the address's family; all of them when none is, which rendering takes as nobody."""
    of_family = frozenset(cidr for cidr in ranges if family_of(cidr) == ("IPv6" if ":" in address else "IPv4"))
    return of_family or ranges
