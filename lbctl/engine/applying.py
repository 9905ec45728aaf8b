"""Carries a plan out, action by action, and decides what each error means for the rest.

Between two actions the process may die: every action is safe to repeat, and what a reply confirmed is in the account's
cache before the next action starts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from lbctl.driver import Pending, Refs
from lbctl.engine.account import Account, Failure, InFlight
from lbctl.engine.bisection import Bisection
from lbctl.engine.passes import Pass, Shared, Steps
from lbctl.engine.planning import Planned, build_world
from lbctl.engine.tracked import Basis
from lbctl.errors import (
    CloudBug,
    Conflict,
    InvalidService,
    LbctlError,
    LostLease,
    NotAuthenticated,
    Rejected,
    Retry,
    Throttled,
    Unreachable,
)
from lbctl.model.problem import Problem
from lbctl.model.resource import Identity, Observed, Outputs, Scope, State
from lbctl.plan.actions import Action, Plan, digest
from lbctl.plan.policy import Mode

log = logging.getLogger(__name__)

MAX_CONFLICTS = 5


class Applier:
    """Runs plans of one driver account."""

    def __init__(self, account: Account, shared: Shared) -> None:
        self._account = account
        self._shared = shared

    def run(self, state: Pass, planned: Planned) -> Steps:
        """Carry out every action whose predecessors succeeded; what is in flight already is left alone."""
        state.complete = False
        if self._shared.policy.mode is Mode.OBSERVE:
            return
        present = {action.id for action in planned.plan.actions}
        flying = [flight.action for flight in self._account.in_flight_of(state.scope)]
        done: set[str] = set()
        for action in planned.plan.actions:
            if not (action.after & present) <= done or _must_wait_for(action, flying) or self._rests(state, action):
                continue
            if self._is_paused(state):
                return
            self._note_causes(state, action)
            yield action.call
            if self._apply(state, action, planned):
                done.add(action.id)
            if state.again or state.stopped:
                return
        state.complete = len(done) == len(planned.plan.actions)
        self._note_waits(state, planned.plan)

    def failed(self, state: Pass, action: Action, error: LbctlError) -> None:
        """Decide what the failure of an action means; also called for operations that fail after their reply."""
        owners = action.owners or self._everybody(state.scope)
        if isinstance(error, Rejected):
            self._rejected(state, action, error)
        elif isinstance(error, Conflict):
            self._conflict(state, action, error)
        elif isinstance(error, Throttled):
            self.pause(state, error.after_seconds)
        else:
            self._unauthenticated(error)
            if isinstance(error, (Unreachable, CloudBug, NotAuthenticated)):
                state.stopped = True
                self.doubt(state.scope)
            self._rest(state, action, error)
            state.blame(owners, error)

    def scope_failed(self, state: Pass, error: LbctlError) -> None:
        """Take note that a scope could not be planned at all."""
        if isinstance(error, Throttled):
            self.pause(state, error.after_seconds)
            return
        self._unauthenticated(error)
        if isinstance(error, Conflict):
            self.doubt(state.scope)
        state.scope_error = error
        state.blame(self._everybody(state.scope), error)

    def advance_bisection(self, state: Pass) -> None:
        """Go on to the next group of suspects when the present one went through."""
        bisection = self._account.bisections.get(state.scope)
        if bisection is None:
            return
        if state.complete and not bisection.is_over:
            bisection.passed()
            state.again = True
        if bisection.is_over:
            del self._account.bisections[state.scope]

    def pause(self, state: Pass, seconds: float) -> None:
        """Stop all writes of this account for a while; nobody is to blame."""
        account = self._account
        account.paused_until = max(account.paused_until, self._shared.clock.monotonic() + seconds)
        state.comeback.not_later_than(account.paused_until)
        state.stopped = True

    def doubt(self, scope: Scope) -> None:
        """Have a scope read again before anything is concluded from it."""
        self._see(self._account.look(scope).doubted())

    def forgive(self, scope: Scope, plan: Plan) -> None:
        """Forget the failures of actions that are not planned any more."""
        failures = self._account.failures.get(scope)
        if failures:
            planned = {digest((action,)) for action in (*plan.actions, *plan.held)}
            for name in failures.keys() - planned:
                self._forget(scope, name)

    def _rest(self, state: Pass, action: Action, error: LbctlError) -> None:
        """Have a failed action rest until its error's time, or for a growing pause."""
        name = digest((action,))
        growing = error.retry is not Retry.AFTER
        key = (self._account.name, state.scope, name)
        pause = self._shared.backoff.failed(key) if growing else error.after_seconds
        until = self._shared.clock.monotonic() + pause
        self._account.failures[state.scope][name] = Failure(until, error)
        state.comeback.not_later_than(until)

    def _rests(self, state: Pass, action: Action) -> bool:
        """True while just this action has failed and its pause is not over."""
        failures = self._account.failures.get(state.scope)
        failure = failures.get(digest((action,))) if failures else None
        if failure is None or failure.until <= self._shared.clock.monotonic():
            return False
        state.blame(action.owners or self._everybody(state.scope), failure.error)
        state.comeback.not_later_than(failure.until)
        return True

    def _forget(self, scope: Scope, name: str) -> None:
        self._account.failures[scope].pop(name, None)
        self._shared.backoff.reset((self._account.name, scope, name))

    def _apply(self, state: Pass, action: Action, planned: Planned) -> bool:
        """Carry out one action; True when what comes after it may go on."""
        self._shared.may_write()
        try:
            self._account.write_lease.enter(state.scope)
            reply = self._call(state, action, planned)
        except LostLease:
            raise
        except LbctlError as error:
            self.failed(state, action, error)
            return False
        except Exception as bug:
            log.exception("%s for %s failed inside lbctl", action.call, state.scope)
            self._shared.on_bug(bug)
            self.failed(state, action, CloudBug(f"{action.call} failed inside lbctl: {type(bug).__name__}: {bug}"))
            return False
        if self._account.failures.get(state.scope):
            self._forget(state.scope, digest((action,)))
        state.changed.update(action.owners)
        self._shared.on_applied(self._account, action)
        if isinstance(reply, Pending):
            self._accepted(state, action, reply)
            return False
        self._see(self._account.look(state.scope).with_outputs(reply))
        state.acted = True
        return True

    def _call(self, state: Pass, action: Action, planned: Planned) -> Outputs | Pending:
        if action.annotations:
            self._annotate(action)
            return Outputs()
        members = (t for t in self._account.members(state.scope) if t.identity not in planned.frozen)
        world = build_world(self._account, members, cluster=self._shared.cluster, now=self._shared.clock.now())
        return self._account.driver.apply(action, Refs(self._account.look(state.scope), world))

    def _annotate(self, action: Action) -> None:
        for identity, changes in action.annotations.items():
            tracked = self._account.services[identity]
            status = tracked.service.status
            tracked.service = self._shared.writer.write_status(
                tracked.service,
                ingress=status.load_balancer.ingress,
                conditions=status.conditions,
                annotations=dict(changes),
            )

    def _accepted(self, state: Pass, action: Action, pending: Pending) -> None:
        now = self._shared.clock.monotonic()
        flight = InFlight(state.scope, action, pending, since=now, due=now + pending.poll_after)
        self._account.in_flight[pending.operation] = flight
        early = replace(pending.early, seen=tuple(replace(s, state=State.PENDING) for s in pending.early.seen))
        if early.seen or early.gone:
            self._see(self._account.look(state.scope).with_outputs(early))

    def _note_causes(self, state: Pass, action: Action) -> None:
        for owner in action.owners:
            tracked = self._account.services.get(owner)
            if tracked is not None and tracked.changing is None:
                tracked.changing = tracked.cause(state.scope, state.bases.get(owner, Basis()))
                state.begun.append(tracked)

    def _note_waits(self, state: Pass, plan: Plan) -> None:
        for wait in plan.waits:
            state.comeback.not_later_than(self._shared.clock.monotonic() + wait.poll_after)
        state.waits = bool(plan.waits)

    def _is_paused(self, state: Pass) -> bool:
        paused_for = self._account.paused_until - self._shared.clock.monotonic()
        if paused_for > 0:
            self.pause(state, paused_for)
        return state.stopped

    def _unauthenticated(self, error: LbctlError) -> None:
        if isinstance(error, NotAuthenticated):
            self._account.unauthenticated = error
            self._account.paused_until = self._shared.clock.monotonic() + error.after_seconds

    def _conflict(self, state: Pass, action: Action, error: Conflict) -> None:
        self.doubt(state.scope)
        self._account.conflicts[state.scope] += 1
        if self._account.conflicts[state.scope] <= MAX_CONFLICTS:
            state.again = True
        else:
            self._give_up(state, action, error)

    def _rejected(self, state: Pass, action: Action, error: Rejected) -> None:
        """Find the one Service to blame: halve the suspects until one is alone."""
        bisection = self._account.bisections.get(state.scope)
        state.again = True
        if bisection is not None and not bisection.is_over:
            newcomers = action.owners.difference(bisection.groups[0])
            if newcomers:
                bisection.join(newcomers)
                return
            culprit = bisection.failed()
            if culprit is not None:
                self._condemn(state, culprit, action, error)
        elif len(action.owners) > 1:
            self._account.bisections[state.scope] = Bisection.among(action.owners)
        elif action.owners:
            self._condemn(state, next(iter(action.owners)), action, error)
        else:
            self._give_up(state, action, error)

    def _condemn(self, state: Pass, culprit: Identity, action: Action, error: Rejected) -> None:
        tracked = self._account.services.get(culprit)
        if tracked is None or tracked.intent is None:
            self._give_up(state, action, error)
            return
        self._account.culprits[state.scope, culprit] = (tracked.intent, rejection(error))
        state.blame([culprit], rejection(error))

    def _give_up(self, state: Pass, action: Action, error: LbctlError) -> None:
        """End the pass: nobody in particular can mend it, so the action rests for a growing time."""
        state.again = False
        state.stopped = True
        self._rest(state, action, error)
        state.blame(action.owners or self._everybody(state.scope), error)

    def _everybody(self, scope: Scope) -> frozenset[Identity]:
        return frozenset(tracked.identity for tracked in self._account.members(scope))

    def _see(self, observed: Observed) -> None:
        self._account.see(observed, now=self._shared.clock.monotonic())


def _must_wait_for(action: Action, flying: Iterable[Action]) -> bool:
    """True while something is in flight that the action changes, needs, or takes away from under a pointer."""
    needed = {need for step in action.steps if step.desired is not None for need in step.desired.needs}
    removed = {step.key for step in action.steps if step.desired is None}
    for other in flying:
        ends = [end for step in other.steps for end in (step.desired, step.seen and step.seen.resource) if end]
        pointed_at = {need for end in ends for need in end.needs}
        if not other.keys.isdisjoint(action.keys | needed) or not pointed_at.isdisjoint(removed):
            return True
    return False


def rejection(error: Rejected) -> InvalidService:
    """What the Service's author is told when the cloud rejects the request."""
    return InvalidService([Problem("spec", f"the cloud rejects what it asks for: {error.message}", error.hint)])
