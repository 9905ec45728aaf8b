"""Time behind an interface: the only module that imports `time`.

The engine, the reflectors and the drivers are handed a `Clock`; the simulator and the tests hand in `ManualClock`
and so decide what time it is. Nothing here knows Kubernetes or a cloud.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the rest of the program may know about time."""

    def now(self) -> dt.datetime:
        """Wall-clock time in UTC, for display and for timestamps that others read; never for durations."""

    def monotonic(self) -> float:
        """Seconds that only grow, for durations and deadlines."""

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        """Return True as soon as `event` is set, False after `seconds`."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> dt.datetime:
        """Wall-clock time in UTC."""
        return dt.datetime.now(dt.UTC)  # noqa: TID251 - this is the one place that may ask the machine

    def monotonic(self) -> float:
        """Seconds since an arbitrary start, unaffected by changes of the wall clock."""
        return time.monotonic()

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        """Return True as soon as `event` is set, False after `seconds`."""
        return (event or threading.Event()).wait(max(0.0, seconds))


class ManualClock:
    """A clock that stands still until told otherwise; waiting on it moves it forward at once."""

    def __init__(self, start: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) -> None:
        self._start = start
        self._elapsed = 0.0

    def now(self) -> dt.datetime:
        """Start time plus everything that was advanced or waited."""
        return self._start + dt.timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds advanced or waited so far."""
        return self._elapsed

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        """Advance by `seconds` without delay unless `event` is set already."""
        if event is not None and event.is_set():
            return True
        self.advance(seconds)
        return event is not None and event.is_set()

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`; negative values are ignored."""
        self._elapsed += max(0.0, seconds)
