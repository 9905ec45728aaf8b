"""The API on loopback: plain HTTP in a thread of its own, one request at a time."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.clouds.gce.compute import Compute
from tests.clouds.gce.credentials import TOKEN, TOKEN_REPLY
from tests.clouds.gce.description import find_method
from tests.clouds.gce.errors import Refusal


class Listener(ThreadingHTTPServer):
    """A thread for each connection, all of which end with the server."""

    daemon_threads = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection, and with it its thread."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class ComputeServer:
    """A running endpoint at `url`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.compute = Compute(now)
        self.bugs: list[BaseException] = []
        self.hands_out_tokens = True
        self.tokens = {TOKEN}
        self._server = Listener(("127.0.0.1", 0), self._handler())
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        self._thread.join(5)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def _answer(self) -> None:
                bearer, body = self.headers.get("Authorization", ""), self._body()
                status, reply = outer.admit(self.path, bearer) or outer.answer(self.command, self.path, body)
                if status == 0:
                    self.close_connection = True
                    self.connection.close()
                    return
                data = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=UTF-8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _body(self) -> Any:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                is_json = raw and "json" in self.headers.get("Content-Type", "")
                return json.loads(raw) if is_json else {}

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self._answer
                raise AttributeError(name)

            def log_message(self, *_: object) -> None:
                """Tests read the journal instead."""

        return Handler

    def admit(self, path: str, bearer: str) -> tuple[int, Any] | None:
        """A token for whoever asks; a refusal of calls without it."""
        if path == "/token" and not self.hands_out_tokens:
            return 400, {"error": "invalid_grant", "error_description": "The token of the Pod is not trusted."}
        if path == "/token":
            return 200, TOKEN_REPLY
        if bearer.removeprefix("Bearer ") not in self.tokens:
            return 401, Refusal(401, "authError", "Invalid Credentials").body()
        return None

    def answer(self, verb: str, target: str, body: Any) -> tuple[int, Any]:
        """Status and reply; status 0 drops the connection."""
        split = urlsplit(target)
        try:
            asked = re.fullmatch(r"/v1/projects/([^/:]+):testIamPermissions", split.path)
            if asked and verb == "POST":
                return 200, self.compute.test_permissions(asked[1], body)
            method, path = find_method(verb, split.path)
            reply, lost = self.compute.handle(method, path, dict(parse_qsl(split.query)), body)
        except Refusal as refusal:
            return refusal.status, refusal.body()
        except Exception as bug:  # noqa: BLE001 - told to the test, which fails on it
            self.bugs.append(bug)
            return 500, {"error": {"code": 500, "message": repr(bug)}}
        return (0 if lost else 200), reply
