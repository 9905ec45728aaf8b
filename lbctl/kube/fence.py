"""The write-fence: no mutating call starts when it is not certain that this process is the leader.

Engine and drivers call `check` right before each call that changes something. The certainty is a time on the monotonic
clock, never a flag that a thread may set too late. It must not know how the lease is renewed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lbctl.errors import LostLease

if TYPE_CHECKING:
    from lbctl.clock import Clock


class Fence(Protocol):
    """Asked before each mutating call."""

    def check(self) -> None:
        """Return when this process is certainly the leader, else raise LostLease."""


class NoLease:
    """The fence of commands that run alone, by the operator's word."""

    def check(self) -> None:
        """Let everything through."""


class LeaseFence:
    """Open from each renewal for as long as nobody else may take the lease.

    A call that began in time may land after a take-over; calls are idempotent and bounded in time for that reason.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether this process is certainly the leader."""
        return self._clock.monotonic() < self._open_until

    def check(self) -> None:
        """Return when this process is certainly the leader, else raise LostLease; costs no call."""
        if not self.is_open:
            raise LostLease(
                "cannot write: the lease was not renewed in time, so another process may be the leader",
                hint="The new leader goes on with this work",
            )

    def open_until(self, deadline: float) -> None:
        """The lease was renewed: the fence is open before `deadline`, in seconds of the monotonic clock."""
        self._open_until = deadline

    def close(self) -> None:
        """The lease is lost or given back."""
        self._open_until = float("-inf")
