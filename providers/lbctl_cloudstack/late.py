"""Addresses that may still come: a request whose answer was lost can reach the server until its signature expires.

The Service that asked for one is not let go of before, because its record of the address is the only proof of whose it
is. What is known is lost with the process, so for a Service whose choice an earlier process made, the start counts.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from lbctl.clock import Clock
from lbctl.driver import World
from lbctl.model.objects import Service
from lbctl.model.resource import Observed, Scope
from lbctl_cloudstack.client import TOLERATED_SKEW_SECONDS
from lbctl_cloudstack.names import ADDRESS, ASSOCIATED_ANNOTATION, chosen_annotation, is_own


class LateAddresses:
    """What one process knows of requests for addresses; safe for several threads. Makes no call."""

    def __init__(self, clock: Clock, validity: float) -> None:
        self._clock = clock
        self._validity = validity + TOLERATED_SKEW_SECONDS
        self._started = clock.monotonic()
        self._lock = threading.Lock()
        self._chosen_here: set[Scope] = set()
        self._unanswered: dict[Scope, list[float]] = defaultdict(list)
        self._answered: set[Scope] = set()
        self._present: set[Scope] = set()

    def chosen(self, scope: Scope) -> None:
        """Note that no request for this scope was sent before this process chose an address for it."""
        with self._lock:
            self._chosen_here.add(scope)

    def unanswered(self, scope: Scope) -> None:
        """Note that a request was sent whose answer did not come."""
        with self._lock:
            self._unanswered[scope].append(self._clock.monotonic() + self._validity)

    def answered(self, scope: Scope) -> None:
        """Note that the next address of the scope is what was answered for, so that an earlier one may come yet."""
        with self._lock:
            self._answered.add(scope)

    def seconds_left(self, observed: Observed, world: World) -> float:
        """Seconds until no address on record can come for a scope that has none any more; 0 when none can."""
        scope = observed.scope
        is_on_record = any(record_of(scope, service) for service in world.services.values())
        with self._lock:
            if observed.get(ADDRESS) is not None:
                self._arrived(scope)
                return 0.0
            self._present.discard(scope)
            until = max(self._unanswered.get(scope) or [0.0]) if is_on_record else 0.0
            is_of_before = scope not in self._chosen_here
        if is_of_before and _has_asked(scope, world):
            until = max(until, self._started + self._validity)
        return max(0.0, until - self._clock.monotonic())

    def _arrived(self, scope: Scope) -> None:
        """An address without an answer is what one of the requests brought; which of them does not show."""
        is_late = scope not in self._present | self._answered
        if is_late and self._unanswered.get(scope):
            self._unanswered[scope].remove(min(self._unanswered[scope]))
        self._answered.discard(scope)
        self._present.add(scope)


def record_of(scope: Scope, service: Service) -> str:
    """The address that a Service has on record as asked for, in this scope; empty when none was asked for."""
    annotations = service.metadata.annotations
    if is_own(scope):
        return annotations.get(chosen_annotation(scope), "")
    return scope.name if annotations.get(ASSOCIATED_ANNOTATION) == "true" else ""


def _has_asked(scope: Scope, world: World) -> bool:
    """True for a Service that has an address on record and was told neither this one nor a name in its place."""
    for service in world.services.values():
        record, ingress = record_of(scope, service), service.status.load_balancer.ingress
        if record and not any(entry.ip == record or entry.hostname for entry in ingress):
            return True
    return False
