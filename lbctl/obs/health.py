"""The HTTP endpoints of a running process: `/metrics`, `/healthz`, `/readyz`.

Healthy: every thread lives and work is not stuck. Ready: caches are filled and the cloud's credentials worked once; a
standby is ready too, so that a rolling update can go on.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from lbctl.errors import InvalidSettings

Check = Callable[[], str]
"""Returns an empty text when all is well, else what is wrong."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's signature
        """Say nothing of each probe."""


class Endpoints:
    """Serves in a thread of its own until closed."""

    def __init__(self, address: str, *, registry: CollectorRegistry, checks: Mapping[str, Check]) -> None:
        host, _, port = address.rpartition(":")
        self._checks = checks
        self._metrics = make_wsgi_app(registry)
        try:
            self._server = make_server(
                host.strip("[]"), int(port), self._respond, server_class=_Server, handler_class=_Quiet
            )
        except (OSError, ValueError) as error:
            hint = "set obs.address to HOST:PORT, or to nothing to serve none"
            raise InvalidSettings(f"cannot serve metrics and health on {address!r}: {error}", hint=hint) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def _respond(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            body: Iterable[bytes] = self._metrics(environ, start_response)
            return body
        check = self._checks.get(path)
        if check is None:
            return _text(start_response, "404 Not Found", "try /metrics, /healthz or /readyz\n")
        wrong = check()
        return _text(start_response, "503 Service Unavailable" if wrong else "200 OK", (wrong or "ok") + "\n")


def _text(start_response: Callable[..., Any], status: str, body: str) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [body.encode()]
