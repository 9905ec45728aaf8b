"""Which load balancer was chosen for Services that the cloud does not show yet.

Services of one batch are placed one after the other, each knowing where those before it go. This is all that is
remembered, and only until the cloud shows it; losing it costs nothing but an even spread.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from lbctl.model.resource import Identity, Scope
from lbctl_azure.wish import Wish


@dataclass(frozen=True, slots=True)
class Placement:
    """A choice, and how many rules will come of it."""

    scope: Scope
    rules: int


@dataclass(slots=True)
class Placements:
    """The choices of one process for several load balancers."""

    _by_owner: dict[Identity, Placement] = field(default_factory=dict)

    def of(self, wish: Wish) -> Scope | None:
        """The balancer that was chosen for the Service; None before."""
        known = self._by_owner.get(wish.identity)
        return known.scope if known is not None else None

    def note(self, wish: Wish, scope: Scope) -> None:
        """Remember a choice."""
        self._by_owner[wish.identity] = Placement(scope, len(wish.fronts) * len(wish.forwards))

    def coming(self, scope: Scope, present: Container[Identity]) -> int:
        """Rules that Services will bring to the balancer which it does not have yet."""
        known = list(self._by_owner.items())
        return sum(one.rules for owner, one in known if one.scope == scope and owner not in present)

    def keep(self, living: Container[Identity]) -> None:
        """Forget those that are gone."""
        for owner in [owner for owner in self._by_owner if owner not in living]:
            self._by_owner.pop(owner, None)
