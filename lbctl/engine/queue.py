"""Which scope is worked on next: keyed, de-duplicated, prioritised. Plain data that is told the time; no threads.

A scope that is dirtied waits for a moment of quiet, so that a burst costs one pass; a scope that is being worked on is
never handed out again before `done`. User changes overtake node changes, and those overtake drift checks.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

QUIET_SECONDS = 0.1
LONGEST_QUIET_SECONDS = 2.0

K = TypeVar("K", bound=Hashable)


class Priority(enum.IntEnum):
    """Lower goes first."""

    USER = 0
    NODES = 1
    DRIFT = 2


@dataclass(slots=True)
class _Entry:
    priority: Priority
    due: float
    burst_since: float | None
    number: int


class ScopeQueue(Generic[K]):
    """Keys with a priority and a time before which they are not due.

    `added` counts the keys that ever came in; `on_pop` is told how long each was overdue when it was handed out.
    """

    def __init__(self) -> None:
        self.added = 0
        self.on_pop: Callable[[float], None] = lambda _seconds: None
        self._entries: dict[K, _Entry] = {}
        self._waiting: list[tuple[float, int, K]] = []
        self._ready: list[tuple[Priority, int, K]] = []
        self._working: set[K] = set()
        self._again: dict[K, _Entry] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._entries) + len(self._again)

    @property
    def working(self) -> frozenset[K]:
        """Keys that are handed out."""
        return frozenset(self._working)

    def touch(self, key: K, *, now: float, priority: Priority = Priority.USER) -> None:
        """Mark a key dirty: due after 100 ms without another touch, at the latest 2 s after the first touch."""
        known = self._find(key)
        in_burst = known is not None and known.burst_since is not None
        since = known.burst_since if known is not None and known.burst_since is not None else now
        due = min(now + QUIET_SECONDS, since + LONGEST_QUIET_SECONDS)
        if known is not None:
            priority = min(priority, known.priority)
            due = due if in_burst else min(due, known.due)
        self._put(key, _Entry(priority, due, since, self._next()))

    def later(self, key: K, *, at: float, priority: Priority = Priority.USER) -> None:
        """Come back to a key at a time, unless it is due earlier anyway."""
        known = self._find(key)
        if known is not None and known.due <= at:
            known.priority = min(priority, known.priority)
            return
        self._put(key, _Entry(priority, at, None, self._next()))

    def forget(self, key: K) -> None:
        """Drop a key that nobody works on."""
        self._entries.pop(key, None)
        self._again.pop(key, None)

    def pop(self, now: float) -> K | None:
        """The most urgent key that is due, or None; it stays taken until `done`."""
        while self._waiting and self._waiting[0][0] <= now:
            _, number, key = heapq.heappop(self._waiting)
            entry = self._live(key, number)
            if entry is not None:
                heapq.heappush(self._ready, (entry.priority, number, key))
        self._drop_stale(self._ready)
        if not self._ready:
            return None
        _, _, key = heapq.heappop(self._ready)
        self.on_pop(max(0.0, now - self._entries[key].due))
        del self._entries[key]
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Hand a key back; it is queued at once if it was dirtied meanwhile."""
        self._working.discard(key)
        entry = self._again.pop(key, None)
        if entry is not None:
            self._put(key, entry)

    def next_due(self) -> float | None:
        """When the next key becomes due, in the past if one is due already; None when nothing waits."""
        self._drop_stale(self._ready)
        self._drop_stale(self._waiting)
        heads = [self._entries[heap[0][2]].due for heap in (self._ready, self._waiting) if heap]
        return min(heads, default=None)

    def overdue(self, now: float) -> tuple[int, float]:
        """How many keys are due, and for how many seconds the oldest has been; looks at every key."""
        dues = [entry.due for entry in self._entries.values() if entry.due <= now]
        return len(dues), now - min(dues, default=now)

    def _drop_stale(self, heap: list[Any]) -> None:
        while heap and self._live(heap[0][2], heap[0][1]) is None:
            heapq.heappop(heap)

    def _live(self, key: K, number: int) -> _Entry | None:
        entry = self._entries.get(key)
        return entry if entry is not None and entry.number == number else None

    def _find(self, key: K) -> _Entry | None:
        return self._again.get(key) if key in self._working else self._entries.get(key)

    def _put(self, key: K, entry: _Entry) -> None:
        if key in self._working:
            self.added += key not in self._again
            self._again[key] = entry
            return
        self.added += key not in self._entries
        self._entries[key] = entry
        heapq.heappush(self._waiting, (entry.due, entry.number, key))

    def _next(self) -> int:
        self._number += 1
        return self._number
