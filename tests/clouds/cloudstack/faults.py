"""Faults on demand and the ledger of calls.

A fault is told to happen at the n-th call of a command (or of any mutation): refuse before the effect, lose the answer
after it, answer with a proxy's HTML, throttle, or let the caller die before or after.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


class Moment(enum.Enum):
    """When a fault strikes."""

    BEFORE = "before the effect"
    AFTER = "after the effect"


class How(enum.Enum):
    """What the caller sees."""

    RESET = "connection reset"
    HTML = "a proxy's 503"
    THROTTLE = "429"
    ERROR = "530"
    JOB = "the job is accepted and fails"
    LATE = "connection reset, and the request arrives when the server is told to let it in"


@dataclass
class Fault:
    """One planned fault: at the `at`-th matching call."""

    how: How
    moment: Moment
    matches: Callable[[str], bool]
    at: int = 1
    seen: int = 0

    @classmethod
    def of_writes(cls, how: How, moment: Moment, at: int) -> Fault:
        """A fault at the n-th write from now on."""
        return cls(how, moment, is_write, at)

    def strikes(self, command: str) -> bool:
        """True when this call is the one."""
        if not self.matches(command):
            return False
        self.seen += 1
        return self.seen == self.at


def is_write(command: str) -> bool:
    """True for commands that change something."""
    return not command.startswith(("list", "query", "get"))


@dataclass
class Faults:
    """The planned faults, and every call so far with its parameters."""

    planned: list[Fault] = field(default_factory=list)
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def plan(
        self, how: How, moment: Moment = Moment.BEFORE, *, command: str = "", writes: bool = False, at: int = 1
    ) -> Fault:
        """Plan a fault for a command, or for any write."""
        fault = Fault(how, moment, is_write if writes else lambda name: name == command, at)
        self.planned.append(fault)
        return fault

    def note(self, command: str, parameters: dict[str, str]) -> Fault | None:
        """Write a call down; the fault that strikes it."""
        self.calls.append((command, parameters))
        return next((fault for fault in [*self.planned] if fault.strikes(command)), None)

    def counts(self) -> Counter[str]:
        """Calls by command, polls of jobs left out."""
        return Counter(name for name, _ in self.calls if name not in {"queryAsyncJobResult", "listAsyncJobs"})

    @property
    def reads(self) -> int:
        """Calls that read, polls left out."""
        return sum(n for name, n in self.counts().items() if not is_write(name))

    @property
    def writes(self) -> int:
        """Calls that write."""
        return sum(n for name, n in self.counts().items() if is_write(name))

    def clear(self) -> None:
        """Forget all calls."""
        self.calls.clear()
