"""The reflector: keeps a store equal to one resource of the cluster, and tells a listener what changed.

One thread runs one reflector. What to ask and when is decided by `protocol`, what the bytes mean by `wire`; here they
are put together with connection, store and listener. It must not know why anybody wants these objects.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from lbctl.errors import KubeError, KubeGone
from lbctl.kube.answers import Status, decoding, error_of_event, unreachable
from lbctl.kube.protocol import Ask, Figures, Phase, WatchProtocol
from lbctl.kube.resources import Resource, T
from lbctl.kube.store import Store
from lbctl.kube.wire import Bookmark, Change, Codec, Page, Undecodable

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from lbctl.clock import Clock
    from lbctl.kube.rest import Rest
    from lbctl.kube.stream import Stream

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.005
"""A line that took this long to come had to be waited for: nothing more is there to be read yet."""

V_contra = TypeVar("V_contra", contravariant=True)


class Listener(Protocol[V_contra]):
    """Who wants to know; called from the reflector's thread, after the store holds the new state."""

    def on_change(self, old: V_contra | None, new: V_contra | None) -> None:
        """An object appeared (no `old`), changed, or is gone (no `new`; `old` is the last that was seen of it)."""

    def on_synced(self) -> None:
        """The first load is complete; called once."""


@dataclasses.dataclass(slots=True)
class ReflectorStats:
    """Counters of one reflector, and the time of its last event in seconds of the monotonic clock.

    `connected` is False from a failure until the server answers again: what the store shows may be old then.
    """

    lists: int = 0
    watches: int = 0
    failures: int = 0
    events: int = 0
    unchanged: int = 0
    undecodable: int = 0
    miscounts: int = 0
    listener_errors: int = 0
    last_event_at: float | None = None
    last_error: str = ""
    connected: bool = False
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)


class Reflector(Generic[T]):
    """Mirrors a resource into `store` until it is stopped.

    Changes that no rule reads, such as the heartbeats of Nodes, end here. An object that vanishes from a narrowed
    watch costs one GET: it may have changed its type and still carry our finalizer. The event itself proves nothing,
    since the server sends the last stored state, with the finalizer whose removal ended the object (seen on 1.36).
    """

    def __init__(
        self,
        resource: Resource[T],
        *,
        rest: Rest,
        clock: Clock,
        rng: random.Random,
        listener: Listener[T],
        figures: Figures | None = None,
    ) -> None:
        self.store: Store[T] = Store()
        self.stats = ReflectorStats()
        self._resource = resource
        self._rest = rest
        self._clock = clock
        self._listener = listener
        self._codec = Codec(resource.view)
        self._protocol = WatchProtocol(rng=rng, field_selector=resource.field_selector, figures=figures)
        self._pending: dict[str, T] = {}
        self._stopping = threading.Event()
        self._stream: Stream | None = None

    @property
    def synced(self) -> bool:
        """True once the store has held everything."""
        return self._protocol.synced

    @property
    def resource_name(self) -> str:
        """What is mirrored, such as `services`."""
        return self._resource.target.resource

    @property
    def resource_version(self) -> str:
        """Version up to which the store is known to be complete."""
        return self._protocol.resource_version

    def run(self) -> None:
        """Mirror until `stop`; errors are logged, counted and waited out."""
        while not self._clock.wait(self._protocol.wait_seconds(self._clock.monotonic()), self._stopping):
            self.step()

    def stop(self) -> None:
        """Make `run` return, also while it is reading."""
        self._stopping.set()
        stream = self._stream
        if stream is not None:
            stream.abort()

    def step(self) -> None:
        """One request, to the end of its answer; never raises."""
        try:
            if self._resource.is_whole and self._protocol.is_count_due(self._clock.monotonic()):
                self._compare_counts()
            ask = self._protocol.ask(self._clock.monotonic())
            if ask.phase is Phase.LIST:
                self._read_page(ask)
            else:
                self._read_stream(ask)
        except KubeError as error:
            if not self._stopping.is_set():
                self._note_failure(error)
            self._protocol.on_failure(self._clock.monotonic(), error)

    def learn(self, view: T) -> None:
        """Take in a view that came another way than through the watch.

        That is a Service outside of the selector, found by a list or returned by a write: nothing else tells when such
        an object stops to concern us. The reply to the removal of a last finalizer saves the GET of its deletion.
        """
        ended = view.metadata.deletion_timestamp and not view.metadata.finalizers
        if self._resource.keeps(view) and not ended:
            self._deliver(self.store.apply(view), view)
        else:
            self._deliver(self.store.remove(view.key), None)

    def _note_failure(self, error: KubeError) -> None:
        self.stats.failures += 1
        self.stats.reasons[error.reason] += 1
        self.stats.last_error = str(error)
        self.stats.connected = False
        log.warning("%s", error)

    def _compare_counts(self) -> None:
        """A change at this very moment also makes the counts differ, and then costs a load that was not needed."""
        page = self._page({"limit": "1"})
        differs = len(page.views) + len(page.damaged) + page.remaining != len(self.store)
        if differs:
            self.stats.miscounts += 1
            log.warning("the server holds another number of %s than were seen: loading again", self.resource_name)
        self._protocol.on_count(self._clock.monotonic(), differs=differs)

    def _read_page(self, ask: Ask) -> None:
        self.stats.lists += 1
        self._begin_load(ask)
        page = self._page(ask.query)
        for view in page.views:
            self._pend(view)
        for damaged in page.damaged:
            self._pend_damaged(damaged)
        if self._protocol.on_page(page.resource_version, page.continue_token):
            self._finish_load()

    def _page(self, query: Mapping[str, str]) -> Page[T]:
        body = self._rest.list(self._resource.target, query)
        with decoding("list", self._resource.target):
            return self._codec.page(body)

    def _read_stream(self, ask: Ask) -> None:
        self.stats.watches += 1
        self._begin_load(ask)
        with self._rest.stream(self._resource.target, ask.query, read_seconds=ask.read_seconds) as stream:
            self._stream = stream
            self._protocol.on_open(self._clock.monotonic())
            self.stats.connected = True
            if not self._stopping.is_set():
                self._read_lines(stream)
        self._stream = None
        self._protocol.on_end(self._clock.monotonic())

    def _read_lines(self, stream: Stream) -> None:
        stream.allow_silence(self._protocol.silence_seconds)
        read_at = self._clock.monotonic()
        for line in stream.lines():
            now = self._clock.monotonic()
            self._take(line, now)
            if self._protocol.lists_in_vain(now):
                raise unreachable("list", self._resource.target, "the server does not end the streamed list")
            stream.allow_silence(self._protocol.silence_seconds)
            if now - read_at > QUIET_SECONDS and not self._protocol.loading:
                self._clock.wait(self._resource.gather_seconds, self._stopping)
            read_at = self._clock.monotonic()

    def _take(self, line: bytes, now: float) -> None:
        self.stats.events += 1
        self.stats.last_event_at = now
        event = self._codec.event(line)
        if isinstance(event, Change):
            self._take_change(event)
            self._protocol.on_object(now, event.object.metadata.resource_version, added=event.type == "ADDED")
        elif isinstance(event, Bookmark):
            if self._protocol.on_bookmark(now, event.resource_version, ends_list=event.ends_list):
                self._finish_load()
        elif isinstance(event, Status):
            raise error_of_event("watch", self._resource.target, event)
        else:
            self._take_damaged(event)
            self._protocol.on_object(now, event.resource_version, added=event.type == "ADDED")

    def _take_change(self, event: Change[T]) -> None:
        view = event.object
        if self._protocol.loading:
            self._pend(view, deleted=event.type == "DELETED")
        elif event.type == "DELETED":
            self._take_deletion(view)
        elif self._resource.keeps(view):
            self._deliver(self.store.apply(view), view)
        else:
            self._deliver(self.store.remove(view.key), None)

    def _take_deletion(self, last: T) -> None:
        known = self.store.find(last.key)
        if known is None or known.metadata.uid != last.metadata.uid:
            return
        live = self._survivor(last)
        if live is None:
            self._deliver(self.store.remove(last.key), None)
        else:
            self._deliver(self.store.apply(live), live)

    def _take_damaged(self, event: Undecodable) -> None:
        if self._protocol.loading:
            self._pend_damaged(event)
            return
        self._count_damaged(event)
        if event.type == "DELETED":
            self._deliver(self.store.remove(event.key), None)

    def _begin_load(self, ask: Ask) -> None:
        if ask.phase is Phase.STREAM_LIST or (ask.phase is Phase.LIST and "continue" not in ask.query):
            self._pending = {}

    def _pend(self, view: T, *, deleted: bool = False) -> None:
        if deleted or not self._resource.keeps(view):
            self._pending.pop(view.key, None)
        else:
            self._pending[view.key] = view

    def _pend_damaged(self, event: Undecodable) -> None:
        """Keep what we knew of the object: that it cannot be read does not mean that it is gone."""
        self._count_damaged(event)
        known = self.store.find(event.key)
        if known is not None:
            self._pending[event.key] = known

    def _count_damaged(self, event: Undecodable) -> None:
        self.stats.undecodable += 1
        log.warning("skipped %s %s: %s", self._resource.target, event.key or "of unknown name", event.why)

    def _finish_load(self) -> None:
        for old in self.store:
            if old.key not in self._pending:
                live = self._survivor(old)
                if live is not None:
                    self._pending[live.key] = live
        first = not self._protocol.synced
        changes = self.store.replace(self._pending.values())
        self._pending = {}
        self._protocol.on_loaded(self._clock.monotonic())
        for old_view, new_view in changes:
            self._deliver(old_view, new_view)
        if first:
            self._listener.on_synced()

    def _survivor(self, last: T) -> T | None:
        """The live object when it has only left the selector; one GET."""
        if not self._protocol.field_selector:
            return None
        try:
            live = self._codec.view(self._rest.get(self._resource.target_of(last)))
        except KubeGone:
            return None
        except msgspec.MsgspecError:
            return last  # that it cannot be read does not mean that it is gone
        return live if live.metadata.uid == last.metadata.uid and self._resource.keeps(live) else None

    def _deliver(self, old: T | None, new: T | None) -> None:
        if old is None and new is None:
            return
        if old is not None and new is not None and old.same_as(new):
            self.stats.unchanged += 1
            return
        try:
            self._listener.on_change(old, new)
        except Exception:
            # A listener's fault must not stop the mirror, on which every other object depends.
            self.stats.listener_errors += 1
            log.exception("the listener failed on a change of %s", self._resource.target)
