"""One TCP node port: accepts connections and pipes each to the target that the chooser picks.

Used by `NodeProxy` alone. Bytes flow both ways with back-pressure and half-close. A port without targets does not
listen, so that clients are refused as by kube-proxy's REJECT rule; its established connections go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from lbctl.sandbox.nodes.addresses import family_of, is_loopback, reset, serve, tcp_socket

if TYPE_CHECKING:
    from lbctl.sandbox.nodes.choose import Chooser
    from lbctl.sandbox.nodes.rules import PortRule, Target


class _End(asyncio.Protocol):
    """One end of a piped connection: what it reads is written to its peer."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: _End | None = None
        self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.peer and self.peer.transport:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self._finished = True
        if self.peer is None or self.peer.transport is None or self.peer._finished:  # noqa: SLF001 - the same class
            return False
        self.peer.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.peer and self.peer.transport:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer and self.peer.transport and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.peer is None or self.peer.transport is None:
            return
        if exc is None:
            self.peer.transport.close()
        else:
            reset(self.peer.transport)


class _Client(_End):
    """The end that a client opened; its target is connected before the first byte is read."""

    def __init__(self, port: TcpPort) -> None:
        super().__init__()
        self._port = port
        self.target: Target | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast("asyncio.Transport", transport).pause_reading()
        self._port.accepted(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._port.ended(self)


class TcpPort:
    """A node port for TCP; `apply` opens, changes and closes it. At most `attempts` targets are tried a connection."""

    def __init__(self, address: str, *, chooser: Chooser, attempts: int) -> None:
        self._address = address
        self._chooser = chooser
        self._attempts = attempts
        self._rule: PortRule | None = None
        self._server: asyncio.Server | None = None
        self._clients: set[_Client] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    async def apply(self, rule: PortRule) -> None:
        """Serve by `rule` from now on; `OSError` when the port cannot be bound.

        Connections to targets that are gone are reset, all others stay.
        """
        self._rule = rule
        for client in [client for client in self._clients if client.target and client.target not in rule.alive]:
            reset(client.transport)
        if not rule.targets:
            self._close_listener()
        elif self._server is None:
            listening = tcp_socket(self._address, rule.node_port)
            self._server = await serve(lambda: _Client(self), listening)

    def close(self) -> None:
        """Accept nothing any more; established connections go on until one end or the target is gone."""
        self._close_listener()

    def abort(self) -> None:
        """Close the port and reset all its connections: the node is gone."""
        self._close_listener()
        for task in self._connecting:
            task.cancel()
        for client in list(self._clients):
            reset(client.transport)

    def expire(self) -> None:
        """Forget clients whose affinity has run out."""
        if self._rule and self._rule.affinity_seconds is not None:
            self._chooser.forget_expired(self._rule.affinity_seconds)

    def accepted(self, client: _Client) -> None:
        """Start connecting a new client to a target."""
        self._clients.add(client)
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def ended(self, client: _Client) -> None:
        """Forget a client that is gone."""
        self._clients.discard(client)

    async def _connect(self, client: _Client) -> None:
        address = str(cast("asyncio.Transport", client.transport).get_extra_info("peername")[0])
        for _ in range(self._attempts):
            if await self._reach_target(client, address):
                return
            self._chooser.forget(address)
        reset(client.transport)

    async def _reach_target(self, client: _Client, address: str) -> bool:
        """True when `client` is piped to a target, False when the target refuses or there is none."""
        rule = self._rule
        target = self._chooser.pick(rule, address) if rule else None
        if rule is None or target is None:
            return False
        # Set before the connection stands, so that a target that is removed meanwhile takes this client with it.
        client.target = target
        source = source_towards(target, client=address if rule.keeps_source else None, node=self._address)
        far = _End()
        far.peer = client
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: far, target.address, target.port, local_addr=(source, 0) if source else None
            )
        except OSError:
            return False
        _join(client, far)
        return True

    def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


def source_towards(target: Target, *, client: str | None, node: str) -> str | None:
    """The address to send from: the client's where it is kept and can be used here, else the node's.

    None leaves the choice to the kernel, for targets of another family than the node.
    """
    source = client if client is not None and is_loopback(client) else node
    return source if family_of(source) == family_of(target.address) else None


def _join(client: _Client, far: _End) -> None:
    near = client.transport
    if near is None or near.is_closing():
        reset(far.transport)
        return
    client.peer = far
    near.resume_reading()
