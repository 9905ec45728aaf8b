"""Asynchronous jobs: what each will have brought about, when to ask, and asking for all of them with one call.

Job ids live in memory only; after a restart the objects are read. A job that the server does not know any more, and one
that takes too long, means "unknown", never "failed".
"""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from lbctl.clock import Clock
from lbctl.driver import Outcome, Pending
from lbctl.errors import Conflict, PermissionDenied, Unreachable
from lbctl.model.resource import Outputs
from lbctl_cloudstack.client import Api, Row
from lbctl_cloudstack.errors import error_for, is_gone
from lbctl_cloudstack.settings import CloudStackSettings

FIRST_POLL_SECONDS = 2.0
MANY_JOBS = 3
REMEMBERED = 20
SUCCEEDED, FAILED = 1, 2
GRACE = timedelta(minutes=5)

Result = Callable[[Row], Outputs]


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted command: when it was accepted, and what its result confirms."""

    command: str
    since: float
    result: Result
    is_delete: bool = False


class Jobs:
    """The jobs of one account."""

    def __init__(self, api: Api, clock: Clock, settings: CloudStackSettings) -> None:
        self._api = api
        self._clock = clock
        self._timeout = settings.job_timeout
        self._soonest, self._latest = settings.job_poll_min, settings.job_poll_max
        self._lock = threading.Lock()
        self._durations: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    def accepted(self, command: str, reply: Row, result: Result, *, is_delete: bool = False) -> Pending:
        """The pending operation of an accepted command, to be asked for when such commands usually end."""
        job = Job(command, self._clock.monotonic(), result, is_delete)
        return Pending(str(reply["jobid"]), poll_after=self._first_poll(command), payload=job)

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """The outcome of each job that is over; one list call from three jobs on."""
        waiting = {item.operation: item.payload for item in pending if isinstance(item.payload, Job)}
        rows = self._rows(waiting)
        outcomes = ((job_id, self._outcome(job, rows.get(job_id))) for job_id, job in waiting.items())
        return {job_id: outcome for job_id, outcome in outcomes if outcome is not None}

    def _rows(self, waiting: Mapping[str, Job]) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        if len(waiting) >= MANY_JOBS:
            rows = self._listed(waiting)
        for job_id in waiting.keys() - rows.keys():
            rows.update(self._queried(job_id))
        return rows

    def _listed(self, waiting: Mapping[str, Job]) -> dict[str, Row]:
        oldest = max(self._clock.monotonic() - job.since for job in waiting.values())
        start = self._clock.now() - timedelta(seconds=oldest) - GRACE
        try:
            rows = self._api.rows(
                "listAsyncJobs", "asyncjobs", listall=True, startdate=start.strftime("%Y-%m-%dT%H:%M:%S%z")
            )
        except PermissionDenied:
            return {}
        return {str(row["jobid"]): row for row in rows if str(row["jobid"]) in waiting}

    def _queried(self, job_id: str) -> Iterator[tuple[str, Row]]:
        try:
            yield job_id, self._api.read("queryAsyncJobResult", jobid=job_id)
        except Conflict:
            yield job_id, {}

    def _outcome(self, job: Job, row: Row | None) -> Outcome | None:
        if not row:
            return Conflict(f"{job.command}: the server forgot the job")
        status = int(row.get("jobstatus") or 0)
        taken = self._clock.monotonic() - job.since
        if status == SUCCEEDED:
            with self._lock:
                self._durations[job.command].append(taken)
            return job.result(row.get("jobresult") or {})
        if status == FAILED:
            return self._failure(job, row)
        if taken > self._timeout:
            return Unreachable(f"{job.command}: its job is not over after {self._timeout:.0f} s")
        return None

    def _failure(self, job: Job, row: Row) -> Outcome:
        failure = row.get("jobresult") or {}
        code, text = int(failure.get("errorcode") or row.get("jobresultcode") or 530), str(failure.get("errortext", ""))
        if job.is_delete and is_gone(code, text):
            return job.result({})
        return error_for(job.command, code, text)

    def _first_poll(self, command: str) -> float:
        with self._lock:
            known = self._durations[command]
            usual = 0.8 * statistics.median(known) if known else FIRST_POLL_SECONDS
            return min(max(usual, self._soonest), self._latest)
