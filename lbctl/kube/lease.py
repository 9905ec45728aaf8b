"""Who leads: the record of a Lease, and the rules by which a candidate reads and writes it.

Pure: no thread, no connection; `now` is in seconds of the monotonic clock, and the times inside of a record are never
compared with ours. `election` does the requests. The rules and the record are those of client-go
(tools/leaderelection), so that its candidates and ours may share a Lease.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Any

import msgspec

RELEASED_SECONDS = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds: how long a record is respected, how long a leader may go on without renewal, pause between tries."""

    duration: int = 15
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    jitter: float = 0.4


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The record in a Lease's `spec`; times are MicroTime texts."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None

    def age_at(self, now: dt.datetime) -> dt.timedelta | None:
        """How long ago the record was renewed by the wall clock, None when it never was."""
        return now - dt.datetime.fromisoformat(self.renew_time) if self.renew_time else None

    def holder_at(self, now: dt.datetime) -> str:
        """Who holds it, empty for nobody and for a record that has run out by the wall clock; for readers only."""
        age = self.age_at(now)
        alive = age is not None and age <= dt.timedelta(seconds=self.lease_duration_seconds or 0)
        return (self.holder_identity or "") if alive else ""


class Lease(msgspec.Struct, frozen=True):
    """A Lease as the server holds it; its metadata goes back unchanged with an update."""

    metadata: dict[str, Any]
    spec: LeaseSpec = LeaseSpec()


class Move(enum.Enum):
    """What a candidate does now."""

    TAKE = "write the record with our name"
    RENEW = "write the record again"
    WAIT = "respect the other holder"


class LeaseState:
    """What one candidate knows of the Lease.

    `holder` is the last seen holder's identity, empty for none.
    """

    def __init__(self, identity: str, times: LeaseTimes) -> None:
        self.identity = identity
        self._times = times
        self._lease: Lease | None = None
        self._seen_at = 0.0

    @property
    def holder(self) -> str:
        """Identity of the last seen holder, empty for none."""
        return (self._lease.spec.holder_identity or "") if self._lease else ""

    @property
    def is_ours(self) -> bool:
        """Whether the last seen record names us."""
        return self.holder == self.identity

    def observe(self, now: float, lease: Lease | None) -> None:
        """Note what the server holds; a record counts as alive from when it was first seen to differ."""
        known = self._lease.spec if self._lease else None
        if (lease.spec if lease else None) != known:
            self._seen_at = now
        self._lease = lease

    def decide(self, now: float) -> Move:
        """The next move."""
        if not self.holder:
            return Move.TAKE
        if self.is_ours:
            return Move.RENEW
        spec = self._spec
        respected = spec.lease_duration_seconds or self._times.duration
        return Move.WAIT if now < self._seen_at + respected else Move.TAKE

    def build_record(self, at: dt.datetime) -> dict[str, Any]:
        """The record that makes us the holder; `at` is wall-clock time, for readers."""
        time = micro_time(at)
        spec = self._spec
        took_over = self._lease is not None and not self.is_ours
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._times.duration,
            "acquireTime": (spec.acquire_time or time) if self.is_ours else time,
            "renewTime": time,
            "leaseTransitions": (spec.lease_transitions or 0) + int(took_over),
        }

    def build_release(self, at: dt.datetime) -> dict[str, Any]:
        """The record that gives the Lease up at once."""
        time = micro_time(at)
        return {
            "holderIdentity": "",
            "leaseDurationSeconds": RELEASED_SECONDS,
            "acquireTime": time,
            "renewTime": time,
            "leaseTransitions": self._spec.lease_transitions or 0,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata of the last seen Lease, empty when there is none: then it has to be created."""
        return self._lease.metadata if self._lease else {}

    @property
    def _spec(self) -> LeaseSpec:
        return self._lease.spec if self._lease else LeaseSpec()


def micro_time(at: dt.datetime) -> str:
    """The time with exactly six digits of fraction: the server refuses any other number of them."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
