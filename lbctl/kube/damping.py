"""Which events are worth a write: the rules that keep repeated news from filling the cluster.

Pure: `now` comes in, decisions come out. A repeated Warning raises the count of its one Event at most once in five
minutes, and one object may make 25 writes at once and then one in five minutes (client-go, tools/record, has the same
bounds). `events` does the sending.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TypeVar

from lbctl.kube.throttle import Bucket, Rate
from lbctl.model.status import Notice

QUIET_SECONDS = 300.0
BURST = Rate(per_second=1 / 300.0, burst=25.0)
LONGEST_MEMORY = 4096

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """The object that an event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """A write to make: a new Event object when `name` is empty, else a higher count on that one."""

    name: str
    count: int


@dataclasses.dataclass(slots=True)
class _Series:
    """One repeated event: how often it was seen, when it was last written and as which object."""

    count: int
    written_at: float
    name: str = ""


class Damping:
    """Remembers what was written, for the 4,096 objects and events that were seen last."""

    def __init__(self) -> None:
        self._series: collections.OrderedDict[tuple[str, Notice], _Series] = collections.OrderedDict()
        self._buckets: collections.OrderedDict[str, Bucket] = collections.OrderedDict()

    def decide(self, now: float, reference: Reference, event: Notice) -> Write | None:
        """The write that this event is worth, None when it is only counted."""
        series = self._series.get((reference.uid, event))
        if series is None:
            return self._write(now, reference, _Series(0, now), event)
        self._series.move_to_end((reference.uid, event))
        if event.severity == "Warning" and now - series.written_at < QUIET_SECONDS:
            series.count += 1
            return None
        return self._write(now, reference, series, event)

    def written(self, reference: Reference, event: Notice, name: str) -> None:
        """The Event object `name` holds this event from now on."""
        series = self._series.get((reference.uid, event))
        if series is not None:
            series.name = name

    def _write(self, now: float, reference: Reference, series: _Series, event: Notice) -> Write | None:
        series.count += 1
        _remember(self._series, (reference.uid, event), series)
        bucket = self._buckets.get(reference.uid) or Bucket(BURST, now)
        _remember(self._buckets, reference.uid, bucket)
        if not bucket.take(now):
            return None
        series.written_at = now
        return Write(series.name, series.count)


def _remember(memory: collections.OrderedDict[_K, _V], key: _K, value: _V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > LONGEST_MEMORY:
        memory.popitem(last=False)
