"""How many members of a Service's pools answer their probes, asked of Azure rule by rule. Reads, and waits.

Only for a person who asks: there is no list of it, each rule costs a POST that Azure counts among the writes, and the
answers take some seconds (Microsoft.Network 2025-05-01, LoadBalancerLoadBalancingRules_Health). All questions are asked
before the first answer is waited for.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lbctl.clock import Clock
from lbctl.driver import Health, World
from lbctl.errors import Conflict, NotReady, Throttled
from lbctl.model.resource import Identity
from lbctl_azure.account import BALANCER_SCOPE
from lbctl_azure.client import Client
from lbctl_azure.elements import RULE

POLL_SECONDS = 1.0
LONGEST_SECONDS = 120.0


def read_health(client: Client, clock: Clock, identities: Iterable[Identity], world: World) -> dict[Identity, Health]:
    """The health of those Services of which all rules with a probe were told within two minutes."""
    owners = dict(_probed_rules(frozenset(identities), world))
    told = _Round(client, clock).ask(owners)
    counts: dict[Identity, list[tuple[int, int]]] = defaultdict(list)
    for path, owner in owners.items():
        counts[owner].append(told.get(path, (0, -1)))
    return {
        owner: Health(sum(up for up, _ in found), sum(up + down for up, down in found))
        for owner, found in counts.items()
        if all(down >= 0 for _, down in found)
    }


def _probed_rules(identities: frozenset[Identity], world: World) -> Iterator[tuple[str, Identity]]:
    """Paths of the rules whose members are probed, with whose they are; nobody looks at the members of any other."""
    for scope, observed in sorted(world.observed.items()):
        for seen in observed.of_kind(RULE) if scope.kind == BALANCER_SCOPE else ():
            owner = next(iter(seen.resource.owners), None)
            if seen.ours and owner in identities and seen.resource.fields.get("probe"):
                assert owner is not None
                yield seen.outputs["id"], owner


class _Round:
    """Questions about some rules, from the first to the last answer."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._running: dict[str, str] = {}
        self._told: dict[str, tuple[int, int]] = {}

    def ask(self, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Up and down by path; what is throttled waits, and what is gone meanwhile is not told."""
        waiting = deque(paths)
        end = self._clock.monotonic() + LONGEST_SECONDS
        while waiting or self._running:
            pause = max(self._ask_all(waiting), self._collect())
            if self._clock.monotonic() + pause > end:
                break
            if waiting or self._running:
                self._clock.wait(pause)
        return self._told

    def _ask_all(self, waiting: deque[str]) -> float:
        while waiting:
            try:
                answer = self._client.post(f"{waiting[0]}/health")
            except Throttled as error:
                return error.after_seconds
            except NotReady as error:
                waiting.rotate(-1)
                return error.after_seconds
            except Conflict:
                waiting.popleft()
                continue
            path = waiting.popleft()
            if answer.operation:
                self._running[answer.operation] = path
            else:
                self._note(path, answer.document or {})
        return POLL_SECONDS

    def _collect(self) -> float:
        for operation, path in list(self._running.items()):
            try:
                document = self._client.answer(operation)
            except Throttled as error:
                return error.after_seconds
            except Conflict:
                del self._running[operation]
                continue
            if document is not None:
                del self._running[operation]
                self._note(path, document)
        return POLL_SECONDS

    def _note(self, path: str, document: Mapping[str, Any]) -> None:
        self._told[path] = (int(document.get("up") or 0), int(document.get("down") or 0))
