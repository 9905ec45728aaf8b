"""Faults that a test lets happen: refusals, delays, lost answers, and the death of the client at a certain write.

Tests add faults from any thread while the server runs; the server asks before it answers a call and after. A fault
takes effect on the calls that fit it, after `skip` of them and `times` times.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.clouds.azure.paths import Counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answers with an error instead of doing anything."""

    status: int
    code: str
    message: str = "An injected refusal."
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delay:
    """Waits in real time before the call is looked at."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Keeps the call waiting until the event is set."""

    until: threading.Event


@dataclass(frozen=True, slots=True)
class Drop:
    """Cuts the connection: before anything was done, or after everything was."""

    after_write: bool = False


Effect = Refuse | Delay | Hold | Drop


@dataclass(frozen=True, slots=True)
class Asking:
    """The call as faults see it; `action` is `Microsoft.Network/loadBalancers/write` and the like."""

    method: str
    path: str
    action: str
    counted: Counted

    @property
    def changes(self) -> bool:
        """Whether the call writes."""
        return self.counted in (Counted.WRITE, Counted.DELETE)


@dataclass(slots=True)
class Fault:
    """An effect on the calls whose action starts with `action`, whose method is `method` and whose path has `path`.

    `writes` leaves out reads.
    """

    effect: Effect
    action: str = ""
    method: str = ""
    path: str = ""
    writes: bool = False
    skip: int = 0
    times: int = 1

    def fits(self, asking: Asking) -> bool:
        """Whether the call is one of those meant."""
        return (
            f"{asking.action}/".lower().startswith(f"{self.action}/".lower() if self.action else "")
            and self.method in ("", asking.method)
            and (asking.changes or not self.writes)
            and self.path.lower() in asking.path.lower()
        )


class Faults:
    """The faults in force; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._writes = 0
        self._death: tuple[int, bool, Callable[[], None]] | None = None
        self._dead = False

    def add(self, fault: Fault) -> None:
        """Lets the fault take effect from now on."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Takes all faults back; a dead client lives again."""
        with self._lock:
            self._faults.clear()
            self._death, self._dead, self._writes = None, False, 0

    def die(self, *, at_write: int, after: bool, tell: Callable[[], None] = lambda: None) -> None:
        """Cuts off the client at its k-th write from now (1 is the next), before or after it takes effect.

        From then on every connection is dropped until `clear`, so whatever the client still tries has no effect.
        `tell` is called once, in the server's thread, and must return at once.
        """
        with self._lock:
            self._writes, self._death, self._dead = 0, (at_write, after, tell), False

    @property
    def died(self) -> bool:
        """Whether the planned death has come."""
        with self._lock:
            return self._dead

    def effects(self, asking: Asking) -> list[Effect]:
        """The effects on this call, in the order in which they were added."""
        with self._lock:
            if self._dead:
                return [Drop()]
            found = self._death_effect(asking)
            for fault in self._faults:
                if fault.fits(asking):
                    if fault.skip:
                        fault.skip -= 1
                    elif fault.times:
                        fault.times -= 1
                        found.append(fault.effect)
            return found

    def _death_effect(self, asking: Asking) -> list[Effect]:
        if self._death is None or not asking.changes:
            return []
        self._writes += 1
        at_write, after, tell = self._death
        if self._writes != at_write:
            return []
        self._dead = True
        tell()
        return [Drop(after_write=after)]
