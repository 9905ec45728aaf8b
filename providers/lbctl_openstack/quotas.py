"""How much of the project's quotas is used. Reads: Octavia's document and lists, Neutron's document.

Octavia tells limits only, so what is used is counted; Neutron tells both. A limit of -1 is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lbctl_openstack.client import BALANCING, NETWORK, Client

# quota in Octavia's words -> its list
BALANCING_KINDS = {
    "load_balancer": "loadbalancers",
    "listener": "listeners",
    "pool": "pools",
    "health_monitor": "healthmonitors",
}
NETWORK_KINDS = ("floatingip", "port", "security_group", "security_group_rule")
NEARLY = 0.8


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit of the project, and how much of it is used."""

    service: str
    kind: str
    used: int
    limit: int

    @property
    def is_full(self) -> bool:
        """True when nothing more of the kind can be made."""
        return 0 <= self.limit <= self.used

    @property
    def is_nearly_full(self) -> bool:
        """True from four fifths on."""
        return self.limit >= 0 and self.used >= NEARLY * self.limit

    def __str__(self) -> str:
        return f"{self.kind} {self.used}/{self.limit if self.limit >= 0 else 'unlimited'}"


def read_quotas(client: Client, project: str) -> Iterator[Quota]:
    """All quotas that a balancer can run into."""
    limits = client.get(BALANCING, f"/lbaas/quotas/{project}")["quota"]
    for kind, plural in BALANCING_KINDS.items():
        listed = client.list(BALANCING, f"/lbaas/{plural}", plural, fields=["id"])
        limit = limits.get(kind, limits.get(kind.replace("_", "")))
        yield Quota("octavia", kind, len(listed), -1 if limit is None else int(limit))
    details = client.get(NETWORK, f"/quotas/{project}/details.json")["quota"]
    for kind in NETWORK_KINDS:
        if kind in details:
            yield Quota("neutron", kind, int(details[kind]["used"]), int(details[kind]["limit"]))
