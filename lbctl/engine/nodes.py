"""From Node events to the next generation of targets: debounce, join gate, shrink guard. Told the time; no I/O.

One tracker a driver account, because each cloud sees other differences between nodes. A new `NodeSet` comes out only
when the cloud would see one (service-controller A.11, A.12).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from lbctl.model.node import UNINITIALIZED_TAINT, NodeSet, condition, has_taint, is_eligible, is_ready
from lbctl.model.objects import Node

QUIET_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 5.0
REMOVAL_WAIT_SECONDS = 1.0
JOIN_GATE_SECONDS = 600.0
SHRINK_HOLD_SECONDS = 60.0
SHRINK_LIMIT = 0.5
ASK_AGAIN_SECONDS = 10.0


class Verdict(enum.Enum):
    """What `NodeTracker.settle` decided."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    HELD = "held"
    CONFIRM = "confirm"


@dataclass(slots=True)
class _Known:
    node: Node
    first_seen: float
    was_ready: bool


class NodeTracker:
    """The nodes of one driver account.

    `ready_node` and `identity` are the driver's. `current` is the set that plans use, `began` when the first event of
    the change behind it came.
    """

    def __init__(self, *, ready_node: Callable[[Node], bool], identity: Callable[[Node], object]) -> None:
        self._ready_node = ready_node
        self._identity = identity
        self._known: dict[str, _Known] = {}
        self._due: float | None = None
        self._first_event: float | None = None
        self._ask_at: float | None = None
        self._told: set[str] = set()
        self.current = NodeSet()
        self.began = 0.0

    def load(self, nodes: list[Node], *, now: float) -> None:
        """Start with a full list; these nodes count as having been ready, so that a restart drops none."""
        self._known = {node.metadata.name: _Known(node, now, was_ready=True) for node in nodes}
        self.current = NodeSet.of(self._eligible(now), generation=1)
        self._due = self._next_gate(now)

    def see(self, name: str, node: Node | None, *, now: float) -> None:
        """Take note of a node's new state, None when it is gone."""
        if self._ask_at is not None:
            self._told.add(name)
        known = self._known.get(name)
        if node is None:
            self._known.pop(name, None)
            self._mark(now, removal=True)
            return
        recreated = known is not None and known.node.metadata.uid != node.metadata.uid
        was_ready = is_ready(node) or (known is not None and known.was_ready and not recreated)
        first_seen = known.first_seen if known and not recreated else now
        self._known[name] = _Known(node, first_seen, was_ready)
        if known is None or self._differs(known, node, was_ready=was_ready):
            self._mark(now, removal=known is not None and not is_eligible(node) and is_eligible(known.node))

    def next_due(self) -> float | None:
        """When `settle` should be called next; None when nothing waits."""
        return self._due

    def settle(self, now: float, *, confirmed: bool = False) -> Verdict:
        """Work out the target set if it is time.

        `CONFIRM` asks for a live list of Nodes, to be given by `load_live` and followed by `settle(confirmed=True)`:
        a set that shrinks to nothing or by more than half is not believed before a minute and a second look. It is
        asked for again after a pause for as long as none is given.
        """
        if self._due is None or (now < self._due and not confirmed):
            return Verdict.UNCHANGED
        nodes = self._eligible(now)
        if not confirmed and self._shrinks_too_much(len(nodes)):
            return self._hold(now)
        self._ask_at = None
        self.began = now if self._first_event is None else self._first_event
        self._first_event = None
        self._due = self._next_gate(now)
        if self._effective(nodes) == self._effective(list(self.current)):
            return Verdict.UNCHANGED
        self.current = NodeSet.of(nodes, generation=self.current.generation + 1)
        return Verdict.CHANGED

    def load_live(self, nodes: list[Node], *, now: float) -> None:
        """Replace what is known by a live list, keeping who was ready before.

        What the watch told since the list was asked for may be newer, so it stays.
        """
        before = self._known
        self._known = {name: known for name, known in before.items() if name in self._told}
        for node in (node for node in nodes if node.metadata.name not in self._told):
            known = before.get(node.metadata.name)
            was_ready = is_ready(node) or (known is not None and known.was_ready)
            self._known[node.metadata.name] = _Known(node, known.first_seen if known else now, was_ready)

    @property
    def is_holding(self) -> bool:
        """True while a shrunken set waits to be confirmed."""
        return self._ask_at is not None

    def held_back(self, now: float) -> dict[str, str]:
        """Eligible nodes that are not targets yet, with the reason."""
        reasons = {name: self._gate(known, now) for name, known in self._known.items() if is_eligible(known.node)}
        return {name: reason for name, reason in reasons.items() if reason}

    def _eligible(self, now: float) -> list[Node]:
        return [k.node for k in self._known.values() if is_eligible(k.node) and not self._gate(k, now)]

    def _gate(self, known: _Known, now: float) -> str:
        if has_taint(known.node, UNINITIALIZED_TAINT):
            return "not initialized by the cloud's node controller yet"
        if not self._ready_node(known.node):
            return "without the id or address that this cloud needs"
        if now - known.first_seen >= JOIN_GATE_SECONDS:
            return ""
        if not known.was_ready:
            return "never ready so far"
        if not _has_network(known.node) and not self._is_target(known.node):
            return "without network so far"
        return ""

    def _is_target(self, node: Node) -> bool:
        return any(target.metadata.uid == node.metadata.uid for target in self.current)

    def _next_gate(self, now: float) -> float | None:
        """When the next node that was never ready, or has no network, joins all the same."""
        waiting = (
            k for k in self._known.values() if not (k.was_ready and _has_network(k.node)) and is_eligible(k.node)
        )
        ends = (known.first_seen + JOIN_GATE_SECONDS for known in waiting)
        return min((end for end in ends if end > now), default=None)

    def _shrinks_too_much(self, count: int) -> bool:
        before = len(self.current)
        return before > 0 and (count == 0 or count < before * SHRINK_LIMIT)

    def _hold(self, now: float) -> Verdict:
        if self._ask_at is None:
            self._ask_at = now + SHRINK_HOLD_SECONDS
        if now < self._ask_at:
            self._due = self._ask_at
            return Verdict.HELD
        self._due = self._ask_at = now + ASK_AGAIN_SECONDS
        self._told = set()
        return Verdict.CONFIRM

    def _differs(self, known: _Known, node: Node, *, was_ready: bool) -> bool:
        return (
            is_eligible(node) != is_eligible(known.node)
            or was_ready != known.was_ready
            or self._sight(known.node) != self._sight(node)
        )

    def _sight(self, node: Node) -> tuple[object, ...]:
        return (
            node.metadata.uid,
            self._identity(node),
            self._ready_node(node),
            has_taint(node, UNINITIALIZED_TAINT),
            condition(node, "NetworkUnavailable"),
        )

    def _effective(self, nodes: list[Node]) -> frozenset[object]:
        return frozenset((node.metadata.name, self._identity(node)) for node in nodes)

    def _mark(self, now: float, *, removal: bool) -> None:
        self._first_event = now if self._first_event is None else self._first_event
        latest = self._first_event + LONGEST_WAIT_SECONDS
        due = min(now + (REMOVAL_WAIT_SECONDS if removal else QUIET_SECONDS), latest)
        if removal and self._due is not None and self._ask_at is None:
            due = min(due, max(self._due, now))
        self._due = due if self._ask_at is None else min(due, self._ask_at)


def _has_network(node: Node) -> bool:
    return condition(node, "NetworkUnavailable") != "True"
