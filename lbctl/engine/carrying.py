"""Carries plans out for what no pass serves: orphans, and Services that are let go of.

A pass belongs to Services that are wanted or leaving; here somebody at the desk asked for something else. The driver
plans and applies as ever, every reply goes into the account's cache, and what only time mends is waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lbctl.clock import Clock
from lbctl.driver import Pending, Refs, World
from lbctl.engine.account import Account
from lbctl.errors import LbctlError, NotReady, Retry
from lbctl.model.resource import Observed, Outputs, Scope
from lbctl.plan.actions import Action, Plan

PAUSE_SECONDS = 2.0
MAX_TRIES = 5
MENDED_BY_A_LOOK = (Retry.AT_ONCE, Retry.BACKOFF)

PlanNow = Callable[[Observed], Plan]


@dataclass(frozen=True, slots=True)
class Carrier:
    """Works on scopes of one account, one after the other; `world` is what the pure stages see besides the cache.

    `deadline` is in seconds of the monotonic clock. Waiting moves the clock, so it costs nothing in tests.
    """

    account: Account
    world: World
    clock: Clock
    deadline: float

    def carry_out(self, scope: Scope, plan_now: PlanNow) -> Plan:
        """Look, plan and apply until nothing is left to do; returns the last plan, in which only held actions remain.

        Each round costs one read of the scope and a call an action. Raises the error that waiting does not mend, and
        `NotReady` when time is over.
        """
        tries, before = 0, ""
        while True:
            plan = plan_now(self.observe(scope))
            if not plan.actions and not plan.waits:
                return plan
            # What was carried out and is planned again is something that the cloud has not finished.
            pause = max((wait.poll_after for wait in plan.waits), default=PAUSE_SECONDS * (plan.digest == before))
            why = "; ".join(wait.condition for wait in plan.waits)
            try:
                self._round(plan)
                before = plan.digest
            except LbctlError as error:
                tries += error.is_failure
                pause, why = _pause_after(error, tries), error.message
            self._wait(pause, scope, why)

    def insist(self, scope: Scope, action: Action) -> None:
        """Make one call, again while its error is one that mends itself; a call is safe to repeat."""
        tries = 0
        while True:
            try:
                self.apply(scope, action)
            except LbctlError as error:
                tries += error.is_failure
                self._wait(_pause_after(error, tries), scope, error.message)
            else:
                return

    def observe(self, scope: Scope) -> Observed:
        """The scope as it is now; one read."""
        observed = self.account.driver.observe(scope, self.seen_world)
        self.account.see(observed, now=self.clock.monotonic())
        return observed

    def apply(self, scope: Scope, action: Action) -> None:
        """Make one call and wait until the cloud has done what it took on."""
        self.account.write_lease.enter(scope)
        try:
            reply = self.account.driver.apply(action, Refs(self.account.look(scope), self.seen_world))
            while isinstance(reply, Pending):
                self._wait(reply.poll_after, scope)
                reply = self._poll(reply)
        finally:
            self.account.write_lease.leave(scope)
        self.account.see(self.account.look(scope).with_outputs(reply), now=self.clock.monotonic())

    def _poll(self, pending: Pending) -> Outputs | Pending:
        outcome = self.account.driver.poll([pending]).get(pending.operation)
        if isinstance(outcome, LbctlError):
            raise outcome
        return pending if outcome is None else outcome

    def _round(self, plan: Plan) -> None:
        for action in plan.actions:
            self.apply(plan.scope, action)

    @property
    def seen_world(self) -> World:
        """The world with the newest of what was observed."""
        return replace(self.world, now=self.clock.now(), observed=dict(self.account.observed))

    def _wait(self, seconds: float, scope: Scope, why: str = "") -> None:
        if self.clock.monotonic() + seconds > self.deadline:
            late = f"{scope} is not done in time" + (f": {why}" if why else "")
            raise NotReady(late, after_seconds=seconds, hint="run the command again")
        self.clock.wait(seconds)


def _pause_after(error: LbctlError, tries: int) -> float:
    """Seconds until the next try; raises the error when neither time nor a new look mends it."""
    if error.retry in MENDED_BY_A_LOOK and tries <= MAX_TRIES:
        return PAUSE_SECONDS
    if error.is_failure:
        raise error
    return error.after_seconds
