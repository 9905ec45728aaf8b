"""Decides which scopes have to be worked on: from watch events, timers and replies to keys in the queue.

Knows every account, no threads and no I/O but what a piece of work does when it is run. The thread loop and the
simulator drive it in the same way: feed events, call `tick`, take `next_work`, exhaust `run`, hand back with `done`.
"""

from __future__ import annotations

import enum
import logging
import random
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass

from lbctl.driver import Referred
from lbctl.engine.account import Account
from lbctl.engine.claim import ClaimRules
from lbctl.engine.gates import GateKeeper
from lbctl.engine.intake import Intake
from lbctl.engine.moves import Moves
from lbctl.engine.nodes import Verdict
from lbctl.engine.passes import ComeBack, Shared
from lbctl.engine.queue import Priority, ScopeQueue
from lbctl.engine.reconcile import Reconciler
from lbctl.engine.snapshots import Snapshots
from lbctl.errors import KubeError, LbctlError, NotAuthenticated, Throttled
from lbctl.model.node import NodeSet
from lbctl.model.objects import EndpointSlice, Node, Pod, Service
from lbctl.model.reference import SERVICES
from lbctl.model.resource import Scope

log = logging.getLogger(__name__)

DRIFT_SECONDS = 600.0
DRIFT_JITTER = 0.1
RETRY_SNAPSHOT_SECONDS = 30.0
LONGEST_POLL_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 4.0


class Task(enum.Enum):
    """Kinds of work."""

    RECONCILE = "reconcile"
    SNAPSHOT = "snapshot"
    POLL = "poll"
    GATES = "gates"


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work; `scope` is None for work on a whole account."""

    account: str
    task: Task
    scope: Scope | None = None


class Controller:
    """All accounts of this process, and the queue of their scopes.

    `list_services` and `list_nodes` read the API server live; they are used rarely, by work that has to be sure.
    """

    def __init__(
        self,
        accounts: Mapping[str, Account],
        *,
        rules: ClaimRules,
        shared: Shared,
        source: random.Random,
        list_services: Callable[[], Iterable[Service]],
        list_nodes: Callable[[], Iterable[Node]],
        drift_seconds: float = DRIFT_SECONDS,
    ) -> None:
        self.accounts = dict(accounts)
        self.queue: ScopeQueue[Work] = ScopeQueue()
        self.retried = 0
        self._rules = rules
        self._shared = shared
        self._random = source
        self._list_services = list_services
        self._list_nodes = list_nodes
        self._drift_seconds = drift_seconds
        self._reconcilers = {
            name: Reconciler(account, shared, others=[one for one in self.accounts.values() if one is not account])
            for name, account in self.accounts.items()
        }
        self._keepers = {name: GateKeeper(account, shared, source) for name, account in self.accounts.items()}
        self.intake = Intake(self.accounts, rules=rules, shared=shared, touch=self._touch_all)
        self._moves = Moves(
            self.accounts, self.intake, self._keepers, touch=self._touch, look_at_gates=self._look_at_gates
        )
        self._snapshots = {
            name: Snapshots(account, self.intake, shared, list_services=list_services)
            for name, account in self.accounts.items()
        }
        self._lock = threading.RLock()
        self._started = False
        self._only: frozenset[tuple[str, Scope]] | None = None

    # -- events from the watches ------------------------------------------------------------------------------------

    def start(self, services: Iterable[Service], nodes: Iterable[Node]) -> None:
        """Begin with full lists; every account first takes a snapshot, and only then is anything planned.

        The lists are read under the controller's lock, so that a store that a watch keeps filling can be given: what
        it delivers meanwhile waits and is not lost.
        """
        with self._lock:
            now = self._now()
            listed = list(nodes)
            for account in self.accounts.values():
                account.nodes.load(listed, now=now)
            for service in services:
                self._moves.see_referred(SERVICES, None, service)
                self.intake.see(service)
            self._started = True
            for name in self.accounts:
                self.queue.later(Work(name, Task.SNAPSHOT), at=now)

    def see_service(self, old: Service | None, new: Service | None) -> None:
        """Take note of a Service's change; None means that it does not exist."""
        with self._lock:
            if not self._started:
                return
            self._moves.see_referred(SERVICES, old, new)
            if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
                self.intake.vanish(old)
            if new is not None:
                self.intake.see(new)

    def see_node(self, old: Node | None, new: Node | None) -> None:
        """Take note of a Node's change."""
        with self._lock:
            if not self._started:
                return
            name = (new or old).metadata.name if (new or old) else ""  # type: ignore[union-attr]  # one of them is given
            for account in self.accounts.values():
                account.nodes.see(name, new, now=self._now())

    def see_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """Take note of a change of a Service's endpoints, for the drivers that target pods."""
        with self._lock:
            self._moves.see_slice(old, new)

    def see_pod(self, old: Pod | None, new: Pod | None) -> None:
        """Take note of a change of a Pod that carries readiness gates, for the drivers that judge them."""
        with self._lock:
            self._moves.see_pod(old, new)

    def see_referred(self, resource: str, old: Referred | None, new: Referred | None) -> None:
        """Take note of a change of an object that Services may refer to, other than a Service of type LoadBalancer."""
        with self._lock:
            self._moves.see_referred(resource, old, new)

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Settle the node sets that are due; one live list of the Nodes for those that shrank beyond belief."""
        with self._lock:
            known = self.accounts.values() if self._started else ()
            doubted = [account for account in known if self._settle_nodes(account) is Verdict.CONFIRM]
        if doubted:
            self._confirm_nodes(doubted)

    def next_due(self) -> float | None:
        """When `tick` or the next piece of work is due; None when nothing waits."""
        with self._lock:
            times = [account.nodes.next_due() for account in self.accounts.values()]
            times.append(self.queue.next_due())
            return min((time for time in times if time is not None), default=None)

    def next_work(self) -> Work | None:
        """The most urgent piece of work that is due; it must be handed back with `done`."""
        with self._lock:
            now = self._now()
            while True:
                work = self.queue.pop(now)
                if work is None or self._may_run(work, now):
                    return work

    def done(self, work: Work) -> None:
        """Hand a piece of work back."""
        with self._lock:
            self.queue.done(work)

    def put_back(self, work: Work) -> None:
        """Hand a piece of work back undone; it is due at once."""
        with self._lock:
            self.queue.done(work)
            self.queue.later(work, at=self._now())

    # -- work -------------------------------------------------------------------------------------------------------

    def run(self, work: Work) -> Generator[str, None, None]:
        """Do one piece of work; yields before every call that writes, raises `LostLease` when it may not write."""
        account = self.accounts[work.account]
        if work.task is Task.SNAPSHOT:
            yield "snapshot"
            self._snapshot(account)
        elif work.task is Task.POLL:
            yield "poll"
            self._poll(account)
        elif work.task is Task.GATES:
            look_at = yield from self._keepers[work.account].look()
            self._look_at_gates(account, look_at)
        elif work.scope is not None:
            comeback = yield from self._reconcilers[work.account].reconcile(work.scope)
            if next(account.in_flight_of(work.scope), None) is None:
                account.write_lease.leave(work.scope)
            self._follow_up(account, work, comeback)
        self._shared.backoff.reset(work)

    def resync(self, account: Account, scope: Scope, *, priority: Priority = Priority.USER) -> None:
        """Have a scope worked on soon."""
        with self._lock:
            self._touch(account, scope, priority)

    def twin(self, accounts: Mapping[str, Account]) -> Controller:
        """A controller with the same rules over other accounts, to plan with."""
        return Controller(
            accounts,
            rules=self._rules,
            shared=self._shared,
            source=self._random,
            list_services=self._list_services,
            list_nodes=self._list_nodes,
            drift_seconds=self._drift_seconds,
        )

    def limit_to(self, scopes: Iterable[tuple[str, Scope]]) -> None:
        """Work on these scopes only, given with the name of their account; what else is queued is dropped."""
        with self._lock:
            self._only = frozenset(scopes)

    def approve(self, digests: Iterable[str]) -> None:
        """Let held plans with these digests run, as their Services' annotation would."""
        self._shared.approved |= frozenset(digests)

    def waiting(self, now: float) -> tuple[int, float]:
        """How many pieces of work are due, and for how many seconds the oldest has been."""
        with self._lock:
            return self.queue.overdue(now)

    def retry(self, work: Work) -> None:
        """Queue a piece of work again after it ended with an error that it did not handle itself."""
        with self._lock:
            self.retried += 1
            self.queue.later(work, at=self._now() + self._shared.backoff.failed(work))

    @property
    def is_settled(self) -> bool:
        """True when nothing is worked on, in flight or due soon: what is left are retries and drift checks."""
        with self._lock:
            flights = any(account.in_flight for account in self.accounts.values())
            unread = any(account.snapshot_at is None for account in self.accounts.values())
            due = self.queue.next_due()
            soon = due is not None and due <= self._now() + SETTLED_SECONDS
            return not (self.queue.working or flights or unread or soon)

    # -- nodes ------------------------------------------------------------------------------------------------------

    def _confirm_nodes(self, doubted: Iterable[Account]) -> None:
        """Read the Nodes live, with the lock free meanwhile; without an answer the trackers ask again."""
        try:
            live = list(self._list_nodes())
        except KubeError as error:
            log.warning("could not confirm that nodes are gone: %s", error)
            return
        with self._lock:
            for account in doubted:
                account.nodes.load_live(live, now=self._now())
                self._settle_nodes(account, confirmed=True)

    def _settle_nodes(self, account: Account, *, confirmed: bool = False) -> Verdict:
        before, now = account.nodes.current, self._now()
        verdict = account.nodes.settle(now, confirmed=confirmed)
        # The first snapshot has every scope planned, with the nodes of then.
        if verdict is Verdict.CHANGED and account.snapshot_at is not None:
            self._queue_node_updates(account, before, now)
        return verdict

    def _queue_node_updates(self, account: Account, before: NodeSet, now: float) -> None:
        remaining = {node.metadata.uid for node in account.nodes.current}
        removed = any(node.metadata.uid not in remaining for node in before)
        for scope in sorted(account.all_scopes()):
            if scope.kind in account.info.node_kinds:
                earliest = account.node_updates.get(scope, 0.0) + account.info.min_node_sync_seconds
                at = now if removed else max(now, earliest)
                account.node_updates[scope] = at
                self.queue.later(Work(account.name, Task.RECONCILE, scope), at=at, priority=Priority.NODES)

    # -- the queue --------------------------------------------------------------------------------------------------

    def _touch(self, account: Account, scope: Scope, priority: Priority) -> None:
        if account.snapshot_at is not None:
            self.queue.touch(Work(account.name, Task.RECONCILE, scope), now=self._now(), priority=priority)

    def _touch_all(self, account: Account, scopes: Iterable[Scope], *, going: bool = False) -> None:
        """Touch scopes in the order of their rank, the other way round for what goes away."""
        ranked = sorted(scopes, key=lambda scope: (account.rank(scope), scope), reverse=going)
        for scope in ranked:
            self._touch(account, scope, Priority.USER)

    def _may_run(self, work: Work, now: float) -> bool:
        """While credentials are refused, one piece of work probes and everything else of the account waits."""
        if self._only is not None and not self._is_among(work, self._only):
            self.queue.done(work)
            return False
        account = self.accounts[work.account]
        if account.unauthenticated is None:
            return True
        others = [w for w in self.queue.working if w.account == work.account and w != work]
        if account.paused_until <= now and not others:
            return True
        self.queue.done(work)
        self.queue.later(work, at=max(account.paused_until, now + 1.0), priority=Priority.NODES)
        return False

    def _is_among(self, work: Work, chosen: frozenset[tuple[str, Scope]]) -> bool:
        """True for the chosen scopes, and for what is read for all of an account."""
        return work.task is not Task.GATES if work.scope is None else (work.account, work.scope) in chosen

    def _look_at_gates(self, account: Account, at: float | None) -> None:
        if at is not None:
            self.queue.later(Work(account.name, Task.GATES), at=at, priority=Priority.NODES)

    def _follow_up(self, account: Account, work: Work, comeback: ComeBack) -> None:
        with self._lock:
            if account.paused_until <= self._now():
                account.unauthenticated = None
            if comeback.at is not None:
                self.retried += 1
                self.queue.later(work, at=comeback.at)
            self._touch_all(account, comeback.touched)
            for identity in comeback.gone:
                self.intake.forget(account, identity)
            if self._keepers[account.name].has_unknown:
                self._look_at_gates(account, self._now())
            self._schedule_poll(account)

    # -- snapshots and polls ----------------------------------------------------------------------------------------

    def _snapshot(self, account: Account) -> None:
        snapshots = self._snapshots[account.name]
        try:
            reading = snapshots.read()
        except (LbctlError, KubeError) as error:
            self._snapshot_failed(account, error)
            return
        with self._lock:
            is_first = account.snapshot_at is None
            for scope in sorted(snapshots.take(reading)):
                self._touch(account, scope, Priority.DRIFT)
            if is_first and account.pods:
                self._look_at_gates(account, self._now())
            for service in reading.leftovers:
                self.intake.consider(service)
            pause = self._drift_seconds * self._random.uniform(1 - DRIFT_JITTER, 1 + DRIFT_JITTER)
            self.queue.later(Work(account.name, Task.SNAPSHOT), at=self._now() + pause, priority=Priority.DRIFT)

    def _snapshot_failed(self, account: Account, error: LbctlError) -> None:
        pause = RETRY_SNAPSHOT_SECONDS
        if isinstance(error, (NotAuthenticated, Throttled)):
            pause = error.after_seconds
            account.paused_until = self._now() + pause
        with self._lock:
            account.last_snapshot_error = error
            self.queue.later(Work(account.name, Task.SNAPSHOT), at=self._now() + pause)

    def _schedule_poll(self, account: Account) -> None:
        due = min((flight.due for flight in list(account.in_flight.values())), default=None)
        if due is not None:
            self.queue.later(Work(account.name, Task.POLL), at=due)

    def _poll(self, account: Account) -> None:
        try:
            outcomes = account.driver.poll([flight.pending for flight in list(account.in_flight.values())])
        except LbctlError as error:
            log.warning("could not ask account %s for its operations: %s", account.name, error)
            pause = max(1.0, min(error.after_seconds, LONGEST_POLL_PAUSE_SECONDS))
            with self._lock:
                self.queue.later(Work(account.name, Task.POLL), at=self._now() + pause)
            return
        with self._lock:
            for operation, outcome in outcomes.items():
                flight = account.land(operation, outcome, now=self._now())
                if flight is not None:
                    self.queue.later(Work(account.name, Task.RECONCILE, flight.scope), at=self._now())
                    # What it brought, such as an address, is what other scopes of its Services may have waited for.
                    for scope in account.scopes_beside(flight):
                        self._touch(account, scope, Priority.USER)
            if account.in_flight:
                pause = min(flight.pending.poll_after for flight in account.in_flight.values())
                self.queue.later(Work(account.name, Task.POLL), at=self._now() + max(pause, 0.1))

    def _now(self) -> float:
        return self._shared.clock.monotonic()
