"""A controller that runs until it is told to stop: stands for election, watches, works, answers probes.

Start order: endpoints, lease, watches, and only when the lease is ours and every watch is complete, the work. Stop
order is the reverse; the lease is given back last, so that the next leader finds nobody at work.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from lbctl import __version__
from lbctl.clock import Clock
from lbctl.engine.assembly import FindProvider, assemble
from lbctl.engine.controller import Task, Work
from lbctl.engine.measure import measure
from lbctl.engine.meter import CountedEvents, Meter
from lbctl.engine.runner import Workers
from lbctl.engine.telling import Telling
from lbctl.errors import KubeDenied, KubeError, KubeGone
from lbctl.kube.access import Access
from lbctl.kube.election import Election
from lbctl.kube.events import Recorder
from lbctl.kube.fence import Fence, LeaseFence, NoLease
from lbctl.kube.lease import LeaseTimes
from lbctl.kube.resources import (
    ENDPOINT_SLICE_RESOURCE,
    NODE_RESOURCE,
    Resource,
    T,
    pod_resource,
    referred_resource,
    service_resource,
)
from lbctl.kube.rest import Rest
from lbctl.kube.throttle import Rate
from lbctl.kube.watch import Reflector, ReflectorStats
from lbctl.model.objects import Node, Pod, Service
from lbctl.obs.figures import Figures
from lbctl.obs.health import Endpoints
from lbctl.obs.metrics import QUEUE, Metrics
from lbctl.obs.tracing import NoTracing, Tracing
from lbctl.registry import find_provider
from lbctl.settings import Settings

log = logging.getLogger(__name__)

NO_TRACING = NoTracing()

MOST_FAILURES = 3
"""So often an optional watch may fail before the start goes on without it: one failure is no more than bad luck."""

OTHER_CONTROLLER = (
    "%s holds the Lease %s: another controller of this cloud runs here. If it serves Services too, two change the same "
    "balancers: turn that part of it off (--controllers=*,-service-lb-controller), or stop it"
)


class _Feed:
    """Passes the changes of one resource on and wakes the workers; an optional one may be given up."""

    def __init__(self, deliver: Callable[[Any, Any], None], wake: Callable[[], None]) -> None:
        self.synced = threading.Event()
        self.is_given_up: Callable[[], bool] = lambda: False
        self._deliver = deliver
        self._wake = wake

    @property
    def is_filled(self) -> bool:
        """True once there is no use in waiting for more."""
        return self.synced.is_set() or self.is_given_up()

    def on_change(self, old: Any, new: Any) -> None:  # noqa: ANN401 - one of the watched views
        """Hand a change to the controller."""
        self._deliver(old, new)
        self._wake()

    def on_synced(self) -> None:
        """Take note that the first load is complete."""
        self.synced.set()


def _is_given_up(stats: ReflectorStats) -> bool:
    """True when the start waits no longer for what can be done without; the watch goes on and may succeed later."""
    refused = stats.reasons[KubeDenied.reason] + stats.reasons[KubeGone.reason]
    return refused > 0 or stats.failures >= MOST_FAILURES


class Process:
    """One running controller; `run` returns when `stop` is set, and raises what ended a thread, such as `LostLease`."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        find: FindProvider = find_provider,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._stop = threading.Event()
        self._resign = threading.Event()
        self._failure: BaseException | None = None
        self.metrics = Metrics()
        self.metrics.build_info.labels(__version__).set(1)
        access = Access(kubeconfig=settings.kube.kubeconfig, context=settings.kube.context)
        self._rest = Rest(access, clock, rate=Rate(settings.kube.qps, settings.kube.burst))
        self._recorder = Recorder(self._rest, clock)
        self._meter = Meter(self.metrics, clock)
        self._tracing = tracing
        self._telling = Telling(self.metrics, tracing, clock)
        events = CountedEvents(self._recorder, self.metrics, clock)
        self._fence: Fence = LeaseFence(clock) if settings.lease.enabled else NoLease()
        self.assembly = assemble(
            settings,
            rest=self._rest,
            recorder=events,
            clock=clock,
            fence=self._fence,
            find=find,
            measures=self._telling,
            on_bug=self._note_bug,
            on_applied=self._meter.applied,
        )
        events.controller = self.assembly.controller
        self._telling.accounts = self.assembly.accounts
        self.assembly.controller.queue.on_pop = self.metrics.queue_seconds.labels(QUEUE).observe
        self._workers = Workers(
            self.assembly.controller,
            clock,
            settings.queue.workers,
            around=self._telling.around,
            on_result=self._note_result,
            on_bug=self._note_bug,
        )
        self._feeds: list[_Feed] = []
        self._reflectors: list[Reflector[Any]] = []
        self._services: Reflector[Service] | None = None
        self._nodes: Reflector[Node] | None = None
        self._pods: Reflector[Pod] | None = None
        self._referred: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._endpoints: Endpoints | None = None
        self._working = False
        self.metrics.look = self._look

    def stop(self) -> None:
        """Ask the process to end; returns at once."""
        self._stop.set()

    def run(self) -> None:
        """Run until stopped."""
        try:
            self._serve_endpoints()
            self._spawn("events", lambda: self._recorder.run(self._stop))
            election = self._stand_for_election()
            self._watch()
            if self._wait_for_work(election):
                self._begin()
            while not self._clock.wait(60.0, self._stop):
                pass
        finally:
            self._shut_down()
        if self._failure is not None:
            raise self._failure

    @property
    def is_synced(self) -> bool:
        """True once every watched resource is complete in memory."""
        return bool(self._feeds) and all(feed.is_filled for feed in self._feeds)

    @property
    def port(self) -> int:
        """The port of `/metrics` and the health checks, 0 before it is listened on."""
        return self._endpoints.port if self._endpoints is not None else 0

    def is_ready(self) -> str:
        """What keeps this process from being ready, empty when nothing does; a standby is ready."""
        if not all(feed.is_filled for feed in self._feeds):
            return "the caches of the API server's objects are not filled yet"
        if not self._working:
            return ""
        accounts = self.assembly.accounts.values()
        return "; ".join(f"account {a.name}: {a.last_snapshot_error}" for a in accounts if a.last_snapshot_error)

    def is_healthy(self) -> str:
        """What is wrong with this process, empty when nothing is."""
        return self._workers.trouble() if self._working else ""

    # -- parts ------------------------------------------------------------------------------------------------------

    def _serve_endpoints(self) -> None:
        if self._settings.obs.address:
            checks = {"/healthz": self.is_healthy, "/livez": self.is_healthy, "/readyz": self.is_ready}
            self._endpoints = Endpoints(self._settings.obs.address, registry=self.metrics.registry, checks=checks)
            log.info("metrics and health on port %d", self._endpoints.port)

    def _stand_for_election(self) -> Election | None:
        lease = self._settings.lease
        if not isinstance(self._fence, LeaseFence):
            return None
        election = Election(
            rest=self._rest,
            clock=self._clock,
            rng=self._random,
            fence=self._fence,
            identity=f"{socket.gethostname()}_{uuid.uuid4()}",
            name=lease.name,
            namespace=lease.namespace,
            times=LeaseTimes(
                duration=int(lease.duration_seconds),
                renew_deadline=lease.renew_deadline_seconds,
                retry_period=lease.retry_seconds,
            ),
            emit=self._recorder.emit,
        )
        self._spawn("lease", lambda: election.run(self._resign))
        return election

    def _watch(self) -> None:
        controller = self.assembly.controller
        self._services, _ = self._mirror(service_resource(self.assembly.finalizers), self._see_service)
        self._nodes, _ = self._mirror(NODE_RESOURCE, controller.see_node)
        if self.assembly.watches_slices:
            self._mirror(ENDPOINT_SLICE_RESOURCE, controller.see_slice)

    def _see_service(self, old: Service | None, new: Service | None) -> None:
        self.assembly.controller.see_service(old, new)
        # All of this happens in the thread of the Services' watch, and for those of its first load before it is synced.
        if new is None:
            return
        if self._pods is None and self.assembly.may_gate((new,)):
            resource = pod_resource(self.assembly.gate_prefixes)
            self._pods = self._mirror_if_allowed(resource, self.assembly.controller.see_pod)
        for name in {reference.resource for reference in self.assembly.references_of((new,))} - self._referred:
            self._referred.add(name)
            self._mirror_if_allowed(referred_resource(name), partial(self.assembly.controller.see_referred, name))

    def _mirror_if_allowed(self, resource: Resource[T], deliver: Callable[[Any, Any], None]) -> Reflector[T]:
        """Mirror what can be done without while it may not be read, its kind does not exist, or reading it fails."""
        reflector, feed = self._mirror(resource, deliver)
        feed.is_given_up = partial(_is_given_up, reflector.stats)
        return reflector

    def _mirror(self, resource: Resource[T], deliver: Callable[[Any, Any], None]) -> tuple[Reflector[T], _Feed]:
        feed = _Feed(deliver, self._workers.wake)
        reflector = Reflector(resource, rest=self._rest, clock=self._clock, rng=self._random, listener=feed)
        self._feeds.append(feed)
        self._reflectors.append(reflector)
        self._spawn(f"watch-{resource.target.resource}", reflector.run)
        return reflector, feed

    def _wait_for_work(self, election: Election | None) -> bool:
        for feed in self._feeds:
            while not feed.is_filled and not self._stop.is_set():
                self._clock.wait(0.05, feed.synced)
        while election is not None and not election.leading.is_set() and not self._stop.is_set():
            self._clock.wait(0.2, election.leading)
        return not self._stop.is_set()

    def _begin(self) -> None:
        self._look_for_others()
        assert self._services is not None
        assert self._nodes is not None
        self.assembly.controller.start(self._services.store, self._nodes.store)
        self._meter.began(self.assembly.accounts.values())
        self._workers.start()
        self._working = True

    def _look_for_others(self) -> None:
        """Warn of a controller that may serve the same Services; that it runs does not prove that it does."""
        own = f"{self._settings.lease.namespace}/{self._settings.lease.name}"
        for name in sorted({n for account in self.assembly.accounts.values() for n in account.info.controller_leases}):
            namespace, _, short = name.partition("/")
            try:
                holder = self.assembly.reads.get_lease_holder(short, namespace=namespace, now=self._clock.now())
            except KubeError as error:
                log.warning("cannot tell whether another controller runs: %s", error)
                continue
            if holder and name != own:
                log.warning(OTHER_CONTROLLER, holder, name)

    def _shut_down(self) -> None:
        self._stop.set()
        for reflector in self._reflectors:
            reflector.stop()
        if self._working:
            self._workers.stop()
        self._resign.set()
        self._recorder.wake()
        for thread in self._threads:
            thread.join(timeout=15)
        self._recorder.drain(self._clock.monotonic())  # the end of the leadership is news too
        self.assembly.close()
        self._tracing.close()
        if self._endpoints is not None:
            self._endpoints.close()

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._run_to_the_end, args=(target,), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _run_to_the_end(self, target: Callable[[], None]) -> None:
        """End the process with a thread that fails: with one less it would look healthy and do part of its work."""
        try:
            target()
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._failure = error
            self._stop.set()

    def _note_bug(self, _error: BaseException) -> None:
        self.metrics.panics.inc()

    def _note_result(self, work: Work, seconds: float, ok: bool) -> None:  # noqa: FBT001 - the worker's signature
        account = self.assembly.accounts[work.account]
        if ok and work.task is Task.SNAPSHOT and account.last_snapshot_error is not None:
            # Here and not where it happens: a command at the desk prints the error itself.
            log.error("could not read what account %s holds: %s", account.name, account.last_snapshot_error)
        self._meter.passed(account, work, seconds, ok=ok)

    def _look(self) -> Figures:
        clock = self._clock
        running = self._workers.running_seconds()
        figures = measure(self.assembly.controller, now=clock.now(), monotonic=clock.monotonic(), running=running)
        figures.leading = self._working
        for reflector in self._reflectors:
            for reason, count in dict(reflector.stats.reasons).items():
                figures.watch_restarts[reflector.resource_name, reason] += count
        return figures
