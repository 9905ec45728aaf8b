"""The servers in a simulated pod: each answer says which pod and which node gave it.

HTTP answers JSON; TCP sends one JSON line and then echoes lines; UDP answers a datagram with one JSON line and the
datagram. A port that is not told what it speaks finds out from the first bytes. Used by the pods alone; knows no API.
"""

from __future__ import annotations

import asyncio
import enum
import json
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from aiohttp import web

from lbctl.sandbox.nodes.addresses import reset, serve, tcp_socket, udp_socket
from lbctl.sandbox.nodes.preface import BrokenHeader, IncompleteHeader, ProxyHeader, read_header

if TYPE_CHECKING:
    from collections.abc import Mapping

GREETING_SECONDS = 0.05
"""How long a TCP port waits for a PROXY header before it speaks first."""

_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT ")


class Speech(enum.Enum):
    """What a port speaks."""

    HTTP = "http"
    TCP = "tcp"
    UDP = "udp"
    DETECT = "detect"


@dataclass(frozen=True, slots=True, order=True)
class ContainerPort:
    """One port that a pod serves; `services` are the names of the Services that lead to it."""

    number: int
    protocol: str
    speech: Speech = field(compare=False)
    services: tuple[str, ...] = field(compare=False, default=())


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers."""

    pod: str
    node: str
    namespace: str


class EchoPort:
    """The server of one port of one pod."""

    def __init__(self, identity: Identity, address: str, port: ContainerPort) -> None:
        self._identity = identity
        self.address = address
        self.port = port
        self._http: web.Server | None = None
        self._headers: weakref.WeakKeyDictionary[asyncio.BaseTransport, ProxyHeader] = weakref.WeakKeyDictionary()
        self._transports: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
        self._server: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None

    async def open(self) -> int:
        """Listen, and the port number that was bound (the asked one unless that is 0); `OSError` when it is taken."""
        loop = asyncio.get_running_loop()
        if self.port.protocol == "UDP":
            sock = udp_socket(self.address, self.port.number)
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sock)
        else:
            sock = tcp_socket(self.address, self.port.number)
            self._server = await serve(lambda: _Arrival(self), sock)
        return int(sock.getsockname()[1])

    def close(self) -> None:
        """Stop listening and reset all connections: the process in the pod is gone."""
        if self._server is not None:
            self._server.close()
        if self._datagrams is not None:
            self._datagrams.abort()
        for transport in list(self._transports):
            reset(cast("asyncio.Transport", transport))

    def accepted(self, transport: asyncio.Transport) -> None:
        """Remember a connection, so that it ends with the pod."""
        self._transports.add(transport)

    def hand_over(self, transport: asyncio.Transport, *, first: bytes, header: ProxyHeader | None, http: bool) -> None:
        """Give a connection whose first bytes are read to the server that it is meant for."""
        if header is not None:
            self._headers[transport] = header
        protocol = self._new_http() if http else _Lines(self)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if first:
            protocol.data_received(first)

    def answer(self, transport: asyncio.BaseTransport | None, client: str) -> dict[str, object]:
        """What every answer says."""
        header = self._headers.get(transport) if transport is not None else None
        return {
            "pod": self._identity.pod,
            "node": self._identity.node,
            "namespace": self._identity.namespace,
            "service": ",".join(self.port.services),
            "port": self.port.number,
            "client": client,
            **_described(header),
        }

    def _new_http(self) -> asyncio.Protocol:
        if self._http is None:
            self._http = web.Server(self._answer_http, access_log=None)
        return self._http()

    async def _answer_http(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        answer = self.answer(request.transport, _peer(request.transport))
        answer |= {"method": request.method, "path": request.path_qs, "bodyBytes": len(body)}
        answer["headers"] = _flat(request.headers)
        return web.json_response(answer)


class _Arrival(asyncio.Protocol):
    """Reads the first bytes of a connection until it is clear who serves it."""

    def __init__(self, port: EchoPort) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._first = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._port.accepted(self._transport)
        if self._port.port.speech is Speech.TCP:
            self._timer = asyncio.get_running_loop().call_later(GREETING_SECONDS, self._hand_over)

    def data_received(self, data: bytes) -> None:
        self._first += data
        try:
            header = read_header(self._first)
            http = self._is_http(self._first[header.length :] if header else self._first)
        except IncompleteHeader:
            return
        except BrokenHeader:
            reset(self._transport)
            return
        self._hand_over(header, http=http)

    def eof_received(self) -> bool:
        if not self._first:
            return False
        self._hand_over()
        protocol = cast("asyncio.Transport", self._transport).get_protocol()
        return bool(cast("asyncio.Protocol", protocol).eof_received())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._timer is not None:
            self._timer.cancel()

    def _is_http(self, data: bytes) -> bool:
        speech = self._port.port.speech
        if speech is not Speech.DETECT:
            return speech is Speech.HTTP
        if any(method.startswith(data) for method in _METHODS):
            raise IncompleteHeader
        return data.startswith(_METHODS)

    def _hand_over(self, header: ProxyHeader | None = None, *, http: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        transport = cast("asyncio.Transport", self._transport)
        if transport.is_closing():
            return
        first = self._first[header.length :] if header else self._first
        self._port.hand_over(transport, first=first, header=header, http=http)


class _Lines(asyncio.Protocol):
    """Greets with one JSON line, then echoes whole lines."""

    def __init__(self, port: EchoPort) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_line(self._port.answer(transport, _peer(transport))))

    def data_received(self, data: bytes) -> None:
        lines, end, self._rest = (self._rest + data).rpartition(b"\n")
        if end and self._transport is not None:
            self._transport.write(lines + end)

    def eof_received(self) -> bool:
        if self._rest and self._transport is not None:
            self._transport.write(self._rest)
        return False


class _Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram with one JSON line and the datagram itself."""

    def __init__(self, port: EchoPort) -> None:
        self._port = port
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        try:
            header = read_header(data)
        except (BrokenHeader, IncompleteHeader):
            header = None
        payload = data[header.length :] if header else data
        answer = self._port.answer(None, _address(addr)) | _described(header)
        if self._transport is not None:
            self._transport.sendto(_line(answer) + payload, addr)


def _described(header: ProxyHeader | None) -> dict[str, object]:
    if header is None:
        return {}
    described = {"version": header.version, "source": header.source, "destination": header.destination}
    return {"proxyProtocol": described}


def _flat(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _line(answer: dict[str, object]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def _peer(transport: asyncio.BaseTransport | None) -> str:
    return _address(transport.get_extra_info("peername")) if transport is not None else ""


def _address(name: tuple[object, ...]) -> str:
    host = f"[{name[0]}]" if ":" in str(name[0]) else name[0]
    return f"{host}:{name[1]}"
