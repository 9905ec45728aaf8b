"""What was asked of the endpoint, in order, with counts for the tests' budgets.

Written by the server, read by tests. Entries are values; a mark lets a test count from a certain moment on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.clouds.azure.paths import Counted


@dataclass(frozen=True, slots=True)
class Call:
    """One answered, refused or dropped call; status 0 means that the connection was dropped."""

    method: str
    path: str
    action: str
    counted: Counted
    status: int
    api_version: str = ""
    if_match: str = ""
    if_none_match: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls by what they count as; deletes are among the writes."""

    reads: int
    writes: int
    polls: int
    by_action: Counter[str]


class Journal:
    """All calls since the start or since the last `clear`."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Records a call."""
        self._calls.append(call)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call, oldest first."""
        return tuple(self._calls)

    def clear(self) -> None:
        """Forgets all calls, so that the next counts are of what follows."""
        self._calls.clear()

    def counts(self) -> Counts:
        """The counts of all calls that did not only fetch a token."""
        calls = self.calls
        kinds = Counter(call.counted for call in calls)
        actions = Counter(call.action for call in calls if call.counted not in (Counted.POLL, Counted.TOKEN))
        return Counts(
            reads=kinds[Counted.READ],
            writes=kinds[Counted.WRITE] + kinds[Counted.DELETE],
            polls=kinds[Counted.POLL],
            by_action=actions,
        )
