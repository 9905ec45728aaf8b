"""What became of Octavia's operations: one list call for all balancers of the project that are due.

An operation is looked at after the time that such operations take, then at growing intervals, never more than five
seconds apart. No thread waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lbctl.clock import Clock
from lbctl.driver import Outcome, Pending
from lbctl.errors import Conflict
from lbctl.model.resource import Outputs
from lbctl_openstack.client import BALANCING, Client
from lbctl_openstack.plan import DELETE, REPLACE

GROWTH = 1.3
LONGEST_SECONDS = 5.0
STUCK_SECONDS = 600.0
STUCK_GAP_SECONDS = 60.0
OVER = {"ACTIVE", "ERROR", "DELETED"}


class Polls:
    """The operations that somebody waits for, and when each is due."""

    def __init__(self, client: Client, clock: Clock, random: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._random = random
        self._due: dict[str, float] = {}
        self._gaps: dict[str, float] = {}
        self._since: dict[str, float] = {}

    def outcomes(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """The outcome of each operation that is over; no call when none is due."""
        by_operation = {item.operation: item for item in pending}
        due = [operation for operation in by_operation if self._is_due(by_operation[operation])]
        if not due:
            return {}
        states = self._states()
        outcomes: dict[str, Outcome] = {}
        for operation, item in by_operation.items():
            outcome = outcome_of(item, states.get(operation.partition(" ")[0]))
            if outcome is not None:
                outcomes[operation] = outcome
                self._forget(operation)
            elif operation in due:
                self._postpone(operation)
        return outcomes

    def _states(self) -> dict[str, str]:
        fields = ["id", "provisioning_status"]
        listed = self._client.list(BALANCING, "/lbaas/loadbalancers", "loadbalancers", fields=fields)
        return {body["id"]: body["provisioning_status"] for body in listed}

    def _is_due(self, item: Pending) -> bool:
        now = self._clock.monotonic()
        if item.operation not in self._due:
            # The engine has waited `poll_after` already when it asks for the first time.
            self._since[item.operation] = now
            self._due[item.operation] = now
            self._gaps[item.operation] = item.poll_after / GROWTH
        return self._due[item.operation] <= now

    def _postpone(self, operation: str) -> None:
        now = self._clock.monotonic()
        stuck = now - self._since[operation] > STUCK_SECONDS
        gap = min(self._gaps[operation] * GROWTH, LONGEST_SECONDS)
        self._gaps[operation] = gap
        jitter = 0.9 + 0.2 * self._random()
        self._due[operation] = now + (STUCK_GAP_SECONDS if stuck else min(gap * jitter, LONGEST_SECONDS))

    def _forget(self, operation: str) -> None:
        for table in (self._due, self._gaps, self._since):
            table.pop(operation, None)


def outcome_of(item: Pending, state: str | None) -> Outcome | None:
    """What an operation came to, given the balancer's state (None when it does not exist); None while it goes on."""
    outputs = item.payload
    assert isinstance(outputs, Outputs)
    leaves = item.operation.split(" ")[1] in {DELETE, REPLACE}
    if state is None or state == "DELETED":
        return outputs if leaves else Conflict(f"the balancer of {item.operation} is gone")
    if state == "ACTIVE" and not leaves:
        return outputs
    if state in OVER:
        return Conflict(f"the balancer of {item.operation} is in {state}")
    return None
