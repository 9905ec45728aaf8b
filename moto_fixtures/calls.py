"""The log of every call that reached the cloud: what was asked, on which attempt, and how it went.

Written by the fault gate, read by tests: for budgets (reads and writes apart), for "no write was made", and for plans
that must name the calls that follow. Calls from behind the stage (seeding, state) are not in it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from moto_fixtures.wire import Call, Json


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One attempt. `outcome` is ok, an error code, `lost` (done, the answer dropped) or `dropped` (never done)."""

    service: str
    operation: str
    params: Json
    attempt: int
    writes: bool
    outcome: str


class CallLog:
    """Append-only and thread-safe; every reading is a snapshot."""

    def __init__(self) -> None:
        self._records: list[CallRecord] = []
        self._lock = threading.Lock()

    def note(self, call: Call, outcome: str) -> None:
        """Add one attempt."""
        record = CallRecord(call.service, call.operation, call.params, call.attempt, call.writes, outcome)
        with self._lock:
            self._records.append(record)

    def __iter__(self) -> Iterator[CallRecord]:
        with self._lock:
            return iter(list(self._records))

    def __len__(self) -> int:
        return len(self._records)

    @property
    def reads(self) -> list[CallRecord]:
        """Attempts that change nothing."""
        return self.where(lambda record: not record.writes)

    @property
    def writes(self) -> list[CallRecord]:
        """Attempts that change the cloud, or would have."""
        return self.where(lambda record: record.writes)

    @property
    def retries(self) -> list[CallRecord]:
        """Attempts after the first, by the SDK's own count."""
        return self.where(lambda record: record.attempt > 1)

    def where(self, wanted: Callable[[CallRecord], bool]) -> list[CallRecord]:
        """The attempts that `wanted` accepts, in order."""
        return [record for record in self if wanted(record)]

    def by_operation(self) -> dict[str, int]:
        """Attempts per `service:Operation`, in alphabetical order."""
        counted = Counter(f"{record.service}:{record.operation}" for record in self)
        return dict(sorted(counted.items()))

    def clear(self) -> None:
        """Forget everything, as between the set-up and the act of a test."""
        with self._lock:
            self._records.clear()
