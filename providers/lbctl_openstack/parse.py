"""Service -> Intent for OpenStack: annotation, then class, then cloud.conf, as upstream settles them. Pure.

A bad value of an upstream annotation counts as not given and becomes an Event `AnnotationIgnored`. What the provider
cannot do is left out with an Event as well. Only what could never work is a problem.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lbctl.annotations import Values
from lbctl.errors import InvalidService
from lbctl.model.intent import Intent, read_intent
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.model.status import Notice, Severity
from lbctl_openstack.annotations import ADDRESS, ANNOTATIONS, FORWARDED_HEADERS, INTERNAL, PREFIX
from lbctl_openstack.capabilities import CAPABILITIES, Provider, provider_of
from lbctl_openstack.cloudconf import Balancing, CloudConf, Networks
from lbctl_openstack.fields import Timeouts
from lbctl_openstack.wish import OPTION, Wish

TIMEOUTS = (
    ("timeout_client_data", 50000),
    ("timeout_member_connect", 5000),
    ("timeout_member_data", 50000),
    ("timeout_tcp_inspect", 0),
)
PROXY_PROTOCOLS = {"true": "PROXY", "v1": "PROXY", "v2": "PROXYV2"}
COMMON_OPTIONS = ("deletion_policy", "approve")


def parse_service(service: Service, *, conf: CloudConf, monitor_for_local: bool = True) -> Intent:
    """The wish; `InvalidService` with all problems."""
    values = ANNOTATIONS.read(service.metadata.annotations)
    lenient, strict = _sorted_problems(values)
    read = replace(values, problems=strict, notices=(*values.notices, *lenient))
    intent, problems = read_intent(service, capabilities=CAPABILITIES, values=read)
    settling = _Settling(service, intent, values, conf, monitor_for_local)
    problems += settling.problems()
    if problems:
        raise InvalidService(problems)
    options = {name: values.by_name[name] for name in COMMON_OPTIONS} | {OPTION: settling.wish()}
    return replace(intent, options=options, notices=(*intent.notices, *settling.notices()))


def _sorted_problems(values: Values) -> tuple[tuple[Notice, ...], tuple[Problem, ...]]:
    """Bad values of upstream's annotations as notices, of ours as problems."""
    lenient: list[Notice] = []
    strict: list[Problem] = []
    for problem in values.problems:
        if PREFIX in problem.path or INTERNAL in problem.path:
            text = f"{problem}; the default is used"
            lenient.append(Notice(Severity.WARNING, "AnnotationIgnored", text))
        else:
            strict.append(problem)
    return tuple(lenient), tuple(strict)


@dataclass(frozen=True, slots=True)
class _Settling:
    """One Service with everything that decides about it."""

    service: Service
    intent: Intent
    values: Values
    conf: CloudConf
    monitor_for_local: bool

    @property
    def given(self) -> Mapping[str, Any]:
        return {name: self.values.by_name[name] for name in self.values.given}

    @property
    def provider(self) -> Provider:
        return provider_of(self.balancing.lb_provider)

    @property
    def balancing(self) -> Balancing:
        return self.conf.balancing

    @property
    def internal(self) -> bool:
        return self.balancing.internal_lb or self.given.get("internal") == "true"

    @property
    def networks(self) -> Networks | None:
        return self.conf.classes.get(self.given.get("class", ""))

    # -- problems ---------------------------------------------------------------------------------------------------

    def problems(self) -> list[Problem]:
        return [*self._class_problems(), *self._header_problems(), *self._address_problems(), *self._time_problems()]

    def _class_problems(self) -> Iterator[Problem]:
        name = self.given.get("class", "")
        if name and name not in self.conf.classes:
            known = ", ".join(sorted(self.conf.classes)) or "none"
            yield Problem(_path("class"), f"invalid loadbalancer class {name!r}", f"cloud.conf has: {known}")

    def _header_problems(self) -> Iterator[Problem]:
        for name in sorted(self.headers) if self.proxy_protocol else ():
            yield Problem(_path(name.lower()), "does not go together with proxy-protocol", "take one of the two")

    def _address_problems(self) -> Iterator[Problem]:
        wanted = self.intent.requested_address
        if not wanted:
            return
        try:
            ipaddress.ip_address(wanted)
        except ValueError:
            yield Problem("spec.loadBalancerIP", f"{wanted!r} is not an IP address")

    def _time_problems(self) -> Iterator[Problem]:
        delay = self._number("health_monitor_delay", self.balancing.monitor_delay)
        timeout = self._number("health_monitor_timeout", self.balancing.monitor_timeout)
        if self.monitor and timeout > delay:
            hint = "a check must be over before the next begins"
            yield Problem(_path("health-monitor-timeout"), f"{timeout} s is longer than the delay of {delay} s", hint)

    # -- the wish ---------------------------------------------------------------------------------------------------

    def wish(self) -> Wish:
        balancing, can = self.balancing, self.provider
        http = frozenset(self.http_ports) if can.http else frozenset()
        return Wish(
            index=tuple((port.protocol, port.port, n) for n, port in enumerate(self.service.spec.ports)),
            internal=self.internal,
            joins=self.joins,
            network_id=self._network("network_id"),
            subnet_id=self._network("subnet_id"),
            member_subnet_id=self._member_subnet(),
            port_id=self._text("port_id"),
            floating_network_id=self._network("floating_network_id"),
            floating_subnet_id=self._network("floating_subnet_id"),
            floating_subnet=self._network("floating_subnet"),
            floating_subnet_tags=self._network("floating_subnet_tags"),
            connection_limit=self._number("connection_limit", -1),
            method=self.method,
            proxy_protocol=self.proxy_protocol if can.http else "",
            headers=self.headers if can.http else frozenset(),
            tls_ref=self.tls_ref if can.http else "",
            http_ports=http,
            timeouts=self._timeouts() if can.timeouts else None,
            monitor=self.monitor,
            monitor_delay=self._number("health_monitor_delay", balancing.monitor_delay),
            monitor_timeout=self._number("health_monitor_timeout", balancing.monitor_timeout),
            monitor_retries=self._number("health_monitor_max_retries", balancing.monitor_max_retries),
            monitor_retries_down=self._number("health_monitor_max_retries_down", balancing.monitor_max_retries_down),
            flavor_id=self._text("flavor_id", balancing.flavor_id) if can.flavors else "",
            availability_zone=self._text("availability_zone", balancing.availability_zone) if can.zones else "",
            hostname=self._text("hostname"),
            node_selector=self._selector(),
            node_ranges=self.values.by_name["node_ranges"],
        )

    @property
    def joins(self) -> str:
        """The author's choice; what we wrote ourselves comes with the address and is no wish."""
        return "" if ADDRESS in self.service.metadata.annotations else self._text("load_balancer_id")

    @property
    def proxy_protocol(self) -> str:
        return PROXY_PROTOCOLS.get(self._text("proxy_protocol"), "")

    @property
    def tls_ref(self) -> str:
        return self._text("default_tls_container_ref", self.balancing.default_tls_container_ref)

    @property
    def headers(self) -> frozenset[str]:
        return frozenset(name for name in FORWARDED_HEADERS if self._is_on(name.lower().replace("-", "_")))

    @property
    def http_ports(self) -> Iterator[int]:
        if self.tls_ref or self.headers:
            chosen = self.values.by_name["forwarded_ports"]
            yield from (p.port for p in self.intent.ports if p.protocol == "TCP" and (not chosen or p.port in chosen))

    @property
    def method(self) -> str:
        wanted = self._text("lb_method", self.balancing.lb_method) or self.balancing.lb_method
        if self.provider.methods and wanted not in self.provider.methods:
            return self._default_method
        return wanted

    @property
    def _default_method(self) -> str:
        methods = self.provider.methods
        configured = self.balancing.lb_method
        return configured if configured in methods else min(methods, key=lambda m: (m != "ROUND_ROBIN", m))

    @property
    def monitor(self) -> bool:
        explicit = self.given.get("enable_health_monitor")
        if explicit is not None:
            return bool(explicit == "true")
        return self.balancing.create_monitor or (self.intent.local and self.monitor_for_local)

    def _is_on(self, name: str) -> bool:
        return bool(self.given.get(name) == "true")

    def _text(self, name: str, default: str = "") -> str:
        return str(self.given.get(name, default))

    def _number(self, name: str, default: float) -> int:
        return int(self.given.get(name, default))

    def _timeouts(self) -> Timeouts:
        return Timeouts(*(self._number(name, default) for name, default in TIMEOUTS))

    def _network(self, name: str) -> str:
        """The class wins over the annotation for an external Service, the other way round for an internal one."""
        of_class = getattr(self.networks, name) if self.networks is not None else ""
        configured = getattr(self.balancing, name)
        if of_class and not self.internal:
            return str(of_class)
        return self._text(name, of_class or configured)

    def _member_subnet(self) -> str:
        of_class = self.networks.member_subnet_id if self.networks is not None else ""
        return self._text("member_subnet_id", of_class or self.balancing.member_subnet_id)

    def _selector(self) -> tuple[tuple[str, str], ...]:
        if "node_selector" in self.given:
            return tuple(sorted(self.given["node_selector"].items()))
        parts = (part.strip().partition("=") for part in self.balancing.node_selector.split(",") if part.strip())
        return tuple(sorted((key.strip(), value.strip()) for key, _, value in parts))

    # -- notices ----------------------------------------------------------------------------------------------------

    def notices(self) -> tuple[Notice, ...]:
        return tuple(_warning(reason, text) for reason, text in self._limits())

    def _limits(self) -> Iterator[tuple[str, str]]:
        can = self.provider
        wanted = self._text("lb_method", self.balancing.lb_method)
        if wanted != self.method and "lb_method" in self.given:
            yield "LoadBalancerLbMethodUnknown", f"{can.name} has no lb-method {wanted}; {self.method} is used"
        if self._text("availability_zone", self.balancing.availability_zone) and not can.zones:
            yield "LoadBalancerAvailabilityZonesIgnored", f"provider {can.name} has no availability zones"
        if self.intent.source_ranges and not can.allowed_cidrs:
            yield "LoadBalancerSourceRangesIgnored", f"provider {can.name} does not restrict source ranges"
        yield from (("LimitedByDriver", f"provider {can.name} ignores {name}") for name in self._ignored())
        if self.intent.local and not self.monitor:
            yield "LimitedByDriver", "traffic policy Local without a health monitor loses traffic on nodes without Pods"

    def _ignored(self) -> Iterator[str]:
        can = self.provider
        if not can.timeouts:
            yield from (name.replace("_", "-") for name, _ in TIMEOUTS if name in self.given)
        if not can.flavors and self._text("flavor_id", self.balancing.flavor_id):
            yield "flavor-id"
        if not can.http and self.proxy_protocol:
            yield "proxy-protocol"
        if not can.http and self.tls_ref:
            yield "default-tls-container-ref"
        if not can.http:
            yield from (name.lower() for name in sorted(self.headers))


def _path(name: str) -> str:
    return f"metadata.annotations[{PREFIX}{name}]"


def _warning(reason: str, text: str) -> Notice:
    return Notice(Severity.WARNING, reason, text)
