"""A log of the requests that were answered, for tests and benches to count. Thread-safe; keeps the newest ones."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One answered request; code 0 means that the answer was lost on purpose."""

    verb: str
    path: str
    user_agent: str
    code: int


class Journal:
    """The newest requests, oldest first, and counters over all of them."""

    def __init__(self, *, keeps: int = 50_000) -> None:
        self._lines: deque[Line] = deque(maxlen=keeps)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def note(self, line: Line) -> None:
        """Append one request."""
        with self._lock:
            self._lines.append(line)
            self._counts[line.verb, line.code] += 1

    def lines(self, *, verb: str = "", containing: str = "") -> list[Line]:
        """The requests of one verb (all when empty) whose path contains a text."""
        with self._lock:
            return [line for line in self._lines if verb in ("", line.verb) and containing in line.path]

    def count(self, verb: str = "", code: int = 0) -> int:
        """How many requests since the start had this verb and code; empty and 0 mean any."""
        with self._lock:
            return sum(number for (v, c), number in self._counts.items() if verb in ("", v) and code in (0, c))

    def clear(self) -> None:
        """Start over."""
        with self._lock:
            self._lines.clear()
            self._counts.clear()
