"""A server that grants tokens for the Compute server, beside the metadata server of the instance that asks.

It grants them by POST, to whom the instance's own token proves and who sends what it was told to.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

OWN_TOKEN = "token-of-the-instance"
BODY = '{"projectNumber":1,"clusterId":"secret-of-the-cluster"}'
PATH = "/v1/projects/1:generateToken"
METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"


class TokenGranter:
    """A running server; `accepted` are the tokens that the Compute server takes, to which it adds what it grants.

    `lives` are the seconds that a token lasts. `refusal` is answered instead of a token, and `garbled` are fields of an
    answer that are other than they should be.
    """

    def __init__(self, accepted: set[str]) -> None:
        self.accepted = accepted
        self.asked = 0
        self.lives = 3600.0
        self.refusal: tuple[int, Any] | None = None
        self.garbled: dict[str, Any] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}{PATH}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def grant(self, bearer: str, body: str) -> tuple[int, Any]:
        """Status and answer to a question for a token."""
        self.asked += 1
        if self.refusal:
            return self.refusal
        if bearer != f"Bearer {OWN_TOKEN}":
            return 401, {"error": {"code": 401, "message": "Request had invalid authentication credentials."}}
        if body != BODY:
            return 400, {"error": {"code": 400, "message": "Invalid JSON payload received."}}
        token = f"granted-{self.asked}"
        ends = datetime.now(UTC) + timedelta(seconds=self.lives)  # noqa: TID251 - the clock of google.auth
        self.accepted.add(token)
        return 200, {"accessToken": token, "expireTime": ends.isoformat().replace("+00:00", "Z"), **self.garbled}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == METADATA and self.headers.get("Metadata-Flavor") == "Google"
                self._answer(200 if known else 404, {"access_token": OWN_TOKEN, "expires_in": 3599})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                known = urlsplit(self.path).path == PATH
                self._answer(*outer.grant(self.headers.get("Authorization", ""), body) if known else (404, {}))

            def _answer(self, status: int, reply: Any) -> None:
                data = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Metadata-Flavor", "Google")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Tests read the count instead."""

        return Handler
