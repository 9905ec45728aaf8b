"""The one thing that is asked of Barbican: whether a secret or container exists. A stub of it.

It answers as Barbican does: the versions document with 300, metadata with 200, and 404 or 401 with its error document.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Barbican(ThreadingHTTPServer):
    """A listening stub; `known` are the paths below `/v1` that exist, such as `secrets/ID`."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.known: set[str] = set()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """What the catalog names."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Barbican

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the inherited signature
        """Nothing."""

    def do_GET(self) -> None:
        path = self.path.strip("/").removeprefix("v1").strip("/")
        if not path:
            self._answer(300, {"versions": [self._version()]})
        elif "X-Auth-Token" not in self.headers:
            self._answer(401, {"error": {"code": 401, "title": "Unauthorized", "message": "no token"}})
        elif path in self.server.known:
            kind, _, identity = path.partition("/")
            reference = {f"{kind.removesuffix('s')}_ref": f"{self.server.url}/v1/{kind}/{identity}"}
            self._answer(200, {"status": "ACTIVE", **reference})
        else:
            self._answer(
                404, {"code": 404, "title": "Not Found", "description": "Not Found. Sorry but it is not here."}
            )

    def _version(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": f"{self.server.url}/v1/"}]
        return {"id": "v1", "status": "CURRENT", "min_version": "1.0", "max_version": "1.1", "links": links}

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
