"""Which nodes become endpoints of a Service: upstream's choice, so that a hand-over moves nobody. Pure.

ingress-gce, pkg/neg/syncers/subsets.go: candidates in the order of a hash of node and Service, present ones first and
by name, an equal share for each zone beginning with the smallest, what is left over going on to the next. The Service
goes into the hash as `NAME/NAMESPACE` (pkg/neg/syncers/utils.go, GetEndpointsCalculator).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from lbctl.model.intent import Intent
from lbctl_gce.machines import Machine
from lbctl_gce.parse import mode_of

LIMITS = {(True, False): 25, (True, True): 250, (False, False): 250, (False, True): 3000}
"""Most endpoints by (internal, traffic policy Local)."""


def choose_endpoints(
    machines: Iterable[Machine], current: frozenset[str], *, intent: Intent
) -> Mapping[str, frozenset[str]]:
    """Endpoints of each zone as `PATH ADDRESS`; zones without nodes are left out."""
    limit = LIMITS[mode_of(intent).is_internal, intent.local]
    zones: dict[str, list[Machine]] = {}
    for machine in machines:
        zones.setdefault(machine.zone, []).append(machine)
    salt = f"{intent.identity.name}/{intent.identity.namespace}"
    chosen = choose_subset(zones, limit=limit, salt=salt, current=current)
    return {zone: frozenset(f"{m.path} {m.address}" for m in members) for zone, members in chosen.items()}


def choose_subset(
    zones: Mapping[str, list[Machine]], *, limit: int, salt: str, current: frozenset[str]
) -> dict[str, list[Machine]]:
    """At most `limit` machines, spread evenly over the zones."""
    left = limit
    chosen: dict[str, list[Machine]] = {}
    smallest_first = sorted(zones, key=lambda zone: (len(zones[zone]), zone))
    for index, zone in enumerate(smallest_first):
        share = left // (len(smallest_first) - index)
        present = sorted(machine for machine in zones[zone] if machine.name in current)
        others = (machine for machine in zones[zone] if machine.name not in current)
        ranked = [*present, *sorted(others, key=lambda machine: hashed(machine.node or machine.name, salt))]
        chosen[zone] = ranked[:share]
        left -= len(chosen[zone])
    return chosen


def hashed(node: str, salt: str) -> str:
    """What the order of candidates goes by."""
    return hashlib.sha256(f"{node}:{salt}".encode()).hexdigest()
