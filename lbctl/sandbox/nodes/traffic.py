"""`Traffic`: a client that asks simulated pods for their names, from an address of choice, and counts the answers.

Used by the demo and by tests. Each request opens a connection of its own, so that the balancing in between shows;
`connect` keeps one open. It knows addresses and the echo servers' answers, nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import msgspec

from lbctl.errors import LbctlError
from lbctl.sandbox.nodes.loop import LoopThread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

TIMEOUT_SECONDS = 3.0
FRESH_PORTS = 256
"""So many UDP requests in a row come from as many ports: the same port again would be the flow of before."""
_OK = 200


class Kind(enum.StrEnum):
    """What a request speaks."""

    HTTP = "http"
    TCP = "tcp"
    UDP = "udp"


class NoAnswer(LbctlError):
    """A request got no answer, or one that no simulated pod gives."""

    reason = "NoAnswer"


@dataclass(frozen=True, slots=True)
class Request:
    """Something to ask: which protocol, where, and from which local address (`source` None: any)."""

    kind: Kind
    address: str
    port: int
    source: str | None = None
    path: str = "/"
    payload: bytes = b"hello"
    timeout_seconds: float = TIMEOUT_SECONDS

    def __str__(self) -> str:
        return f"{self.kind} {self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answered, what address it saw, everything it said, and the bytes that came back as sent."""

    pod: str
    node: str
    client: str
    said: dict[str, Any]
    echo: bytes = b""


@dataclass(slots=True)
class Tally:
    """What came of a number of requests; `errors` counts them by text."""

    requests: int = 0
    pods: Counter[str] = field(default_factory=Counter)
    nodes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        """Requests that a pod answered."""
        return self.pods.total()

    @property
    def failed(self) -> int:
        """Requests that nobody answered."""
        return self.errors.total()

    async def count(self, answer: Awaitable[Answer]) -> None:
        """Wait for one answer and count it."""
        self.requests += 1
        try:
            got = await answer
        except NoAnswer as error:
            self.errors[str(error)] += 1
        else:
            self.pods[got.pod] += 1
            self.nodes[got.node] += 1


class Conversation:
    """An open TCP connection to a pod; `greeting` is what it said first."""

    def __init__(self, loop: LoopThread, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._loop = loop
        self._reader = reader
        self._writer = writer
        self.greeting = Answer("", "", "", {})

    def say(self, line: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> str:
        """The line as the pod echoes it; `NoAnswer` when the connection is gone or silent."""
        return self._loop.call(self._exchange(line, timeout_seconds))

    def is_closed(self, *, timeout_seconds: float = TIMEOUT_SECONDS) -> bool:
        """True as soon as the other side has closed or reset the connection, False after `timeout_seconds`."""
        return self._loop.call(self._closes(timeout_seconds))

    def close(self) -> None:
        """End the connection."""
        self._loop.call(_closed(self._writer))

    async def _exchange(self, line: str, timeout_seconds: float) -> str:
        async with _answering("tcp connection", timeout_seconds):
            self._writer.write(line.encode() + b"\n")
            await self._writer.drain()
            answer = await self._reader.readline()
            if not answer:
                raise ConnectionResetError("closed by the other side")
            return answer.decode().rstrip("\n")

    async def _closes(self, timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                return not await self._reader.read(1)
        except TimeoutError:
            return False
        except OSError:
            return True


class Stream:
    """Requests that go on in the background until it is stopped."""

    def __init__(self) -> None:
        self.tally = Tally()


class Traffic:
    """Asks simulated pods; use it as a context manager."""

    def __init__(self) -> None:
        self._loop = LoopThread("sandbox-traffic")
        self._used: deque[asyncio.DatagramTransport] = deque()
        self._ask: dict[Kind, Callable[[Request], Coroutine[object, object, Answer]]] = {
            Kind.HTTP: _ask_http,
            Kind.TCP: _ask_tcp,
            Kind.UDP: self._ask_udp,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call(self._give_ports_back(keep=0))
        self._loop.stop()

    def ask(self, request: Request) -> Answer:
        """The answer to one request; `NoAnswer` says why there is none."""
        return self._loop.call(self._ask[request.kind](request))

    def ask_many(self, request: Request, *, count: int, at_once: int = 1) -> Tally:
        """What came of `count` equal requests, `at_once` of them at a time."""
        return self._loop.call(self._many(request, count, at_once))

    @contextlib.contextmanager
    def steady(self, request: Request, *, pause_seconds: float = 0.01, at_once: int = 2) -> Iterator[Stream]:
        """Requests one after the other, in `at_once` rows, for as long as the context lasts.

        Requests that are under way at the end are waited for, so the tally is whole afterwards.
        """
        stream = Stream()
        ended = asyncio.Event()
        rows = [self._loop.spawn(self._row(request, stream.tally, ended, pause_seconds)) for _ in range(at_once)]
        try:
            yield stream
        finally:
            self._loop.call(_set(ended))
            for row in rows:
                row.result(TIMEOUT_SECONDS + request.timeout_seconds)

    def connect(self, request: Request) -> Conversation:
        """A TCP connection that stays open; its greeting has been read."""
        return self._loop.call(self._connect(request))

    async def _many(self, request: Request, count: int, at_once: int) -> Tally:
        tally = Tally()
        permits = asyncio.Semaphore(at_once)

        async def one() -> None:
            async with permits:
                await tally.count(self._ask[request.kind](request))

        await asyncio.gather(*(one() for _ in range(count)))
        return tally

    async def _row(self, request: Request, tally: Tally, ended: asyncio.Event, pause_seconds: float) -> None:
        while not ended.is_set():
            await tally.count(self._ask[request.kind](request))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), pause_seconds)

    async def _ask_udp(self, request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()
        await self._give_ports_back(keep=FRESH_PORTS - 1)
        async with _answering(str(request), request.timeout_seconds):
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Reply(reply),
                local_addr=(request.source, 0) if request.source else None,
                remote_addr=(request.address, request.port),
            )
            # Its port stays taken, so that the system gives it to no request that follows.
            self._used.append(transport)
            transport.sendto(request.payload)
            said, _, echo = (await reply).partition(b"\n")
            return _answer(said, echo=echo)

    async def _give_ports_back(self, *, keep: int) -> None:
        while len(self._used) > keep:
            self._used.popleft().abort()

    async def _connect(self, request: Request) -> Conversation:
        async with _answering(str(request), request.timeout_seconds):
            reader, writer = await _opened(request)
            # A port that finds out what it speaks waits for the client's first line.
            writer.write(request.payload + b"\n")
            conversation = Conversation(self._loop, reader, writer)
            conversation.greeting = _answer(await reader.readline())
            await reader.readline()
            return conversation


async def _ask_http(request: Request) -> Answer:
    host = f"[{request.address}]" if ":" in request.address else request.address
    local = (request.source, 0) if request.source else None
    async with (
        _answering(str(request), request.timeout_seconds),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=local, force_close=True)) as session,
        session.get(f"http://{host}:{request.port}{request.path}") as response,
    ):
        if response.status != _OK:
            raise NoAnswer(f"{request}: status {response.status}")
        return _answer(await response.read())


async def _ask_tcp(request: Request) -> Answer:
    async with _answering(str(request), request.timeout_seconds):
        reader, writer = await _opened(request)
        try:
            writer.write(request.payload + b"\n")
            writer.write_eof()
            greeting = await reader.readline()
            return _answer(greeting, echo=(await reader.read()).rstrip(b"\n"))
        finally:
            await _closed(writer)


class _Reply(asyncio.DatagramProtocol):
    def __init__(self, reply: asyncio.Future[bytes]) -> None:
        self._reply = reply

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio's signature
        if not self._reply.done():
            self._reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._reply.done():
            self._reply.set_exception(exc)


@contextlib.asynccontextmanager
async def _answering(what: str, timeout_seconds: float) -> Any:  # noqa: ANN401 - a context without a value
    """Whatever fails inside is a `NoAnswer` that says what was asked."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except TimeoutError as error:
        raise NoAnswer(f"{what}: no answer within {timeout_seconds:g} s") from error
    except aiohttp.ClientConnectorError as error:
        raise NoAnswer(f"{what}: {type(error.os_error).__name__}: {error.os_error}") from error
    except (OSError, aiohttp.ClientError, msgspec.DecodeError, EOFError) as error:
        raise NoAnswer(f"{what}: {type(error).__name__}: {error}") from error


async def _opened(request: Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    local = (request.source, 0) if request.source else None
    return await asyncio.open_connection(request.address, request.port, local_addr=local)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _set(event: asyncio.Event) -> None:
    event.set()


def _answer(said: bytes, *, echo: bytes = b"") -> Answer:
    if not said:
        raise EOFError("the connection was closed without an answer")
    fields = msgspec.json.decode(said, type=dict[str, Any])
    return Answer(fields.get("pod", ""), fields.get("node", ""), fields.get("client", ""), fields, echo)
