"""Growing pauses after failures, per key; takes the random source, knows no clock."""

from __future__ import annotations

import random
from collections.abc import Hashable

FIRST_SECONDS = 5.0
LAST_SECONDS = 300.0
JITTER = 0.2


class Backoff:
    """5, 10, 20, … 300 seconds, each ±20 %, reset by success or by a change of the wish (service-controller A.10).

    `longest` is the last of them where that would be too long to wait.
    """

    def __init__(self, source: random.Random, *, longest: float = LAST_SECONDS) -> None:
        self._random = source
        self._longest = longest
        self._failures: dict[Hashable, int] = {}

    def failed(self, key: Hashable) -> float:
        """Count one more failure and return the pause before the next try."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        pause = min(FIRST_SECONDS * 2.0**count, self._longest)
        return pause * self._random.uniform(1 - JITTER, 1 + JITTER)

    def reset(self, key: Hashable) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def failures(self, key: Hashable) -> int:
        """Failures in a row."""
        return self._failures.get(key, 0)
