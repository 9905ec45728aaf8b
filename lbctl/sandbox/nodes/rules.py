"""What one node does with one Service: kube-proxy's decisions as values.

Pure. `rules_on` is called for each node whenever a Service or one of its EndpointSlices changes; `NodeProxy` turns the
result into sockets. The rules are those of Kubernetes 1.36 `pkg/proxy/topology.go` (`CategorizeEndpoints`) without
topology hints, and `pkg/proxy/healthcheck/service_health.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lbctl.model.objects import Endpoint, EndpointSlice, Service, ServicePort

DEFAULT_AFFINITY_SECONDS = 10800
PROXIED_PROTOCOLS = ("TCP", "UDP")
_EXPOSED_TYPES = ("NodePort", "LoadBalancer")


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Where a connection is sent: address and port of a pod."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint of one Service port, with its state."""

    target: Target
    node: str
    ready: bool
    serving: bool
    terminating: bool


@dataclass(frozen=True, slots=True)
class PortRule:
    """How a node serves one node port.

    New connections go to `targets`; established ones may stay with `alive`. `keeps_source` hands the client's address
    through. `silent` drops datagrams that have no target where they would otherwise be rejected.
    """

    protocol: str
    node_port: int
    targets: tuple[Target, ...] = ()
    alive: frozenset[Target] = frozenset()
    affinity_seconds: int | None = None
    keeps_source: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class HealthRule:
    """The health-check node port and the number of ready endpoints on this node."""

    port: int
    local_endpoints: int


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """Everything that one node does for one Service; the default does nothing."""

    ports: tuple[PortRule, ...] = ()
    health: HealthRule | None = None


NO_RULES = ServiceRules()


def rules_on(node: str, *, service: Service, slices: Iterable[EndpointSlice]) -> ServiceRules:
    """What `node` does for `service`; empty for types without node ports."""
    if service.spec.type not in _EXPOSED_TYPES:
        return NO_RULES
    used = [endpoint_slice for endpoint_slice in slices if endpoint_slice.address_type == _family(service)]
    ports = tuple(
        _port_rule(port, node=node, service=service, backends=tuple(backends(port, used)))
        for port in service.spec.ports
        if port.node_port and port.protocol in PROXIED_PROTOCOLS
    )
    return ServiceRules(ports=ports, health=_health_rule(node, service=service, slices=used))


def backends(port: ServicePort, slices: Iterable[EndpointSlice]) -> Iterator[Backend]:
    """The endpoints of one Service port, matched by port name and protocol as the API prescribes."""
    for endpoint_slice in slices:
        for slice_port in endpoint_slice.ports or ():
            if (slice_port.name, slice_port.protocol) == (port.name, port.protocol) and slice_port.port:
                for endpoint in endpoint_slice.endpoints or ():
                    yield _backend(endpoint, slice_port.port)


def eligible(candidates: Iterable[Backend]) -> tuple[Target, ...]:
    """Targets for new connections: the ready ones, or else those that still serve while they terminate."""
    known = tuple(candidates)
    ready = {backend.target for backend in known if backend.ready}
    leaving = {backend.target for backend in known if backend.serving and backend.terminating}
    return tuple(sorted(ready or leaving))


def _family(service: Service) -> str:
    families = service.spec.ip_families or ("IPv4",)
    # Simulated nodes have IPv4 addresses only, so IPv6 pods are used just where a Service has no others.
    return "IPv4" if "IPv4" in families else "IPv6"


def _is_local(service: Service) -> bool:
    return service.spec.external_traffic_policy == "Local"


def _port_rule(port: ServicePort, *, node: str, service: Service, backends: tuple[Backend, ...]) -> PortRule:
    local = _is_local(service)
    usable = [backend for backend in backends if backend.node == node] if local else backends
    return PortRule(
        protocol=port.protocol,
        node_port=port.node_port,
        targets=eligible(usable),
        alive=frozenset(backend.target for backend in backends if _may_stay(backend, port.protocol)),
        affinity_seconds=_affinity_seconds(service),
        keeps_source=local,
        silent=local,
    )


def _may_stay(backend: Backend, protocol: str) -> bool:
    # kube-proxy forgets the flows of UDP endpoints that stop serving (pkg/proxy/conntrack/cleanup.go); a TCP
    # connection lasts until its pod ends it.
    return backend.serving or protocol == "TCP"


def _affinity_seconds(service: Service) -> int | None:
    if service.spec.session_affinity != "ClientIP":
        return None
    config = service.spec.session_affinity_config
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    return DEFAULT_AFFINITY_SECONDS if seconds is None else seconds


def _health_rule(node: str, *, service: Service, slices: Iterable[EndpointSlice]) -> HealthRule | None:
    port = service.spec.health_check_node_port
    if service.spec.type != "LoadBalancer" or not _is_local(service) or not port:
        return None
    ready = {
        address
        for endpoint_slice in slices
        for endpoint in endpoint_slice.endpoints or ()
        for address in endpoint.addresses
        if endpoint.node_name == node and endpoint.conditions.ready is not False
    }
    return HealthRule(port=port, local_endpoints=len(ready))


def _backend(endpoint: Endpoint, port: int) -> Backend:
    conditions = endpoint.conditions
    return Backend(
        target=Target(endpoint.addresses[0], port),
        node=endpoint.node_name or "",
        ready=conditions.ready is not False,
        serving=conditions.serving is not False,
        terminating=conditions.terminating is True,
    )
