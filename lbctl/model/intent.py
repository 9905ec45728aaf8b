"""What a Service asks for, independent of any cloud; drivers add their own options to it.

`read_intent` is the first half of every driver's `parse`: it refuses what no cloud could serve and what this driver's
capabilities exclude, all problems at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbctl.model.problem import Problem
from lbctl.model.ranges import parse_source_ranges
from lbctl.model.resource import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbctl.annotations import Values
    from lbctl.model.capabilities import Capabilities
    from lbctl.model.objects import Service
    from lbctl.model.status import Notice


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """One port of the Service; `node_port` is 0 only where the driver can do without."""

    port: int
    protocol: str
    node_port: int
    name: str = ""
    target_port: int | str = 0
    app_protocol: str = ""

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Intent:
    """A valid wish: ports sorted, ranges normalised, families in the Service's order.

    `source_ranges` is what the Service names; empty means everybody. `affinity_seconds` is None without session
    affinity. `health_port` is the health-check node port of traffic policy Local, 0 otherwise. `options` holds the
    driver's annotations, parsed. `notices` are worth an Event but stop nothing.
    """

    identity: Identity
    ports: tuple[Port, ...]
    families: tuple[str, ...]
    source_ranges: frozenset[str] = frozenset()
    local: bool = False
    health_port: int = 0
    affinity_seconds: int | None = None
    requested_address: str = ""
    load_balancer_class: str = ""
    options: Mapping[str, object] | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def protocols(self) -> frozenset[str]:
        """The transport protocols in use."""
        return frozenset(port.protocol for port in self.ports)


def identity_of(service: Service) -> Identity:
    """The Service's identity."""
    return Identity(service.metadata.namespace, service.metadata.name, service.metadata.uid)


def read_ports(service: Service) -> tuple[Port, ...]:
    """The Service's ports as values, sorted by number and protocol; the order of the list has no meaning."""
    return tuple(
        sorted(
            Port(p.port, p.protocol, p.node_port, p.name, p.target_port, p.app_protocol or "")
            for p in service.spec.ports
        )
    )


def read_intent(service: Service, *, capabilities: Capabilities, values: Values) -> tuple[Intent, list[Problem]]:
    """The cloud-independent wish and everything that is wrong with it; the intent is usable only without problems.

    Rules of service-controller A.13 to A.16. `values` are the driver's annotations as `AnnotationTable.read` gave them;
    their problems and notices are taken over.
    """
    ports = read_ports(service)
    ranges, range_problems = parse_source_ranges(service)
    families, family_problems = _families(service, capabilities)
    problems = [
        *_port_problems(ports, capabilities),
        *range_problems,
        *family_problems,
        *_local_problems(service),
        *values.problems,
    ]
    intent = Intent(
        identity=identity_of(service),
        ports=ports,
        families=families,
        source_ranges=ranges,
        local=_is_local(service),
        health_port=service.spec.health_check_node_port if _is_local(service) else 0,
        affinity_seconds=_affinity(service),
        requested_address=(service.spec.load_balancer_ip or "").strip(),
        load_balancer_class=service.spec.load_balancer_class or "",
        options=values.by_name,
        notices=values.notices,
    )
    return intent, problems


def _port_problems(ports: tuple[Port, ...], capabilities: Capabilities) -> list[Problem]:
    problems = []
    if not ports:
        problems.append(Problem("spec.ports", "a balancer needs at least one port"))
    for port in ports:
        path = f"spec.ports[{port}]"
        if port.protocol not in capabilities.protocols:
            allowed = ", ".join(sorted(capabilities.protocols))
            problems.append(Problem(path, f"protocol {port.protocol} is not supported here", f"use {allowed}"))
        if port.node_port == 0 and capabilities.needs_node_ports:
            hint = "set allocateLoadBalancerNodePorts to true or give a nodePort"
            problems.append(Problem(path, "needs a node port and has none", hint))
    if len({port.protocol for port in ports}) > 1 and not capabilities.mixed_protocols:
        problems.append(
            Problem(
                "spec.ports", "several protocols in one Service are not supported here", "make one Service for each"
            )
        )
    return problems


def _families(service: Service, capabilities: Capabilities) -> tuple[tuple[str, ...], list[Problem]]:
    wanted = service.spec.ip_families or ("IPv4",)
    served = tuple(family for family in wanted if family in capabilities.families)
    if not capabilities.dual_stack:
        served = served[:1]
    if not served:
        supported = ", ".join(capabilities.families)
        return wanted, [Problem("spec.ipFamilies", f"{wanted[0]} is not supported here", f"use {supported}")]
    if len(served) < len(wanted) and service.spec.ip_family_policy == "RequireDualStack":
        hint = "use PreferDualStack to accept one family"
        return served, [Problem("spec.ipFamilyPolicy", "both address families cannot be served here", hint)]
    return served, []


def _local_problems(service: Service) -> list[Problem]:
    if _is_local(service) and service.spec.health_check_node_port == 0:
        hint = "the API server allocates it for type LoadBalancer with traffic policy Local"
        return [Problem("spec.healthCheckNodePort", "traffic policy Local needs one and there is none", hint)]
    return []


def _is_local(service: Service) -> bool:
    return service.spec.external_traffic_policy == "Local"


DEFAULT_AFFINITY_SECONDS = 10800


def _affinity(service: Service) -> int | None:
    if service.spec.session_affinity != "ClientIP":
        return None
    config = service.spec.session_affinity_config
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    return seconds or DEFAULT_AFFINITY_SECONDS
