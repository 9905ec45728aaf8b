"""Which target the next connection of one node port goes to.

One `Chooser` belongs to one node port of one node, as kube-proxy's state does: two nodes that serve the same client may
choose differently. Time and randomness are handed in.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from lbctl.clock import Clock
    from lbctl.sandbox.nodes.rules import PortRule, Target


class Mode(enum.StrEnum):
    """How a node spreads connections over targets."""

    ROUND_ROBIN = "round-robin"
    """In turn, and on to the next target when one refuses: kube-proxy's userspace mode."""
    RANDOM = "random"
    """Each target with the same probability and no second try: kube-proxy's iptables mode."""


@dataclass(frozen=True, slots=True)
class _Stuck:
    target: Target
    since: float


class Chooser:
    """Picks targets for one node port and remembers clients that must stay with theirs."""

    def __init__(self, mode: Mode, *, clock: Clock, rng: random.Random) -> None:
        self._mode = mode
        self._clock = clock
        self._rng = rng
        self._turn = 0
        self._stuck: dict[str, _Stuck] = {}

    def pick(self, rule: PortRule, client: str) -> Target | None:
        """The target of a new connection from `client`, None when there is none.

        With affinity a client keeps its target until it was silent for `affinity_seconds` or the target is not
        eligible any more; each connection starts the time anew, as iptables' `recent` match does.
        """
        if not rule.targets:
            return None
        if rule.affinity_seconds is None:
            return self._next(rule.targets)
        target = self._remembered(rule, client) or self._next(rule.targets)
        self._stuck[client] = _Stuck(target, self._clock.monotonic())
        return target

    def forget(self, client: str) -> None:
        """Let `client` be given another target: the one it has does not answer."""
        self._stuck.pop(client, None)

    def forget_expired(self, affinity_seconds: int) -> None:
        """Free the memory of clients that were silent for longer than `affinity_seconds`."""
        oldest = self._clock.monotonic() - affinity_seconds
        self._stuck = {client: stuck for client, stuck in self._stuck.items() if stuck.since > oldest}

    def _remembered(self, rule: PortRule, client: str) -> Target | None:
        stuck = self._stuck.get(client)
        if stuck is None or stuck.target not in rule.targets or rule.affinity_seconds is None:
            return None
        return stuck.target if self._clock.monotonic() - stuck.since < rule.affinity_seconds else None

    def _next(self, targets: tuple[Target, ...]) -> Target:
        if self._mode is Mode.RANDOM:
            return self._rng.choice(targets)
        self._turn += 1
        return targets[(self._turn - 1) % len(targets)]
