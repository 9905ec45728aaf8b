"""The bulk reading of one account: at the start, and again at every drift interval.

`read` asks the cloud and the API server; `take` makes the answers the account's cache, and must not run beside anything
else that changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lbctl.driver import World
from lbctl.engine.account import Account
from lbctl.engine.claim import Standing
from lbctl.engine.intake import Intake
from lbctl.engine.passes import Shared
from lbctl.engine.planning import build_world
from lbctl.engine.reconcile import NO_OBJECTS
from lbctl.engine.tracked import Tracked
from lbctl.model.objects import Service
from lbctl.model.resource import Observed, Scope

LOST_AFTER_SECONDS = 1800.0
"""Longer than any cloud takes for one operation; what is still being made then is waited for by its state."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the cloud holds by scope, and since when that was asked (monotonic seconds).

    `leftovers` are Services that are no balancer any more and carry finalizers, perhaps one of ours.
    """

    seen: Mapping[Scope, Observed]
    started: float
    leftovers: tuple[Service, ...]


class Snapshots:
    """Reads everything of this cluster in one account, and finds what is not as it was believed to be."""

    def __init__(
        self, account: Account, intake: Intake, shared: Shared, *, list_services: Callable[[], Iterable[Service]]
    ) -> None:
        self._account = account
        self._intake = intake
        self._shared = shared
        self._list_services = list_services

    def read(self) -> Reading:
        """One snapshot of the cloud and one live list of the Services; raises what either raises."""
        started = self._shared.clock.monotonic()
        world = self._world(list(self._account.services.values()))
        leftovers = tuple(s for s in self._list_services() if s.spec.type != "LoadBalancer" and s.metadata.finalizers)
        return Reading(self._account.driver.snapshot(world), started, leftovers)

    def take(self, reading: Reading) -> frozenset[Scope]:
        """The scopes that have to be worked on: those that changed, and after the first reading all."""
        account = self._account
        is_first = account.snapshot_at is None
        lost = self._drop_lost()
        dirty = {scope for scope in account.all_scopes() | frozenset(reading.seen) if self._refresh(scope, reading)}
        account.snapshot_at = reading.started
        account.last_snapshot_error = None
        if is_first:
            for service in self._intake:
                self._intake.consider(service)
            dirty = set(account.all_scopes())
        else:
            self._intake.reconsider()
        dirty |= self._rescope() | lost
        account.forget_ended(before=reading.started)
        account.orphan_watch.look(account.strangers(), now=reading.started)
        return frozenset(dirty)

    def _drop_lost(self) -> set[Scope]:
        """The scopes of operations that the cloud has told nothing of for so long that they are looked at anew."""
        account, now = self._account, self._shared.clock.monotonic()
        lost = {name: f for name, f in list(account.in_flight.items()) if now - f.since > LOST_AFTER_SECONDS}
        for name, flight in lost.items():
            account.in_flight.pop(name, None)
            account.see(account.look(flight.scope).doubted(), now=now)
        return {flight.scope for flight in lost.values()}

    def _refresh(self, scope: Scope, reading: Reading) -> bool:
        """True when the scope is not as it was believed to be; what was written since, or is in flight, is newer."""
        account = self._account
        is_newer = account.written_at.get(scope, -1.0) >= reading.started
        is_busy = next(account.in_flight_of(scope), None) is not None
        if is_newer or is_busy or scope.kind == NO_OBJECTS:
            return False
        fresh = reading.seen.get(scope, Observed(scope, read_at=reading.started))
        before = account.look(scope)
        is_changed = fresh != before
        self._note_proof(before, fresh)
        account.see(fresh, now=reading.started)
        return is_changed

    def _note_proof(self, before: Observed, fresh: Observed) -> None:
        """Keep in mind whose objects are missing in a list that no reply of ours has taken away."""
        if self._account.snapshot_at is None:
            for tracked in self._account.tracked(fresh.owners()):
                tracked.unproven.discard(fresh.scope)
        missing = (seen for key, seen in before.resources.items() if key not in fresh.resources)
        for tracked in self._account.tracked({owner for seen in missing for owner in seen.resource.owners}):
            tracked.unproven.add(fresh.scope)

    def _rescope(self) -> set[Scope]:
        """Ask again which scopes Services take part in: what was seen may tell whose objects they share."""
        account = self._account
        known = [t for t in account.services.values() if t.standing is Standing.WANTED and t.intent is not None]
        world = self._world(known)
        changed: set[Scope] = set()
        for tracked in known:
            assert tracked.intent is not None
            scopes = account.driver.scopes(tracked.intent, world)
            if scopes != tracked.scopes:
                changed |= account.track(tracked, scopes)
        return changed

    def _world(self, members: list[Tracked]) -> World:
        return build_world(self._account, members, cluster=self._shared.cluster, now=self._shared.clock.now())
