"""Which Services would give an object in the cloud one and the same name: long names keep little of their hash.

Kept for the Services that were parsed in this process, so that both sides of a collision are known before the first
write. Whoever has the object already, by its description, keeps it; everybody else is refused (`Balancer.problems`).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Container, Mapping

from lbctl.model.intent import Intent
from lbctl.model.resource import Identity
from lbctl_gce.parse import mode_of
from lbctl_gce.place import Place


class NameClaims:
    """Names by the Services that claim them; safe for several threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._names: dict[Identity, frozenset[str]] = {}
        self._claimants: dict[str, set[Identity]] = defaultdict(set)
        self._lock = threading.Lock()

    def claim(self, intent: Intent) -> None:
        """Take note of the names that this Service's objects will have."""
        labels = self._place.labels(intent.identity, mode_of(intent))
        names = frozenset(labels.cut(intent.families, local=intent.local))
        with self._lock:
            if self._names.get(intent.identity) != names:
                self._forget(intent.identity)
                self._names[intent.identity] = names
                for name in names:
                    self._claimants[name].add(intent.identity)

    def drop(self, identity: Identity) -> None:
        """Forget a Service that goes away."""
        with self._lock:
            self._forget(identity)

    def keep(self, known: Container[Identity]) -> None:
        """Forget all Services but these."""
        with self._lock:
            for identity in [one for one in self._names if one not in known]:
                self._forget(identity)

    def collisions(self, identity: Identity) -> Mapping[str, str]:
        """Names of this Service that another one claims too, with that other one's `namespace/name`."""
        with self._lock:
            names = self._names.get(identity, frozenset())
            # A Service of the same name is its predecessor, whose objects go before this one is made.
            others = {name: {one.key for one in self._claimants[name]} - {identity.key} for name in names}
            return {name: min(keys) for name, keys in others.items() if keys}

    def _forget(self, identity: Identity) -> None:
        for name in self._names.pop(identity, ()):
            self._claimants[name].discard(identity)
            if not self._claimants[name]:
                del self._claimants[name]
