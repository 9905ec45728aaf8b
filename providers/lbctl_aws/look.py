"""One look at the cloud: what the reads share while they fill it. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbctl.driver import World
from lbctl.model.resource import Identity, Key, Scope, Seen
from lbctl_aws.attributes import declared
from lbctl_aws.backends import places
from lbctl_aws.options import options_of
from lbctl_aws.ownership import Claim, Owners
from lbctl_aws.place import balancer_scope

SeenByScope = dict[Scope, dict[Key, Seen]]


@dataclass
class Look:
    """One look at the cloud: what is asked, and what has been found so far."""

    world: World
    owners: Owners
    only: Scope | None
    seen: SeenByScope = field(default_factory=lambda: defaultdict(dict))
    managed: dict[str, tuple[str, Claim]] = field(default_factory=dict)
    health: Counter[str] = field(default_factory=Counter)
    used_by_others: frozenset[str] | None = None

    def wants(self, owner: Identity) -> bool:
        """True when the owner's balancer is looked at."""
        return self.only in (None, balancer_scope(owner))

    def add(self, owner: Identity, seen: Iterable[Seen]) -> None:
        """Keep what belongs to the owner's balancer, where that is looked at."""
        scope = balancer_scope(owner)
        if self.only in (None, scope):
            self.seen[scope].update((one.key, one) for one in seen)

    def is_others(self, name: str, tags: Mapping[str, str]) -> bool:
        """True for what is not this cluster's."""
        return not self.owners.is_interesting(name, tags) or not self.owners.find(name, tags).ours

    def declares(self, owner: Identity, place: str) -> bool:
        """True when the Service declares something at a place that starts so, or did before."""
        intent = self.world.intents.get(owner)
        if intent is None:
            return False
        now = declared(intent, places(intent, self.world.referred))
        entries = now | set(options_of(intent).remembered)
        return any(entry.startswith(place) for entry in entries)
