"""Owners of cloud objects that no Service is known for, and when they may be believed to be orphans.

A list of a cloud may lag and a Service may appear late, so an owner counts only after two complete looks that are ten
minutes apart. Nothing is removed here: reporting is the default, and `lbctl gc` asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lbctl.model.resource import Identity, Scope

APART_SECONDS = 600.0

Ownership = tuple[Scope, Identity]


@dataclass(slots=True)
class OrphanWatch:
    """When each unknown owner was first seen, without having been missing in between."""

    _first_seen: dict[Ownership, float] = field(default_factory=dict)
    _last_look: float = 0.0

    def look(self, owners: Iterable[Ownership], *, now: float) -> None:
        """Take note of all unknown owners of one complete look."""
        present = frozenset(owners)
        self._first_seen = {owner: self._first_seen.get(owner, now) for owner in present}
        self._last_look = now

    def confirmed(self) -> tuple[Ownership, ...]:
        """Those that two looks, far enough apart, have agreed on."""
        old = self._last_look - APART_SECONDS
        return tuple(sorted(owner for owner, first in self._first_seen.items() if first <= old))
