"""One pass over one scope: mark, plan, apply, publish.

`reconcile` is a generator that yields before every write, so that the thread loop simply exhausts it while the
simulator interleaves two leaders or kills one at any point. It never sleeps; it returns when to come back.
"""

from __future__ import annotations

from collections.abc import Generator

from lbctl.engine.account import Account
from lbctl.engine.announcing import Announcer
from lbctl.engine.applying import Applier
from lbctl.engine.claim import Standing
from lbctl.engine.marking import Marker, is_retained
from lbctl.engine.passes import ComeBack, Pass, Shared, Steps
from lbctl.engine.planning import Planned, build_world, plan_scope
from lbctl.engine.tracked import Tracked
from lbctl.errors import InvalidService, LbctlError, Retry
from lbctl.model.resource import Desired, Identity, Scope
from lbctl.plan.order import build_plan

MAX_ROUNDS = 60
NO_OBJECTS = ""
"""Kind of the scope of a Service that has nothing in the cloud and asks for nothing that could be planned."""


class Reconciler:
    """Runs passes of one driver account; one scope must not be run twice at once."""

    def __init__(self, account: Account, shared: Shared) -> None:
        self._account = account
        self._shared = shared
        self._marker = Marker(account, shared)
        self._applier = Applier(account, shared)
        self._announcer = Announcer(account, shared, self._marker)

    def reconcile(self, scope: Scope) -> Generator[str, None, ComeBack]:
        """Bring one scope to what its Services ask for, as far as possible now."""
        state = Pass(scope)
        yield from self._marker.mark(state)
        if scope.kind != NO_OBJECTS:
            self._take_arrived(state)
            yield from self._rounds(state)
            yield from self._release(state)
        self._schedule(state)
        # Publishing takes the finalizer off, after which a Service that only changed its type is forgotten.
        others = self._others(state)
        yield from self._announcer.publish(state)
        if state.waits:
            # What we wait for is the cloud's doing: read again when it is time. Doubted any earlier, the scope of one
            # that waits would hold everybody back who leaves.
            self._applier.doubt(scope)
        state.comeback.touched = frozenset((others | state.homes) - {state.scope})
        return state.comeback

    def _take_arrived(self, state: Pass) -> None:
        for action, error in self._account.arrived.pop(state.scope, []):
            self._applier.failed(state, action, error)

    def _rounds(self, state: Pass) -> Steps:
        """Plan and apply until the plan is empty, waits, or fails; a plan may so have several stages."""
        for _ in range(MAX_ROUNDS):
            if state.stopped:
                return
            before = state.planned if state.acted and not state.again else None
            state.again = state.acted = False
            try:
                yield from self._observe_if_doubted(state)
                state.planned = self._plan(state)
            except LbctlError as error:
                self._applier.scope_failed(state, error)
                return
            if before is not None and self._is_same(before, state.planned) and not state.errors:
                state.unfinished = True
                return
            for call in self._applier.run(state, state.planned):
                self._announcer.begin(state)
                yield call
            self._applier.advance_bisection(state)
            if not (state.again or (state.acted and not state.errors)):
                return

    def _is_same(self, before: Planned, after: Planned) -> bool:
        """True when what was just carried out is planned again: the cloud took it and did not do all of it."""
        return bool(after.plan.actions) and before.plan.digest == after.plan.digest and before.frozen == after.frozen

    def _observe_if_doubted(self, state: Pass) -> Steps:
        account = self._account
        unproven = [t for t in account.members(state.scope) if self._needs_a_look(t)]
        if account.look(state.scope).complete and not unproven:
            return
        yield "observe"
        members = account.members(state.scope)
        world = build_world(account, members, cluster=self._shared.cluster, now=self._shared.clock.now())
        account.see(account.driver.observe(state.scope, world), now=self._shared.clock.monotonic())
        for tracked in unproven:
            tracked.looked = True

    def _needs_a_look(self, tracked: Tracked) -> bool:
        """A Service that leaves without anything of it ever seen: a list may lag, so the cloud is asked directly."""
        if tracked.standing is not Standing.LEAVING or tracked.looked or tracked.had_objects:
            return False
        return not self._account.has_objects(tracked.identity)

    def _plan(self, state: Pass) -> Planned:
        state.bases = {member.identity: self._account.basis(member) for member in self._account.members(state.scope)}
        planned = plan_scope(
            self._account,
            state.scope,
            cluster=self._shared.cluster,
            policy=self._shared.policy,
            now=self._shared.clock.now(),
            extra_frozen=frozenset(state.unmarked) | self._retained(state.scope),
            approved=self._shared.approved,
        )
        for identity, problems in planned.desired.rejected.items():
            state.errors[identity] = InvalidService(problems)
        self._account.plans[state.scope] = planned.plan
        self._applier.forgive(state.scope, planned.full)
        return planned

    def _release(self, state: Pass) -> Steps:
        """Take our marks off what leaving Services want to keep."""
        observed = self._account.look(state.scope)
        for identity in sorted(self._retained(state.scope)):
            if not state.stopped and observed.owned_by(identity):
                actions = self._account.driver.release(identity, observed)
                plan = build_plan(state.scope, actions)
                yield from self._applier.run(state, Planned(plan, plan, Desired(state.scope), observed, frozenset()))

    def _retained(self, scope: Scope) -> frozenset[Identity]:
        return frozenset(t.identity for t in self._account.members(scope) if is_retained(t))

    def _schedule(self, state: Pass) -> None:
        """Say when to come back for what failed as a whole; single actions have said so themselves."""
        key = (self._account.name, state.scope)
        now = self._shared.clock.monotonic()
        unmarked = [state.errors[i] for i in state.unmarked if i in state.errors]
        failed = [*unmarked, *([state.scope_error] if state.scope_error else [])]
        for error in failed:
            if error.retry is Retry.AFTER:
                state.comeback.not_later_than(now + error.after_seconds)
        growing = [e for e in failed if e.retry not in (Retry.AFTER, Retry.WHEN_CHANGED, Retry.NEVER)]
        if state.unfinished or growing:
            state.comeback.not_later_than(now + self._shared.backoff.failed(key))
        elif not state.stopped:
            self._shared.backoff.reset(key)
            self._account.conflicts.pop(state.scope, None)

    def _others(self, state: Pass) -> frozenset[Scope]:
        """Other scopes of the Services that changed here, and those that leaving ones still have to empty."""
        account = self._account
        touched = [account.services[i] for i in state.changed | state.marked if i in account.services]
        others = {scope for tracked in touched for scope in account.scopes_of(tracked)}
        if not state.stopped:
            leaving = (m for m in account.members(state.scope) if m.standing is Standing.LEAVING and state.changed)
            others |= {scope for tracked in leaving for scope in account.scopes_with(tracked.identity)}
        return frozenset(others)
