"""One Service's wish together with everything that decides its objects; the modules of the model work on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from lbctl.model.intent import Intent
from lbctl.model.resource import Identity, Observed, Seen
from lbctl_gce.facts import Facts
from lbctl_gce.flowlogs import Flowlogs
from lbctl_gce.machines import Machine, tags_of_nodes, target_tags
from lbctl_gce.modes import Mode
from lbctl_gce.parse import mode_of
from lbctl_gce.place import Labels, Place


@dataclass(frozen=True, slots=True)
class Wish:
    """`seen` is the Service's own scope, `machines` are the instances of all nodes, `flowlogs` what to log."""

    intent: Intent
    place: Place
    facts: Facts
    seen: Observed
    machines: tuple[Machine, ...]
    flowlogs: Flowlogs = field(default_factory=Flowlogs)

    @property
    def mode(self) -> Mode:
        """Kind of the balancer."""
        return mode_of(self.intent)

    @property
    def labels(self) -> Labels:
        """Names of its objects."""
        return self.place.labels(self.intent.identity, self.mode)

    @property
    def owners(self) -> frozenset[Identity]:
        """The Service."""
        return frozenset({self.intent.identity})

    def has(self, seen: Seen | None) -> bool:
        """True for what is the Service's own; not for what one of the same name, which is gone, has left behind."""
        return seen is not None and seen.ours and self.intent.identity in seen.resource.owners

    def tags(self) -> frozenset[str] | None:
        """Network tags that reach the nodes."""
        return self.place.config.node_tags or tags_of_nodes(self.machines, self.facts.tags or {})

    def untagged(self) -> list[str]:
        """Instances that no firewall rule reaches."""
        return [] if self.place.config.node_tags else target_tags(self.machines, self.facts.tags or {})[1]
