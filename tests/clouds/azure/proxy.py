"""A proxy through which a process reaches the endpoint under the names of real hosts, and which notes them.

Clients use it because the environment says so (`HTTPS_PROXY`), as in many companies; nothing of them is changed. Every
`CONNECT` ends at the endpoint, whose certificate has to be for the host that the client wants.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

_ACCEPT_SECONDS = 0.2
_CHUNK = 65536


class Proxy:
    """A running proxy to one endpoint; `hosts` are those that clients asked for."""

    def __init__(self, endpoint: str) -> None:
        target = urlsplit(endpoint)
        self._target = (target.hostname or "", target.port or 443)
        self.hosts: set[str] = set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(_ACCEPT_SECONDS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._socket.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request and (chunk := client.recv(_CHUNK)):
            request += chunk
        method, host, _ = request.decode().split(" ", 2)
        assert method == "CONNECT"
        self.hosts.add(host.removesuffix(":443"))
        server = socket.create_connection(self._target)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        _pump(server, client)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Hand on what comes until one side has had enough, then let both know."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
