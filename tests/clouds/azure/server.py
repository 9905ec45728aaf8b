"""The endpoint on loopback: an HTTP server in a thread of its own, with faults and a journal.

Tests start it, hand its URL to an SDK client, and read or change its state from their own thread. Requests are answered
one at a time under one lock; waiting (delays, holds) happens outside of it, so that other calls go on.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Final, Self

import msgspec
from aiohttp import web

from tests.clouds.azure.access import Access, Principal
from tests.clouds.azure.arm import Arm
from tests.clouds.azure.cloud import Cloud
from tests.clouds.azure.faults import Asking, Delay, Drop, Effect, Faults, Hold, Refuse
from tests.clouds.azure.journal import Call, Journal
from tests.clouds.azure.limits import PUBLISHED, Limits, Throttle
from tests.clouds.azure.paths import route_of
from tests.clouds.azure.requests import Reply, Request, parse_query

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

TOKEN: Final = "token-of-the-controller"
_LARGEST_REQUEST: Final = 4 * 1024 * 1024
_START_SECONDS: Final = 10


class ArmServer:
    """A running endpoint. `now` may be a virtual clock; delays of faults are real."""

    def __init__(
        self,
        cloud: Cloud | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        limits: Limits = PUBLISHED,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.cloud: Final = cloud or Cloud(now=now)
        self.access: Final = Access({TOKEN: Principal("controller")})
        self.arm: Final = Arm(self.cloud, self.access, Throttle(limits))
        self.faults: Final = Faults()
        self.journal: Final = Journal()
        self.url = ""
        self._failures: list[Exception] = []
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="arm", daemon=True)
        self._ready = threading.Event()
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise RuntimeError("the endpoint did not start; its thread's traceback tells why")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and self._failures:
            raise self._failures[0]

    def stop(self) -> None:
        """Ends the server and closes every connection; leaving the `with` block raises what broke in it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        assert self._runner is not None
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"{'https' if self._tls else 'http'}://{host}:{port}"

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        request = await self._read(incoming)
        asking = Asking(request.method, request.path, request.action, request.counted)
        effects = self.faults.effects(asking)
        refusal = await self._before(effects)
        if Drop() in effects:
            return self._drop(incoming, request)
        reply = refusal or self._answer(request)
        if Drop(after_write=True) in effects:
            return self._drop(incoming, request)
        self._note(request, reply.status)
        content = b"" if reply.body is None else msgspec.json.encode(reply.body)
        kind = "application/json" if reply.body is not None else None
        return web.Response(status=reply.status, body=content, content_type=kind, headers=reply.headers)

    async def _read(self, incoming: web.Request) -> Request:
        path = incoming.path.rstrip("/").replace("//", "/")
        return Request(
            method=incoming.method,
            route=route_of(path),
            path=path,
            base=f"{incoming.scheme}://{incoming.host}",
            query=parse_query(incoming.query_string),
            headers={name.lower(): value for name, value in incoming.headers.items()},
            body=await incoming.read(),
        )

    async def _before(self, effects: list[Effect]) -> Reply | None:
        """Waits as the effects say; the first refusal among them is the answer."""
        refusal = None
        for effect in effects:
            if isinstance(effect, Delay):
                await asyncio.sleep(effect.seconds)
            elif isinstance(effect, Hold):
                await asyncio.get_running_loop().run_in_executor(None, effect.until.wait)
            elif isinstance(effect, Refuse) and refusal is None:
                error = {"error": {"code": effect.code, "message": effect.message, "details": []}}
                refusal = Reply(effect.status, error, dict(effect.headers))
        return refusal

    def _answer(self, request: Request) -> Reply:
        """The answer; a fault of the endpoint itself is a 500 for the client and fails the test at the end."""
        try:
            with self.cloud.lock:
                return self.arm.answer(request)
        except Exception as failure:  # noqa: BLE001 - kept for the test's own thread, which raises it
            self._failures.append(failure)
            return Reply(500, {"error": {"code": "EndpointBroken", "message": repr(failure), "details": []}})

    def _drop(self, incoming: web.Request, request: Request) -> web.StreamResponse:
        self._note(request, 0)
        if incoming.transport is not None:
            incoming.transport.abort()
        return web.Response()

    def _note(self, request: Request, status: int) -> None:
        self.journal.add(
            Call(
                method=request.method,
                path=request.path,
                action=request.action,
                counted=request.counted,
                status=status,
                api_version=request.query.get("api-version", ""),
                if_match=request.headers.get("if-match", ""),
                if_none_match=request.headers.get("if-none-match", ""),
                user_agent=request.headers.get("user-agent", ""),
            )
        )
