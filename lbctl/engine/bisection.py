"""Finds the one Service whose wish a cloud rejects among many that went out in one call. Pure.

Groups are tried one after another while all others are frozen; a group that passes is done, a group that fails is
halved. About 2·log2(N) extra calls find one culprit among N.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lbctl.model.resource import Identity

Group = tuple[Identity, ...]


@dataclass(slots=True)
class Bisection:
    """Progress of one search; the group that is tried now is the first of `groups`."""

    groups: list[Group] = field(default_factory=list)

    @classmethod
    def among(cls, suspects: frozenset[Identity]) -> Bisection:
        """Start a search among at least two suspects."""
        return cls(_halves(tuple(sorted(suspects))))

    @property
    def frozen(self) -> frozenset[Identity]:
        """Suspects that have to wait while the first group is tried."""
        return frozenset(identity for group in self.groups[1:] for identity in group)

    @property
    def is_over(self) -> bool:
        """True when every suspect was either served or found guilty."""
        return not self.groups

    def join(self, newcomers: frozenset[Identity]) -> None:
        """Put Services that turned up in the present group's call without belonging to it at the end."""
        known = {identity for group in self.groups for identity in group}
        self.groups += _halves(tuple(sorted(newcomers - known)))

    def passed(self) -> None:
        """Take note that the cloud accepted the first group."""
        del self.groups[0]

    def failed(self) -> Identity | None:
        """Take note that the cloud rejected the first group; returns the culprit once it is alone."""
        group = self.groups.pop(0)
        if len(group) == 1:
            return group[0]
        self.groups[:0] = _halves(group)
        return None


def _halves(group: Group) -> list[Group]:
    middle = (len(group) + 1) // 2
    return [half for half in (group[:middle], group[middle:]) if half]
