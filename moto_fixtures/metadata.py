"""The instance metadata service of one instance, version 2 only: no answer without a token that it gave out.

The address of an instance's interface, its VPC and its region, as the documentation of EC2 describes the paths; what is
not there is 404. It counts what it was asked.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_GIVEN = "made-up-token"


@dataclass
class Metadata:
    """What the instance is, and what was asked of it; `endpoint` is set while it serves."""

    region: str = "eu-west-1"
    vpc: str = "vpc-0123"
    mac: str = "0e:00:00:00:00:01"
    endpoint: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def pages(self) -> dict[str, str]:
        """Every path that answers. The first interface has no VPC, as one that is being detached."""
        return {
            "placement/region": self.region,
            "network/interfaces/macs/": f"0e:00:00:00:00:00/\n{self.mac}/",
            f"network/interfaces/macs/{self.mac}/vpc-id": self.vpc,
        }

    @contextmanager
    def serving(self) -> Iterator[Metadata]:
        """Answer on a free port of the loopback interface for the length of a `with` block."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def _handler(metadata: Metadata) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            lifetime = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if self.path != "/latest/api/token" or not lifetime.isdigit() or not 1 <= int(lifetime) <= 21600:  # noqa: PLR2004 - six hours
                self._answer(400, "")
                return
            self._answer(200, _GIVEN)

        def do_GET(self) -> None:
            path = self.path.removeprefix("/latest/meta-data/")
            metadata.asked.append(path)
            if self.headers.get("X-aws-ec2-metadata-token") != _GIVEN:
                self._answer(401, "")
                return
            text = metadata.pages.get(path)
            self._answer(404 if text is None else 200, text or "")

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_args: object) -> None:
            """The list of what was asked is the record."""

    return Handler
