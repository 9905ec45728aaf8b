"""One UDP node port: datagrams of one client address go to one target, and its answers come back.

Used by `NodeProxy` alone. A flow is kube-proxy's conntrack entry: it lasts while it is used and its target serves; when
the target goes, the next datagram of the same client starts a new flow to another one.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from lbctl.sandbox.nodes.addresses import udp_socket
from lbctl.sandbox.nodes.forward_tcp import source_towards

if TYPE_CHECKING:
    from lbctl.clock import Clock
    from lbctl.sandbox.nodes.choose import Chooser
    from lbctl.sandbox.nodes.rules import PortRule, Target

ClientAddress = tuple[str, int]
FLOW_IDLE_SECONDS = 120.0
"""Linux forgets a UDP flow with traffic in both directions after so long (nf_conntrack_udp_timeout_stream)."""
_MAX_WAITING = 64


class _Flow(asyncio.DatagramProtocol):
    """The target's side of one client's datagrams."""

    def __init__(self, port: UdpPort, *, client: ClientAddress, target: Target) -> None:
        self._port = port
        self.client = client
        self.target = target
        self.used = 0.0
        self.transport: asyncio.DatagramTransport | None = None
        self._waiting: list[bytes] = []
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        if self._closed:
            self.transport.abort()
            return
        for data in self._waiting:
            self.transport.sendto(data)
        self._waiting.clear()

    def send(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.sendto(data)
        elif len(self._waiting) < _MAX_WAITING:
            self._waiting.append(data)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002 - asyncio's signature
        self._port.answer(self, data)

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002 - asyncio's signature
        # The target's host rejected the datagram; the next one is chosen anew.
        self._port.drop(self)

    def close(self) -> None:
        self._closed = True
        if self.transport is not None:
            self.transport.abort()


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, port: UdpPort) -> None:
        self._port = port

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self._port.received(data, (str(addr[0]), addr[1]))


class UdpPort:
    """A node port for UDP; `apply` opens, changes and closes it."""

    def __init__(self, address: str, *, chooser: Chooser, clock: Clock) -> None:
        self._address = address
        self._chooser = chooser
        self._clock = clock
        self._rule: PortRule | None = None
        self._bound: socket.socket | None = None
        self._listener: asyncio.DatagramTransport | None = None
        self._flows: dict[ClientAddress, _Flow] = {}
        self._opening: set[asyncio.Task[None]] = set()

    async def apply(self, rule: PortRule) -> None:
        """Serve by `rule` from now on; `OSError` when the port cannot be bound."""
        self._rule = rule
        for flow in [flow for flow in self._flows.values() if flow.target not in rule.alive]:
            self.drop(flow)
        if not rule.targets and not rule.silent:
            self.close()
        elif self._listener is None:
            await self._listen(rule.node_port)

    async def _listen(self, port: int) -> None:
        bound = self._bound = udp_socket(self._address, port)
        listener, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Listener(self), sock=bound)
        if self._bound is bound:
            self._listener = listener
        else:  # closed meanwhile
            listener.abort()

    def close(self) -> None:
        """Reject datagrams from now on and forget all flows."""
        if self._listener is not None and self._bound is not None:
            self._listener.abort()
            # asyncio would let go of the port a round of its loop later, and its next owner is served before.
            self._bound.close()
        self._listener = self._bound = None
        for task in self._opening:
            task.cancel()
        for flow in list(self._flows.values()):
            self.drop(flow)

    abort = close

    def expire(self) -> None:
        """Forget flows that nobody used for `FLOW_IDLE_SECONDS` and clients whose affinity has run out."""
        oldest = self._clock.monotonic() - FLOW_IDLE_SECONDS
        for flow in [flow for flow in self._flows.values() if flow.used < oldest]:
            self.drop(flow)
        if self._rule and self._rule.affinity_seconds is not None:
            self._chooser.forget_expired(self._rule.affinity_seconds)

    def received(self, data: bytes, client: ClientAddress) -> None:
        """Send a client's datagram on; without a target it is dropped."""
        flow = self._flows.get(client) or self._new_flow(client)
        if flow is not None:
            flow.used = self._clock.monotonic()
            flow.send(data)

    def answer(self, flow: _Flow, data: bytes) -> None:
        """Send a target's answer back to the flow's client."""
        flow.used = self._clock.monotonic()
        if self._listener is not None:
            self._listener.sendto(data, flow.client)

    def drop(self, flow: _Flow) -> None:
        """Forget `flow`."""
        flow.close()
        if self._flows.get(flow.client) is flow:
            del self._flows[flow.client]

    def _new_flow(self, client: ClientAddress) -> _Flow | None:
        rule = self._rule
        target = self._chooser.pick(rule, client[0]) if rule else None
        if rule is None or target is None:
            return None
        flow = _Flow(self, client=client, target=target)
        self._flows[client] = flow
        source = source_towards(target, client=client[0] if rule.keeps_source else None, node=self._address)
        task = asyncio.get_running_loop().create_task(self._open(flow, source))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return flow

    async def _open(self, flow: _Flow, source: str | None) -> None:
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: flow,
                local_addr=(source, 0) if source else None,
                remote_addr=(flow.target.address, flow.target.port),
            )
        except OSError:
            self.drop(flow)
