"""Writes to Envoy's discovery files, and the wait for Envoy's answer.

Envoy reads a whole file for each change (0.13 s for 2,000 listeners), so changes that arrive while it works on one, or
soon after, are written together: one write is in flight at any time, the rest queue up for the next. `submit` never
waits; `poll` asks once what became of the write in flight. Refused entries are taken out of the file again, so that
they cannot hurt a restart. Called by `driver.py` from several threads; knows entries, not Services.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbctl.clock import Clock
from lbctl.errors import CloudError, Unreachable
from lbctl.model.resource import nothing
from lbctl_local.client import CDS_VERSION, LDS_VERSION, Admin
from lbctl_local.errors import Refusal, error_for, read_refusal
from lbctl_local.render import CLUSTER_TYPE, LISTENER_TYPE, Json
from lbctl_local.state import Entries, StateDir

ANSWER_SECONDS = 15.0
# A new pool serves once its targets were checked; with dead ones among them that takes a check's time-out.
WARM_SECONDS = 10.0
# Envoy spends about 0.05 ms an entry on a write: this space between two writes leaves it idle most of the time.
SPACE_SECONDS_AN_ENTRY = 0.000_3
Patch = Mapping[str, Json | None]


@dataclass(frozen=True, slots=True)
class Change:
    """Entries to set, by name; None removes. Clusters are written before listeners, which point at them."""

    clusters: Patch = field(default_factory=nothing, hash=False)
    listeners: Patch = field(default_factory=nothing, hash=False)

    @property
    def names(self) -> frozenset[str]:
        """Names of all entries that change."""
        return frozenset((*self.clusters, *self.listeners))


@dataclass(frozen=True, slots=True)
class _Flight:
    """A write that Envoy has not answered yet. `undo` holds what was there before, by file kind and operation."""

    changes: Mapping[str, Change]
    undo: Mapping[str, Change]
    versions: Mapping[str, str]
    log_start: int
    give_up_at: float
    warm_until: float


class DataPlane:
    """The discovery files of one state directory."""

    def __init__(self, state: StateDir, admin: Admin, clock: Clock) -> None:
        self._state = state
        self._admin = admin
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._queue: dict[str, Change] = {}
        self._flight: _Flight | None = None
        self._outcomes: dict[str, CloudError | None] = {}
        self._not_before = 0.0

    def submit(self, change: Change) -> str:
        """Write the change, now or together with the next ones; returns a handle for `poll`."""
        with self._lock:
            operation = f"write/{next(self._numbers)}"
            self._queue[operation] = change
            self._write_if_due()
            return operation

    def write_unread(self, change: Change) -> None:
        """Write a change that nobody has to confirm, because no Envoy runs."""
        with self._lock, self._state.exclusive():
            self._apply({"": change})

    def poll(self, operations: Iterable[str]) -> dict[str, CloudError | None]:
        """Those of the operations that are over, with None for success; one request to Envoy at most."""
        with self._lock:
            if self._flight is not None and self._settle(self._flight):
                self._flight = None
            self._write_if_due()
            done = [operation for operation in operations if operation in self._outcomes]
            return {operation: self._outcomes.pop(operation) for operation in done}

    def _write_if_due(self) -> None:
        if self._flight is None and self._queue and self._clock.monotonic() >= self._not_before:
            self._flight = self._write()

    def _write(self) -> _Flight:
        changes, self._queue = self._queue, {}
        log_start = self._log_size()
        with self._state.exclusive():
            known = self._state.read_entries(self._state.clusters).by_name
            undo, versions = self._apply(changes)
        now = self._clock.monotonic()
        makes_pools = any(name not in known for change in changes.values() for name in change.clusters)
        entries = len(self._state.read_entries(self._state.clusters).by_name)
        self._not_before = now + SPACE_SECONDS_AN_ENTRY * entries
        warm_until = now + WARM_SECONDS if makes_pools else now
        return _Flight(changes, undo, versions, log_start, now + ANSWER_SECONDS, warm_until)

    def _apply(self, changes: Mapping[str, Change]) -> tuple[dict[str, Change], dict[str, str]]:
        clusters = self._state.read_entries(self._state.clusters)
        listeners = self._state.read_entries(self._state.listeners)
        undo = {
            operation: Change(_before(change.clusters, clusters), _before(change.listeners, listeners))
            for operation, change in changes.items()
        }
        versions = {}
        patch = _merged(change.clusters for change in changes.values())
        if patch:
            written = self._state.write_entries(self._state.clusters, _patched(clusters, patch), kind=CLUSTER_TYPE)
            versions[CDS_VERSION] = written.version
        patch = _merged(change.listeners for change in changes.values())
        if patch:
            written = self._state.write_entries(self._state.listeners, _patched(listeners, patch), kind=LISTENER_TYPE)
            versions[LDS_VERSION] = written.version
        return undo, versions

    def _settle(self, flight: _Flight) -> bool:
        """Record the outcomes of the flight; False while Envoy has not answered."""
        refusal = read_refusal(self._log_since(flight.log_start))
        error = self._unanswered(flight, refusal)
        if error is not None:
            if self._clock.monotonic() < flight.give_up_at:
                return False
            self._outcomes.update(dict.fromkeys(flight.changes, error))
            return True
        if self._is_warming(flight):
            return False
        outcomes = {operation: _outcome(change, refusal) for operation, change in flight.changes.items()}
        self._outcomes.update(outcomes)
        self._undo([flight.undo[operation] for operation, failed in outcomes.items() if failed])
        return True

    def _is_warming(self, flight: _Flight) -> bool:
        if self._clock.monotonic() >= flight.warm_until:
            return False
        try:
            return self._admin.warming_clusters() > 0
        except CloudError:
            return True

    def _unanswered(self, flight: _Flight, refusal: Refusal) -> CloudError | None:
        if len(refusal.files) >= len(flight.versions):
            return None
        try:
            reported = self._admin.versions()
        except CloudError as error:
            return error
        waiting = [name for name, version in flight.versions.items() if reported.get(name) != version]
        if len(waiting) <= len(refusal.files):
            return None
        return Unreachable(
            f"Envoy has not taken the new configuration after {ANSWER_SECONDS:.0f} s ({', '.join(waiting)})",
            hint=f"see {self._state.log}",
        )

    def _undo(self, changes: list[Change]) -> None:
        if changes:
            with self._state.exclusive():
                self._apply({str(number): change for number, change in enumerate(changes)})

    def _log_size(self) -> int:
        return self._state.log.stat().st_size if self._state.log.exists() else 0

    def _log_since(self, start: int) -> str:
        if not self._state.log.exists():
            return ""
        with self._state.log.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")


def _outcome(change: Change, refusal: Refusal) -> CloudError | None:
    for name in sorted(change.names):
        if name in refusal.entries:
            return error_for(name, refusal.entries[name])
    if refusal.files and not refusal.entries:
        return error_for("the configuration", refusal.files[0])
    return None


def _before(patch: Patch, entries: Entries) -> Patch:
    return {name: entries.by_name.get(name) for name in patch}


def _merged(patches: Iterable[Patch]) -> Patch:
    merged: dict[str, Json | None] = {}
    for patch in patches:
        merged.update(patch)
    return merged


def _patched(entries: Entries, patch: Patch) -> dict[str, Json]:
    wanted = {**entries.by_name, **patch}
    return {name: entry for name, entry in wanted.items() if entry is not None}
