"""Token buckets, one for each service and class of operations, that learn from throttling. Pure: `now` is an argument.

The rate halves when AWS throttles and grows back step by step (additive increase, multiplicative decrease). First rates
and bursts are those of LBC (aws/throttle/defaults.go); AWS's own are not published for all operations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

RATES: tuple[tuple[str, float, float], ...] = (
    (r"elbv2\.(Register|Deregister)Targets", 4.0, 20.0),
    (r"elbv2\.Describe", 50.0, 200.0),
    (r"elbv2\.(Modify|Set|Add|Remove)", 3.0, 20.0),
    (r"elbv2\.", 5.0, 40.0),
    (r"elb\.Describe", 20.0, 100.0),
    (r"elb\.", 5.0, 40.0),
    (r"ec2\.Describe", 20.0, 100.0),
    (r"", 5.0, 50.0),
)
SLOWEST = 0.1
GROWTH = 0.05


@dataclass(slots=True)
class Bucket:
    """One budget: `rate` calls a second after a burst; may go into debt, which is the pause of the caller."""

    name: str
    full_rate: float
    burst: float
    rate: float = field(init=False)
    tokens: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        """Start full."""
        self.rate = self.full_rate
        self.tokens = self.burst

    def take(self, now: float) -> float:
        """Take one token; the seconds to wait before using it."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate) - 1
        self.at = now
        return max(0.0, -self.tokens / self.rate)

    def throttled(self) -> None:
        """Slow down: half the rate, nothing saved up."""
        self.rate = max(SLOWEST, self.rate / 2)
        self.tokens = min(self.tokens, 0.0)

    def succeeded(self) -> None:
        """Speed up a little, to the first rate at most."""
        self.rate = min(self.full_rate, self.rate + self.full_rate * GROWTH)


@dataclass(slots=True)
class Limiter:
    """The buckets of one account."""

    _buckets: dict[str, Bucket] = field(default_factory=dict)

    def bucket(self, call: str) -> Bucket:
        """The bucket of `service.Operation`."""
        pattern, rate, burst = next(entry for entry in RATES if re.match(entry[0], call))
        if pattern not in self._buckets:
            self._buckets[pattern] = Bucket(pattern.replace("\\", "") or "other", rate, burst)
        return self._buckets[pattern]
