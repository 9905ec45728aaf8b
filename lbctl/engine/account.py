"""What this process remembers of one driver account: its Services, its nodes, and what was seen in its cloud.

Everything here is a cache: losing it costs calls, never correctness. The lock is held for moments, never across I/O.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar, cast

from lbctl.driver import Driver, DriverInfo, JudgesGates, Pending
from lbctl.engine.bisection import Bisection
from lbctl.engine.claim import Standing
from lbctl.engine.nodes import NodeTracker
from lbctl.engine.orphans import OrphanWatch
from lbctl.engine.references import References
from lbctl.engine.tracked import Basis, Culprit, Tracked
from lbctl.errors import LbctlError
from lbctl.kube.write_lease import NoWriteLease, WriteLease
from lbctl.model.intent import Intent, identity_of
from lbctl.model.objects import EndpointSlice, Pod
from lbctl.model.resource import Identity, Observed, Outputs, Scope
from lbctl.plan.actions import Action, Plan

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class InFlight:
    """An action that the cloud is still working on."""

    scope: Scope
    action: Action
    pending: Pending
    since: float
    due: float


@dataclass(frozen=True, slots=True)
class Failure:
    """An action that failed and is not tried again before `until`; another action, with another digest, is."""

    until: float
    error: LbctlError


class Account:
    """One driver account: its Services, its nodes, and what was observed of its cloud.

    `write_lease` is entered before a scope's first write and left when the scope has nothing in flight any more.
    """

    def __init__(
        self, name: str, info: DriverInfo, driver: Driver, *, write_lease: WriteLease | NoWriteLease | None = None
    ) -> None:
        self.name = name
        self.info = info
        self.driver = driver
        self.write_lease = write_lease or NoWriteLease()
        self.nodes = NodeTracker(ready_node=info.ready_node, identity=info.node_identity)
        self.services: dict[Identity, Tracked] = {}
        self.observed: dict[Scope, Observed] = {}
        self.written_at: dict[Scope, float] = {}
        self.in_flight: dict[str, InFlight] = {}
        self.arrived: dict[Scope, list[tuple[Action, LbctlError]]] = defaultdict(list)
        self.bisections: dict[Scope, Bisection] = {}
        self.culprits: dict[tuple[Scope, Identity], Culprit] = {}
        self.orphan_watch = OrphanWatch()
        self.failures: dict[Scope, dict[str, Failure]] = defaultdict(dict)
        self.plans: dict[Scope, Plan] = {}
        self.conflicts: dict[Scope, int] = defaultdict(int)
        self.node_updates: dict[Scope, float] = {}
        self.paused_until = 0.0
        self.unauthenticated: LbctlError | None = None
        self.snapshot_at: float | None = None
        self.last_snapshot_error: LbctlError | None = None
        self.slices: dict[str, dict[str, EndpointSlice]] = {}
        self.pods: dict[str, Pod] = {}
        self.references = References(info.refers_to)
        self._lock = threading.RLock()
        self._members: dict[Scope, set[Identity]] = defaultdict(set)
        self._owners: dict[Identity, set[Scope]] = defaultdict(set)

    def track(self, tracked: Tracked, scopes: tuple[Scope, ...]) -> frozenset[Scope]:
        """Remember a Service and which scopes it takes part in; returns the scopes that it joined or left."""
        with self._lock:
            before = set(tracked.scopes) if tracked.identity in self.services else set()
            self.services[tracked.identity] = tracked
            for scope in before.difference(scopes):
                _drop(self._members, scope, tracked.identity)
            for scope in scopes:
                self._members[scope].add(tracked.identity)
            tracked.scopes = scopes
            self.references.note(tracked.identity, tracked.references)
            return frozenset(before.symmetric_difference(scopes))

    def forget(self, identity: Identity) -> None:
        """Drop a Service that is gone together with everything that it had."""
        with self._lock:
            tracked = self.services.pop(identity, None)
            self.references.note(identity, frozenset())
            for scope in tracked.scopes if tracked else ():
                self.culprits.pop((scope, identity), None)
                _drop(self._members, scope, identity)

    def forget_ended(self, *, before: float) -> None:
        """Drop the notes on scopes in which nothing was there or wanted at that time (monotonic) and is now.

        A later reading cannot be older than the last write to such a scope, so nobody has to know of it any more.
        """
        with self._lock:
            alive = self.all_scopes() | {flight.scope for flight in list(self.in_flight.values())}
            for scope in [s for s, written in self.written_at.items() if written < before and s not in alive]:
                del self.written_at[scope]
            for notes in (self.plans, self.node_updates, self.failures, self.conflicts):
                for scope in [s for s in list(notes) if s not in alive and s not in self.written_at]:
                    notes.pop(scope, None)

    def see(self, observed: Observed, *, now: float) -> None:
        """Take over what was read, or what a reply confirmed, of one scope."""
        with self._lock:
            scope = observed.scope
            before = self.observed.get(scope)
            old_owners = before.owners() if before is not None else frozenset()
            new_owners = observed.owners()
            for owner in old_owners - new_owners:
                _drop(self._owners, owner, scope)
            for owner in new_owners - old_owners:
                self._owners[owner].add(scope)
            self.written_at[scope] = now
            if observed.resources or not observed.complete:
                self.observed[scope] = observed
            else:
                self.observed.pop(scope, None)

    def look(self, scope: Scope) -> Observed:
        """What is known of a scope; after a complete snapshot, nothing seen means that nothing is there."""
        known = self.observed.get(scope)
        if known is not None:
            return known
        return Observed(scope, read_at=self.snapshot_at or 0.0, complete=self.snapshot_at is not None)

    def basis(self, tracked: Tracked) -> Basis:
        """What a plan for the Service would be made from now."""
        return Basis(tracked.intent, tracked.edits, self.nodes.current.generation, tracked.moves)

    def tracked(self, identities: Iterable[Identity]) -> tuple[Tracked, ...]:
        """Those of these Services that are known, in a stable order."""
        return tuple(self.services[identity] for identity in sorted(identities) if identity in self.services)

    def scopes_with(self, identity: Identity) -> frozenset[Scope]:
        """Scopes in which objects of this Service were seen."""
        with self._lock:
            return frozenset(self._owners.get(identity, ()))

    def has_objects(self, identity: Identity) -> bool:
        """True while anything of this Service's is known to be in the cloud."""
        return bool(self._owners.get(identity))

    def members(self, scope: Scope) -> tuple[Tracked, ...]:
        """Tracked Services that take part in a scope or still own something in it, in a stable order."""
        with self._lock:
            identities = set(self._members.get(scope, ()))
            observed = self.observed.get(scope)
            if observed is not None:
                identities |= observed.owners()
            return self.tracked(identities)

    def scopes_of(self, tracked: Tracked) -> frozenset[Scope]:
        """Every scope that concerns a Service: those it asks for and those in which it has something."""
        return frozenset(tracked.scopes) | self.scopes_with(tracked.identity)

    def rank(self, scope: Scope) -> int:
        """Position of the scope's kind in the driver's order; a scope without objects comes first."""
        kinds = self.info.scope_kinds
        return kinds.index(scope.kind) if scope.kind in kinds else -1

    def all_scopes(self) -> frozenset[Scope]:
        """Every scope that any Service asks for or in which something was seen."""
        with self._lock:
            return frozenset(self._members) | frozenset(self.observed)

    def in_flight_of(self, scope: Scope) -> Iterator[InFlight]:
        """Operations of one scope that the cloud is still working on."""
        return (flight for flight in list(self.in_flight.values()) if flight.scope == scope)

    def land(self, operation: str, outcome: Outputs | LbctlError, *, now: float) -> InFlight | None:
        """Take over what became of an operation, None when nobody here waits for it any more."""
        flight = self.in_flight.pop(operation, None)
        if flight is None:
            return None
        known = self.look(flight.scope)
        if isinstance(outcome, Outputs):
            self.see(known.with_outputs(outcome), now=now)
        else:
            # What the reply had confirmed early may not have come to be.
            self.see(known.doubted(), now=now)
            self.arrived[flight.scope].append((flight.action, outcome))
        return flight

    def scopes_beside(self, flight: InFlight) -> frozenset[Scope]:
        """The other scopes of the Services for which an action was made."""
        owners = (self.services[owner] for owner in flight.action.owners if owner in self.services)
        return frozenset(scope for tracked in owners for scope in self.scopes_of(tracked)) - {flight.scope}

    def strangers(self) -> Iterator[tuple[Scope, Identity]]:
        """Owners of observed objects that are no tracked Service; `orphan_watch` tells which of them to believe."""
        for identity, scopes in list(self._owners.items()):
            if identity not in self.services:
                yield from ((scope, identity) for scope in sorted(scopes))

    def forget_slice(self, gone: EndpointSlice) -> None:
        """Drop an EndpointSlice that is gone, or that may be another Service's from now on."""
        known = self.slices.get(gone.service_key, {})
        known.pop(gone.key, None)
        if not known:
            self.slices.pop(gone.service_key, None)

    def slices_of(self, members: Iterable[Tracked]) -> dict[Identity, tuple[EndpointSlice, ...]]:
        """The EndpointSlices of Services and of those that they refer to, by name of the slice.

        Empty unless the driver watches them.
        """
        if "endpointslices" not in self.info.watches:
            return {}
        own = [member.identity for member in members]
        listed = (*own, *map(identity_of, self.references.services_of(own)))
        # A copy each, made in one step: the watch puts slices in and takes them out meanwhile.
        by_name = ((identity, dict(self.slices.get(identity.key, {}))) for identity in listed)
        return {identity: tuple(slices[name] for name in sorted(slices)) for identity, slices in by_name}

    @property
    def gates(self) -> JudgesGates | None:
        """The driver, when Pods may wait for its targets; what measures its stages would hide it from `isinstance`."""
        return cast("JudgesGates", self.driver) if "pods" in self.info.watches else None

    def served_by(self, pod: Pod) -> tuple[Tracked, ...]:
        """The Services whose EndpointSlices, or those of a Service that they refer to, list this Pod."""
        near = (t for t in list(self.services.values()) if t.identity.namespace == pod.metadata.namespace)
        return tuple(tracked for tracked in near if self._lists(tracked, pod.metadata.uid))

    def _lists(self, tracked: Tracked, uid: str) -> bool:
        slices = (one for listed in self.slices_of([tracked]).values() for one in listed)
        endpoints = (endpoint for one in slices for endpoint in one.endpoints or ())
        return any(endpoint.target_ref is not None and endpoint.target_ref.uid == uid for endpoint in endpoints)

    def intents(self, members: Iterable[Tracked]) -> dict[Identity, Intent]:
        """The wishes of those Services that are wanted."""
        return {
            tracked.identity: tracked.intent
            for tracked in members
            if tracked.standing is Standing.WANTED and tracked.intent is not None
        }


def _drop(sets: dict[K, set[V]], key: K, value: V) -> None:
    """Take a value out of the set of a key, and the key with its last one."""
    sets[key].discard(value)
    if not sets[key]:
        del sets[key]
