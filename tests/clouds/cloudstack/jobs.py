"""Asynchronous jobs: each takes time, those of one network run one after another, each in its turn.

An effect happens when the job's turn is over, seen from the clock that the test moves; nothing runs between requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.clouds.cloudstack.refusals import Refusal

Effect = Callable[[], dict[str, Any]]


@dataclass
class Job:
    """One accepted command."""

    id: str
    command: str
    queue: str
    effect: Effect
    created: float
    undo: Callable[[], None] = lambda: None
    ends: float = 0.0
    status: int = 0
    result: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The job as `queryAsyncJobResult` and `listAsyncJobs` answer it."""
        row: dict[str, Any] = {"jobid": self.id, "cmd": self.command, "jobstatus": self.status, "jobprocstatus": 0}
        if self.status:
            row |= {
                "jobresultcode": 0 if self.status == 1 else 530,
                "jobresulttype": "object",
                "jobresult": self.result,
            }
        return row


class Jobs:
    """All jobs of the server; `seconds` is how long one takes, `fail` names commands whose next job fails."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._free_at: dict[str, float] = {}
        self.seconds = 3.0
        self.by_id: dict[str, Job] = {}
        self.fail: dict[str, Refusal] = {}

    def submit(
        self, job_id: str, command: str, *, queue: str, effect: Effect, undo: Callable[[], None] = lambda: None
    ) -> Job:
        """Queue a job behind those of the same queue; `undo` takes back what was begun, if it fails."""
        now = self._now()
        job = Job(job_id, command, queue, effect, created=now, undo=undo)
        job.ends = max(now, self._free_at.get(queue, 0.0)) + self.seconds
        self._free_at[queue] = job.ends
        self.by_id[job_id] = job
        self.advance()
        return job

    def advance(self) -> None:
        """Run every job whose time is over, in the order of their ends."""
        now = self._now()
        due = [job for job in self.by_id.values() if job.status == 0 and job.ends <= now]
        for job in sorted(due, key=lambda job: job.ends):
            self._run(job)

    def purge(self) -> None:
        """Forget what is over, as the server does after some time."""
        self.by_id = {key: job for key, job in self.by_id.items() if job.status == 0}

    def _run(self, job: Job) -> None:
        planned = self.fail.pop(job.command, None)
        try:
            if planned is not None:
                raise planned
            job.result, job.status = job.effect(), 1
        except Refusal as refusal:
            job.undo()
            job.result, job.status = {"errorcode": refusal.code, "errortext": refusal.text}, 2
