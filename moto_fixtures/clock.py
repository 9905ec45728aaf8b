"""The cloud's own clock, which stands still until a test moves it.

Health checks, draining targets and lingering interfaces read it; no wall clock decides a test's result. A test that
drives a controller on a fake clock lets the cloud follow that clock, so both see one time.
"""

from collections.abc import Callable


class CloudClock:
    """Seconds since the world began; moved by hand or by the clock it follows."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._source: Callable[[], float] | None = None

    def now(self) -> float:
        """Seconds since the world began, plus what the followed clock shows."""
        return self._elapsed + (self._source() if self._source else 0.0)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass in the cloud."""
        self._elapsed += seconds

    def follow(self, source: Callable[[], float]) -> None:
        """Take time from `source` (seconds, never backwards) from now on."""
        self._elapsed = self.now() - source()
        self._source = source

    def reset(self) -> None:
        """Back to zero, following nobody."""
        self._elapsed = 0.0
        self._source = None
