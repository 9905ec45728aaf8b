"""Starts and stops one API server: a thread with an event loop, its store, its users and its faults.

The way in for tests, the demo and the command; knows no rule of the API.
"""

from __future__ import annotations

import asyncio
import base64
import random
import threading
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import yaml
from aiohttp import web

from lbctl.clock import SystemClock
from lbctl.sandbox.api.auth import Users
from lbctl.sandbox.api.certificates import make_certificate
from lbctl.sandbox.api.faults import Faults, Switches
from lbctl.sandbox.api.http import Frontend
from lbctl.sandbox.api.journal import Journal
from lbctl.sandbox.api.kinds import BY_TYPE, NAMESPACES, SERVICES
from lbctl.sandbox.api.objects import Obj, clone
from lbctl.sandbox.api.resources import Resources
from lbctl.sandbox.api.rules import rules_of
from lbctl.sandbox.api.service_pools import Pools
from lbctl.sandbox.api.store import Store
from lbctl.sandbox.api.verbs import Verbs
from lbctl.sandbox.api.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from lbctl.clock import Clock

T = TypeVar("T")
FIRST_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
NODE_PORTS = (30_000, 32_767)
ADMIN = "kubernetes-admin"
START_SECONDS = 20.0


class Runner(Protocol):
    """Runs a step in the server's thread and hands back its result."""

    def __call__(self, step: Callable[[], T]) -> T:
        """Return what `step` returns."""


class Contents:
    """What is stored, from any thread: every call runs as one step in the server's own."""

    def __init__(self, resources: Resources, run: Runner) -> None:
        self._resources = resources
        self._run = run

    def seed(self, objects: Iterable[Obj]) -> int:
        """Store many objects as given, defaults filled in but nothing checked; returns how many.

        Each needs apiVersion, kind and metadata.name. About 10,000 Services a second.
        """
        copies = [clone(obj) for obj in objects]

        def store_all() -> int:
            for obj in copies:
                self._resources.seed(BY_TYPE[obj.pop("apiVersion"), obj.pop("kind")], obj)
            return len(copies)

        return self._run(store_all)

    def objects(self, api_version: str, kind: str, namespace: str = "") -> list[Obj]:
        """Copies of all objects of one kind, in list order."""
        known = BY_TYPE[api_version, kind]
        return self._run(
            lambda: [clone(entry.value) for entry in self._resources.store.entries(known.storage, namespace)]
        )

    def revision(self) -> int:
        """The revision of the newest write."""
        return self._run(lambda: self._resources.store.revision)


class ApiServer:
    """A Kubernetes API server in this process, on a loopback port; use as a context manager.

    `port` 0 takes a free one. `history` is how many changes a kind keeps for watches. Without `tls` kubectl cannot log
    in, as it sends no token in clear. Raises OSError when the port is taken.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        bookmark_seconds: float = 60.0,
        history: int = 10_000,
        service_cidrs: Iterable[str] = ("10.96.0.0/16", "fd00:10:96::/112"),
        node_ports: tuple[int, int] = NODE_PORTS,
        tls: bool = True,
        clock: Clock | None = None,
        seed: int = 0,
    ) -> None:
        now, chance = (clock or SystemClock()).now, random.Random(seed)  # noqa: S311 - names and numbers, no secrets
        # Not the given clock: the client on the other side judges validity by the machine's.
        self._certificate = make_certificate(SystemClock().now()) if tls else None
        pools = Pools.of(service_cidrs, node_ports, chance)
        self._resources = Resources(Store(history=history), rules_of(pools), now=now, chance=chance)
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api-server", daemon=True)
        self._runner: web.AppRunner | None = None
        self.users = Users()
        self.token = self.users.add(ADMIN)
        self.journal = Journal()
        self.faults = Faults(self._switches())
        self.store = Contents(self._resources, self._run)
        store = self._resources.store
        self._watches = Watches(store, self.faults, bookmark_seconds=bookmark_seconds, now=now, chance=chance)
        verbs = Verbs(self._resources, now)
        self._frontend = Frontend(self._resources, verbs, self.users, self.faults, self.journal, self._watches)
        self._fill(pools)

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._port}"

    @property
    def ca(self) -> str:
        """The PEM certificate to trust; empty without TLS."""
        return self._certificate.certificate.decode() if self._certificate else ""

    def kubeconfig(self, token: str = "") -> str:
        """The YAML of a kubeconfig for a user's token; the administrator's when empty."""
        context = {"cluster": "sandbox", "user": "sandbox", "namespace": "default"}
        cluster = {"server": self.url}
        if self.ca:
            cluster["certificate-authority-data"] = base64.b64encode(self.ca.encode()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": cluster}],
            "users": [{"name": "sandbox", "user": {"token": token or self.token}}],
            "contexts": [{"name": "sandbox", "context": context}],
            "current-context": "sandbox",
        }
        return yaml.safe_dump(config, sort_keys=False)

    def start(self) -> Self:
        """Listen; returns when requests are answered."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(START_SECONDS)
        return self

    def stop(self) -> None:
        """Close every connection and end the thread."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(START_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _fill(self, pools: Pools) -> None:
        """Make what a fresh cluster has: its namespaces and the Service of the API itself."""
        for name in FIRST_NAMESPACES:
            self._resources.seed(NAMESPACES, {"metadata": {"name": name}})
        network = next(iter(pools.networks.values()))
        port = {"name": "https", "port": 443, "targetPort": 6443}
        meta = {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        }
        self._resources.seed(SERVICES, {"metadata": meta, "spec": {"clusterIP": str(network[1]), "ports": [port]}})

    def _run(self, step: Callable[[], T]) -> T:
        async def run() -> T:
            return step()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _switches(self) -> Switches:
        return Switches(
            expire_history=lambda: self._run(self._resources.store.expire_history),
            drop_connections=lambda: self._run(self._drop_connections),
            set_listening=lambda on: asyncio.run_coroutine_threadsafe(self._listen(on=on), self._loop).result(
                START_SECONDS
            ),
            wake_watches=lambda: self._run(self._watches.wake_all),
        )

    async def _start(self) -> None:
        # Requests end when their client is gone, so that a lost watcher is not served for an hour.
        self._runner = web.AppRunner(
            self._frontend.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await self._listen(on=True)

    async def _listen(self, *, on: bool) -> None:
        assert self._runner is not None
        if not on:
            for site in tuple(self._runner.sites):
                await site.stop()
            return
        context = self._certificate.server_context() if self._certificate else None
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True, ssl_context=context)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        assert self._runner is not None
        self._drop_connections()
        await self._runner.cleanup()

    def _drop_connections(self) -> None:
        assert self._runner is not None
        assert self._runner.server is not None
        for connection in tuple(self._runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()
