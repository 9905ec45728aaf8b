"""Findings for `lbctl doctor`: can Envoy run here, does it answer, can the addresses be used.

Reads only: it binds a socket to one address for a moment and never starts or changes anything.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lbctl.driver import Finding, Level, Look, look_at_all
from lbctl_local.addresses import capacity
from lbctl_local.client import Admin, envoy_version, find_envoy
from lbctl_local.interface import read_addresses
from lbctl_local.process import is_alive
from lbctl_local.settings import LocalSettings, Network
from lbctl_local.state import StateDir

INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
UNPRIVILEGED_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
FEW_INSTANCES = 128
NEARLY_FULL = 0.9
HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class Checks:
    """Everything that is looked at."""

    settings: LocalSettings
    pools: tuple[Network, ...]
    state: StateDir
    admin: Admin
    platform: str
    root: bool

    def run(self) -> Iterator[Finding]:
        """All findings; one that cannot be looked at is a failed one."""
        return look_at_all(self._looks())

    def _looks(self) -> Iterator[tuple[str, Look]]:
        yield "envoy", self._binary
        yield "admin", self._admin
        yield "addresses", self._addresses
        yield "pool", self._pool
        yield "files", self._file_watches
        yield "ports", self._low_ports
        if self.settings.interface:
            yield "interface", self._interface

    def _binary(self) -> Iterator[Finding]:
        binary = find_envoy()
        yield Finding(Level.OK, "envoy", f"Envoy {envoy_version(binary)} at {binary}")

    def _admin(self) -> Iterator[Finding]:
        if not is_alive(self.state):
            yield Finding(Level.OK, "admin", "no Envoy runs; it is started with the first balancer")
            return
        version = self.admin.server_version()
        yield Finding(Level.OK, "admin", f"Envoy {version} answers at {self.state.admin_socket}")

    def _addresses(self) -> Iterator[Finding]:
        for pool in self.pools:
            address = pool[min(1, pool.num_addresses - 1)]
            failure = "" if self.settings.interface else _bind_failure(address)
            if failure:
                yield Finding(Level.FAILED, "addresses", f"{address} of {pool}: {failure}", self._address_hint(pool))
            else:
                yield Finding(Level.OK, "addresses", f"{pool} can be used")

    def _address_hint(self, pool: Network) -> str:
        if self.platform == "darwin":
            first, last = pool[1], pool[min(20, pool.num_addresses - 2)]
            return f"add aliases for as many balancers as you need, {first} to {last}: sudo ifconfig lo0 alias {first}"
        return f"set `interface`, or: ip address add {pool} dev lo"

    def _pool(self) -> Iterator[Finding]:
        used = len(self.state.reserved())
        limit = capacity(self.pools)
        level = Level.WARNING if used > NEARLY_FULL * limit else Level.OK
        yield Finding(
            level, "pool", f"{used} of {limit} addresses are used", "" if level is Level.OK else "add a range"
        )

    def _file_watches(self) -> Iterator[Finding]:
        instances = _number(INOTIFY_INSTANCES)
        if instances is not None and instances < FEW_INSTANCES:
            yield Finding(
                Level.WARNING,
                "files",
                f"fs.inotify.max_user_instances is {instances}, and Envoy ends when none is left",
                "sysctl fs.inotify.max_user_instances=512",
            )

    def _low_ports(self) -> Iterator[Finding]:
        first = _number(UNPRIVILEGED_PORTS)
        if not self.root and first is not None and first > HTTP_PORT:
            yield Finding(
                Level.WARNING,
                "ports",
                f"ports below {first} need a privilege that lbctl may not have",
                f"sysctl net.ipv4.ip_unprivileged_port_start={HTTP_PORT}",
            )

    def _interface(self) -> Iterator[Finding]:
        count = len(read_addresses(self.settings.interface))
        yield Finding(Level.OK, "interface", f"{self.settings.interface} exists and has {count} addresses")


def _bind_failure(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Why no socket can be bound to the address; empty when one can."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the IP version
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
