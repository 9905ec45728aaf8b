"""The client-side limit on requests: a token bucket.

Every request of `Rest` takes a token first; streams do not. The arithmetic takes `now` and waits for nobody, which
leaves the waiting, on the injected clock, to one method.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbctl.clock import Clock


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """A sustained rate and how many requests may be made at once after a quiet time."""

    per_second: float = 20.0
    burst: float = 30.0


# The upstream controller's own limit (cloud-provider, --kube-api-qps and --kube-api-burst).
DEFAULT_RATE = Rate(per_second=20.0, burst=30.0)


class Bucket:
    """A token bucket for callers who wait (`reserve`, which goes into debt) or who give up (`take`)."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = now

    def reserve(self, now: float) -> float:
        """Seconds that the caller has to wait before it acts; its token is taken already."""
        self._refill(now)
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate.per_second)

    def take(self, now: float) -> bool:
        """Whether a token was there, which is then taken."""
        self._refill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _refill(self, now: float) -> None:
        earned = max(0.0, now - self._at) * self._rate.per_second
        self._tokens = min(self._rate.burst, self._tokens + earned)
        self._at = max(now, self._at)


class Throttle:
    """A bucket that threads share."""

    def __init__(self, clock: Clock, rate: Rate = DEFAULT_RATE) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bucket = Bucket(rate, clock.monotonic())

    def take(self) -> None:
        """Return as soon as one more request is within the rate."""
        with self._lock:
            wait = self._bucket.reserve(self._clock.monotonic())
        if wait:
            self._clock.wait(wait)
