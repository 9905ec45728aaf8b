"""A world around a real Envoy: lbctl's engine in one thread on real time, echo servers as nodes, clients as users.

Nodes are loopback addresses, and an echo server that listens on a node's port answers with the node's name, so that a
test sees who served it. Node ports are fixed, so each test process has a network of its own in 127.0.0.0/8.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lbctl.clock import SystemClock
from lbctl.driver import Cluster
from lbctl.engine.nodes import QUIET_SECONDS, REMOVAL_WAIT_SECONDS
from lbctl.model.objects import Node, NodeAddress, NodeStatus, Service, ServicePort
from lbctl_local import DRIVER
from lbctl_local.process import stop_envoy
from lbctl_local.settings import LocalSettings
from tests.world import MemoryKube, World, change, node, service

NET = f"127.{16 + os.getpid() % 200}"
DEFAULTS: dict[str, Any] = {"drain_seconds": 2, "addresses": (f"{NET}.64.0/18",)}
ANSWER_SECONDS = 3.0
LOOK_SECONDS = 0.02
SOON_SECONDS = max(QUIET_SECONDS, REMOVAL_WAIT_SECONDS) + 0.2
"""Longer than nodes are waited for: a test that goes on earlier has the old targets, or none."""


class RealClock(SystemClock):
    """The machine's clock for a world that thinks it may advance it: advancing waits."""

    def advance(self, seconds: float) -> None:
        """Wait for real; the stages in between are Envoy's, which lives in real time."""
        self.wait(min(seconds, LOOK_SECONDS))


class Gateway(World):
    """A world whose cloud is a real Envoy in its own state directory."""

    def __init__(
        self,
        root: Path,
        *,
        nodes: tuple[str, ...] = ("n1", "n2"),
        cluster: str = "cluster-1",
        first_uid: int = 10,
        **settings: Any,
    ) -> None:
        self.root = root
        kube = MemoryKube()
        # A balancer's name leaves out the last digit of the uid, so uids that count up by one would share names.
        kube._numbers = itertools.count(first_uid, 10)
        kube.nodes = {name: local_node(name) for name in nodes}
        super().__init__(
            DRIVER,
            kube=kube,
            settings=LocalSettings(
                state_dir=str(root), **{"drain_seconds": 2, "addresses": (f"{NET}.64.0/18",), **settings}
            ),
            nodes=(),
            cluster=Cluster("kubernetes", cluster),
        )
        self.settle()

    def start(self) -> None:
        self.clock = RealClock()
        super().start()

    def settle(self, seconds: float = SOON_SECONDS) -> None:
        """Work until nothing is due soon and nothing is in flight."""
        while True:
            self.controller.tick()
            work = self.controller.next_work()
            if work is not None:
                self.do(work)
                continue
            due = self.controller.next_due()
            now = self.clock.monotonic()
            if due is None or due > now + seconds:
                break
            self.clock.wait(max(min(due - now, LOOK_SECONDS), 0.001))
        assert not self.bugs, self.bugs

    def until(self, holds: Callable[[], bool], *, seconds: float = 10.0) -> None:
        """Work until something holds; fails when it does not in time."""
        give_up_at = self.clock.monotonic() + seconds
        while not holds():
            assert self.clock.monotonic() < give_up_at, "it did not happen in time"
            self.settle(0.05)
            self.clock.wait(LOOK_SECONDS)

    def stop(self) -> None:
        """End the process and Envoy, and leave nothing behind."""
        self.driver.close()
        stop_envoy(self.root, self.clock)


def local_node(name: str, address: str = "") -> Node:
    """A Node whose InternalIP is a loopback address that its number decides."""
    made = node(name)
    addresses = (NodeAddress(type="InternalIP", address=address or node_address(name)),)
    return change(made, status=NodeStatus(addresses=addresses, conditions=made.status.conditions))


def node_address(name: str) -> str:
    """The loopback address of a node such as `n7`."""
    return f"{NET}.1.{int(name[1:])}"


def with_ports(*ports: ServicePort, **options: Any) -> Service:
    """A Service with exactly these ports."""
    made = service(**options)
    return change(made, spec=change(made.spec, ports=ports))


class Echo:
    """A server on one address that answers each message with its name and the message; TCP or UDP."""

    def __init__(self, name: str, port: int, *, udp: bool = False, address: str = "") -> None:
        self.name = name
        self._udp = udp
        self._socket = socket.socket(type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address or node_address(name), port))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        if not udp:
            self._socket.listen(128)
        self._thread = threading.Thread(target=self._serve_udp if udp else self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving; open connections are cut."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(ANSWER_SECONDS)

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                message, sender = self._socket.recvfrom(4096)
                if not message and not sender:
                    return
                self._socket.sendto(self.name.encode() + b" " + message, sender)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        with connection, contextlib.suppress(OSError):
            while message := connection.recv(4096):
                connection.sendall(self.name.encode() + b" " + message)
        with self._lock:
            self._open.discard(connection)


@contextlib.contextmanager
def echoes(port: int, *names: str, udp: bool = False) -> Iterator[list[Echo]]:
    """Echo servers on a node port of several nodes."""
    servers = [Echo(name, port, udp=udp) for name in names]
    try:
        yield servers
    finally:
        for server in servers:
            server.close()


@contextlib.contextmanager
def connection(address: str, port: int, *, source: str = "") -> Iterator[socket.socket]:
    """An open TCP connection, from a source address if given."""
    origin = (source, 0) if source else None
    with socket.create_connection((address, port), timeout=ANSWER_SECONDS, source_address=origin) as opened:
        yield opened


def talk(opened: socket.socket, message: str = "hello") -> str:
    """The answer on an open connection; empty when the other side has closed it."""
    opened.sendall(message.encode())
    return opened.recv(4096).decode()


def ask(address: str, port: int, *, source: str = "") -> str:
    """The answer of a new TCP connection; empty when it is refused or closed without one."""
    try:
        with connection(address, port, source=source) as opened:
            return talk(opened)
    except OSError:
        return ""


def ask_udp(address: str, port: int, *, source: str = "127.0.0.1", seconds: float = 1.0) -> str:
    """The answer to a datagram; empty when none comes."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.settimeout(seconds)
        client.sendto(b"hello", (address, port))
        try:
            return client.recv(4096).decode()
        except OSError:
            return ""
