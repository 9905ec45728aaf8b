"""One node's kube-proxy in user space: holds the sockets that the rules ask for.

`NodeProxy` knows one address and rules, not the API. The fleet calls `apply` for each Service whose rules may have
changed; whatever did not change is not touched, so one Service's change never disturbs another's connections.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lbctl.sandbox.nodes.choose import Chooser, Mode
from lbctl.sandbox.nodes.forward_tcp import TcpPort
from lbctl.sandbox.nodes.forward_udp import UdpPort
from lbctl.sandbox.nodes.health import PROXY_HEALTH_PORT, HttpPort, proxy_health, service_health
from lbctl.sandbox.nodes.rules import NO_RULES, PortRule, ServiceRules

if TYPE_CHECKING:
    import random

    from aiohttp import web

    from lbctl.clock import Clock

log = logging.getLogger(__name__)

ATTEMPTS = {Mode.ROUND_ROBIN: 4, Mode.RANDOM: 1}
"""Targets tried a connection: userspace mode has four dial time-outs, iptables cannot try again."""

PortKey = tuple[str, int]


class NodeProxy:
    """Serves node ports and health ports on one address."""

    def __init__(self, address: str, *, mode: Mode, clock: Clock, rng: random.Random) -> None:
        self.address = address
        self.eligible = True
        self._mode = mode
        self._clock = clock
        self._rng = rng
        self._rules: dict[str, ServiceRules] = {}
        self._incomplete: set[str] = set()
        self._ports: dict[PortKey, TcpPort | UdpPort] = {}
        self._owners: dict[PortKey, str] = {}
        self._health: dict[str, HttpPort] = {}
        self._own_health = HttpPort(address, PROXY_HEALTH_PORT, answer=self._answer_own_health)

    async def start(self) -> None:
        """Open kube-proxy's health port; `OSError` when another node has this address."""
        await self._own_health.open()

    async def stop(self) -> None:
        """Close everything at once, as a node that loses its power."""
        for port in self._ports.values():
            port.abort()
        for health in (*self._health.values(), self._own_health):
            await health.close()
        self._ports.clear()
        self._health.clear()

    def rules_of(self, service: str) -> ServiceRules:
        """The rules that are in force for `service` (namespace/name)."""
        return self._rules.get(service, NO_RULES)

    async def apply(self, service: str, rules: ServiceRules) -> bool:
        """Serve `service` by `rules`; False when a port could not be bound, which another `apply` tries again."""
        if rules == self.rules_of(service) and service not in self._incomplete:
            return True
        complete = await self._apply(service, rules)
        (self._incomplete.discard if complete else self._incomplete.add)(service)
        return complete

    def expire(self) -> None:
        """Forget idle UDP flows and affinities that have run out."""
        for port in self._ports.values():
            port.expire()

    async def _apply(self, service: str, rules: ServiceRules) -> bool:
        served = [await self._open_or_change(service, rule) for rule in self._closing_others(service, rules)]
        served.append(await self._apply_health(service, rules))
        self._rules[service] = rules
        if rules == NO_RULES:
            del self._rules[service]
        return all(served)

    def _closing_others(self, service: str, rules: ServiceRules) -> tuple[PortRule, ...]:
        wanted = {(rule.protocol, rule.node_port) for rule in rules.ports}
        for key in [key for key, owner in self._owners.items() if owner == service and key not in wanted]:
            self._close(key)
        return rules.ports

    async def _open_or_change(self, service: str, rule: PortRule) -> bool:
        key = (rule.protocol, rule.node_port)
        if self._owners.get(key, service) != service:
            # The API gave the port away already; the news about its former owner is still under way.
            self._close(key)
        port = self._ports.get(key) or self._new_port(rule.protocol)
        self._ports[key] = port
        self._owners[key] = service
        try:
            await port.apply(rule)
        except OSError as error:
            log.warning(
                "node port %d/%s of %s cannot be served on %s: %s", *reversed(key), service, self.address, error
            )
            return False
        return True

    def _new_port(self, protocol: str) -> TcpPort | UdpPort:
        chooser = Chooser(self._mode, clock=self._clock, rng=self._rng)
        if protocol == "UDP":
            return UdpPort(self.address, chooser=chooser, clock=self._clock)
        return TcpPort(self.address, chooser=chooser, attempts=ATTEMPTS[self._mode])

    def _close(self, key: PortKey) -> None:
        self._ports.pop(key).close()
        del self._owners[key]

    async def _apply_health(self, service: str, rules: ServiceRules) -> bool:
        current = self._health.get(service)
        wanted = rules.health.port if rules.health else None
        if current is not None and current.port != wanted:
            await self._health.pop(service).close()
            current = None
        if wanted is None or current is not None:
            return True
        return await self._open_health(service, wanted)

    async def _open_health(self, service: str, port: int) -> bool:
        health = HttpPort(self.address, port, answer=lambda _path: self._answer_service_health(service))
        try:
            await health.open()
        except OSError as error:
            log.warning("health port %d of %s cannot be served on %s: %s", port, service, self.address, error)
            return False
        self._health[service] = health
        return True

    def _answer_service_health(self, service: str) -> web.Response:
        health = self.rules_of(service).health
        return service_health(service, local_endpoints=health.local_endpoints if health else 0)

    def _answer_own_health(self, path: str) -> web.Response:
        return proxy_health(path, clock=self._clock, eligible=self.eligible)
