"""Which Nodes may be targets, and the set of them that one plan works with.

The rules are those of the upstream stable node set (kubernetes/cloud-provider, controllers/service: node predicates):
readiness is left to the health checks, because removing a target cuts its connections. Timing (join gate, shrink
guard, generations) is the engine's.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any, TypeVar

from lbctl.model.objects import Node

EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
CONDEMNED_TAINT = "ToBeDeletedByClusterAutoscaler"
UNINITIALIZED_TAINT = "node.cloudprovider.kubernetes.io/uninitialized"
ZONE_LABEL = "topology.kubernetes.io/zone"
FALSE_WORDS = frozenset({"0", "f", "F", "false", "False", "FALSE"})

T = TypeVar("T")


def is_excluded(node: Node) -> bool:
    """True when the label keeps the node out; an empty or unreadable value keeps it out too."""
    value = node.metadata.labels.get(EXCLUDE_LABEL)
    return value is not None and value not in FALSE_WORDS


def is_leaving(node: Node) -> bool:
    """True when the node is being deleted or the autoscaler has marked it for removal."""
    return node.metadata.deletion_timestamp is not None or has_taint(node, CONDEMNED_TAINT)


def has_taint(node: Node, key: str) -> bool:
    """True when the node carries a taint of this key, whatever its effect."""
    return any(taint.key == key for taint in node.spec.taints)


def condition(node: Node, kind: str) -> str:
    """Status of a condition: `True`, `False` or `Unknown`."""
    return next((entry.status for entry in node.status.conditions if entry.type == kind), "Unknown")


def is_ready(node: Node) -> bool:
    """True when the kubelet says so."""
    return condition(node, "Ready") == "True"


def zone(node: Node) -> str:
    """The node's zone, or empty."""
    return node.metadata.labels.get(ZONE_LABEL, "")


def internal_ip(node: Node, family: str = "IPv4") -> str | None:
    """The first InternalIP of the family in canonical text, or None."""
    for entry in node.status.addresses:
        if entry.type == "InternalIP":
            address = ipaddress.ip_address(entry.address)
            if family == f"IPv{address.version}":
                return str(address)
    return None


def is_eligible(node: Node) -> bool:
    """True when the node belongs to the target set of every balancer (same for traffic policy Cluster and Local)."""
    return not is_excluded(node) and not is_leaving(node)


def spread(nodes: Iterable[Node], limit: int) -> tuple[Node, ...]:
    """At most `limit` nodes, evenly over the zones, always the same ones for the same nodes, in the order of names.

    For clouds that take no more targets: the choice depends on the nodes' uids alone, so it survives restarts and a
    node that joins or leaves moves few others.
    """
    by_zone: dict[str, list[Node]] = defaultdict(list)
    for node in sorted(nodes, key=lambda node: hashlib.sha256(node.metadata.uid.encode()).digest()):
        by_zone[zone(node)].append(node)
    in_turn = zip_longest(*(by_zone[name] for name in sorted(by_zone)))
    chosen = islice((node for turn in in_turn for node in turn if node is not None), limit)
    return tuple(sorted(chosen, key=lambda node: node.metadata.name))


@dataclass(frozen=True, eq=False)
class NodeSet:
    """The nodes that plans of one generation use as targets, sorted by name.

    Compared by identity: the engine makes a new one only when a driver would see a difference. `project` lets all
    resources of a generation share one derived set.
    """

    nodes: tuple[Node, ...] = ()
    generation: int = 0
    _projections: dict[Any, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, nodes: Iterable[Node], *, generation: int = 0) -> NodeSet:
        """A set of the given nodes in the order of their names."""
        return cls(tuple(sorted(nodes, key=lambda node: node.metadata.name)), generation)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def project(self, derive: Callable[[tuple[Node, ...]], T]) -> T:
        """`derive(nodes)`, worked out once per set and function, so that thousands of resources share the result."""
        if derive not in self._projections:
            self._projections[derive] = derive(self.nodes)
        result: T = self._projections[derive]
        return result
