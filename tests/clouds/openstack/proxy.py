"""A proxy in front of one service that counts calls and makes faults: lost answers, refusals, delays, hangs.

It forwards bytes and never invents a state: what it refuses did not happen, what it loses did.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived."""

    method: str
    path: str
    body: Any = None

    @property
    def is_write(self) -> bool:
        """True for everything but reads."""
        return self.method not in {"GET", "HEAD"}

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Fault:
    """What happens to the calls that match, `times` times after the first `skip` of them.

    `refuse` answers with this status instead of forwarding; `lose` forwards and then cuts the connection; `cut` cuts it
    before; `hold` waits for this event before forwarding; `then` is called after forwarding, before the answer goes on.
    """

    method: str
    pattern: str
    times: int = 1
    skip: int = 0
    refuse: int = 0
    lose: bool = False
    cut: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    hold: threading.Event | None = None
    then: Callable[[], None] = lambda: None
    hits: int = 0

    def takes(self, call: Call) -> bool:
        """True when this call suffers the fault; counts."""
        if call.method != self.method or not re.search(self.pattern, call.path):
            return False
        self.hits += 1
        return self.skip < self.hits <= self.skip + self.times


class Proxy:
    """One listening port in front of one service."""

    def __init__(self, upstream: int, *, port: int = 0) -> None:
        self.upstream = upstream
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.hook: Callable[[Call], None] = lambda _call: None
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where this proxy listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where clients reach the service through this proxy."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to forward."""
        self._thread.start()

    def stop(self) -> None:
        """End; open connections are cut."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def fault(self, **options: Any) -> Iterator[Fault]:
        """Suffer a fault while the block runs."""
        fault = Fault(**options)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    @contextmanager
    def counted(self) -> Iterator[list[Call]]:
        """The calls that arrive while the block runs."""
        start = len(self.calls)
        seen: list[Call] = []
        yield seen
        seen.extend(self.calls[start:])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that left is no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the inherited signature
        """Nothing: calls are kept by the proxy."""

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815 - the inherited names

    def _handle(self) -> None:
        proxy = self.server.proxy
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = Call(self.command, self.path, json.loads(raw) if raw[:1] in (b"{", b"[") else None)
        proxy.calls.append(call)
        proxy.hook(call)
        fault = next((fault for fault in proxy.faults if fault.takes(call)), None)
        if fault is not None and fault.hold is not None:
            fault.hold.wait(60)
        if fault is not None and fault.cut:
            self._cut()
        elif fault is not None and fault.refuse:
            self._answer(fault.refuse, fault.headers, json.dumps(fault.body).encode())
        else:
            status, headers, body = self._forward(raw)
            if fault is not None:
                fault.then()
            if fault is not None and fault.lose:
                self._cut()
            else:
                self._answer(status, headers, body)

    def _forward(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.proxy.upstream, timeout=120)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        try:
            connection.request(self.command, self.path, raw or None, headers)
            reply = connection.getresponse()
            body = reply.read()
            kept = {k: v for k, v in reply.getheaders() if k.lower() not in HOP_BY_HOP}
        finally:
            connection.close()
        return reply.status, kept, body

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.close()
