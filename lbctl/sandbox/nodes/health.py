"""The two health answers of a node: one a Service on its healthCheckNodePort, one of kube-proxy itself on 10256.

Used by `NodeProxy`. Bodies, headers and codes are those of Kubernetes 1.36 `pkg/proxy/healthcheck`: `service_health.go`
and `proxy_health.go`. Every path of a healthCheckNodePort answers alike, as there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from lbctl.sandbox.nodes.addresses import serve, tcp_socket

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbctl.clock import Clock

PROXY_HEALTH_PORT = 10256


class HttpPort:
    """A small HTTP server on one address and port that answers each request with `answer(path)`."""

    def __init__(self, address: str, port: int, *, answer: Callable[[str], web.Response]) -> None:
        self._address = address
        self.port = port
        self._answer = answer
        self._http: web.Server | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; `OSError` when the port is taken."""
        listening = tcp_socket(self._address, self.port)
        self._http = web.Server(self._handle, access_log=None)
        self._server = await serve(self._http, listening)

    async def close(self) -> None:
        """Stop listening and end open connections."""
        if self._server is not None and self._http is not None:
            self._server.close()
            await self._http.shutdown(timeout=0.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._answer(request.path)


def service_health(service: str, *, local_endpoints: int) -> web.Response:
    """200 while the node has ready endpoints of `service` (namespace/name), else 503."""
    namespace, _, name = service.partition("/")
    body = {
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": local_endpoints,
        "serviceProxyHealthy": True,
    }
    headers = {"X-Content-Type-Options": "nosniff", "X-Load-Balancing-Endpoint-Weight": str(local_endpoints)}
    return web.json_response(body, status=200 if local_endpoints else 503, headers=headers)


def proxy_health(path: str, *, clock: Clock, eligible: bool) -> web.Response:
    """kube-proxy's own health: `/healthz` is 503 on a node that is about to go, `/livez` is not, others are 404."""
    if path not in {"/healthz", "/livez"}:
        return web.Response(status=404, text="404 page not found\n")
    now = clock.now().isoformat()
    body: dict[str, object] = {"lastUpdated": now, "currentTime": now}
    if path == "/healthz":
        body["nodeEligible"] = eligible
    healthy = eligible or path == "/livez"
    return web.json_response(body, status=200 if healthy else 503, headers={"X-Content-Type-Options": "nosniff"})
