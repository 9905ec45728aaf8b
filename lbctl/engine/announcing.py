"""Tells the world how a pass went: status, condition and Events of every Service of the scope.

Nothing is written that says what is there already, and an Event marks a turn, not a try.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from lbctl.driver import World
from lbctl.engine import publish
from lbctl.engine.account import Account
from lbctl.engine.claim import Standing
from lbctl.engine.marking import Marker, is_retained
from lbctl.engine.passes import Pass, Shared, Steps, retry_conflicts
from lbctl.engine.planning import build_world, holds
from lbctl.engine.tracked import READY, Cause, Outcome, Progress, Tracked
from lbctl.errors import InvalidService, KubeError, KubeGone, LbctlError, Retry
from lbctl.model.objects import Condition, Ingress
from lbctl.model.resource import Scope
from lbctl.model.status import Notice, Severity, Status, Verdict, published
from lbctl.plan.policy import Mode

log = logging.getLogger(__name__)

BEGINNINGS = {
    Cause.WISH: Notice(Severity.NORMAL, "EnsuringLoadBalancer", "Ensuring load balancer"),
    Cause.LEAVING: Notice(Severity.NORMAL, "DeletingLoadBalancer", "Deleting load balancer"),
}
ENDINGS = {
    Cause.WISH: Notice(Severity.NORMAL, "EnsuredLoadBalancer", "Ensured load balancer"),
    Cause.HOSTS: Notice(Severity.NORMAL, "UpdatedLoadBalancer", "Updated load balancer with new hosts"),
    Cause.DRIFT: Notice(Severity.WARNING, "DriftRepaired", "Repaired what was changed outside of lbctl"),
    Cause.LEAVING: Notice(Severity.NORMAL, "DeletedLoadBalancer", "Deleted load balancer"),
}
NO_NODES = Notice(Severity.WARNING, "UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer")
UNREAD_SECONDS = 5.0
FAILURE_VERBS = {Cause.HOSTS: "Update", Cause.LEAVING: "Delete"}


class Announcer:
    """Publishes the results of passes of one driver account."""

    def __init__(self, account: Account, shared: Shared, marker: Marker, *, others: Iterable[Account]) -> None:
        self._account = account
        self._others = tuple(others)
        self._shared = shared
        self._marker = marker

    def begin(self, state: Pass) -> None:
        """Announce the Services whose first action is about to be made."""
        for tracked in state.begun:
            if tracked.changing in BEGINNINGS:
                self._emit(tracked, BEGINNINGS[tracked.changing])
        state.begun.clear()

    def publish(self, state: Pass) -> Steps:
        """Write status and conditions where they differ, let go of what is gone, tell Events."""
        members = self._account.members(state.scope)
        known = {m.identity: m for m in members}
        for identity in state.changed - set(known):
            if identity in self._account.services:
                known[identity] = self._account.services[identity]
        world = build_world(self._account, known.values(), cluster=self._shared.cluster, now=self._shared.clock.now())
        for _, tracked in sorted(known.items()):
            try:
                yield from self._publish_one(state, tracked, world)
            except KubeError as error:
                self._publishing_failed(state, tracked, error)
            else:
                self._shared.backoff.reset((self._account.name, state.scope, tracked.identity))

    def _publishing_failed(self, state: Pass, tracked: Tracked, error: KubeError) -> None:
        """Try again later; one that is gone has left, which the watch has still to tell where it was wanted."""
        log.warning("could not publish %s: %s", tracked.identity, error)
        if isinstance(error, KubeGone) and tracked.standing is Standing.LEAVING:
            tracked.vanished = True
            state.comeback.not_later_than(self._shared.clock.monotonic())
            return
        growing = error.retry is not Retry.AFTER
        key = (self._account.name, state.scope, tracked.identity)
        pause = self._shared.backoff.failed(key) if growing else error.after_seconds
        state.comeback.not_later_than(self._shared.clock.monotonic() + pause)

    def _publish_one(self, state: Pass, tracked: Tracked, world: World) -> Steps:
        if tracked.standing is Standing.LEAVING:
            yield from self._publish_leaving(state, tracked)
        else:
            yield from self._publish_wanted(state, tracked, self._account.driver.status(tracked.identity, world))

    # -- going away -------------------------------------------------------------------------------------------------

    def _publish_leaving(self, state: Pass, tracked: Tracked) -> Steps:
        error = self._error(state, tracked)
        self._tell_failure(tracked, error)
        nothing_left = self._nothing_left(tracked) and error is None
        outcome = publish.outcome_of_error(error) if error else Outcome(Progress.WORKING, "Deleting")
        tracked.outcomes[state.scope] = outcome
        if tracked.home != state.scope:
            state.homes |= {tracked.home} if nothing_left and tracked.home is not None else set()
        elif nothing_left:
            yield from self._finish(state, tracked)
        elif not tracked.vanished and tracked.service.spec.type == "LoadBalancer":
            yield from self._write(state, tracked, tracked.service.status.load_balancer.ingress, outcome)

    def _nothing_left(self, tracked: Tracked) -> bool:
        account = self._account
        if account.has_objects(tracked.identity):
            tracked.had_objects = True
        scopes = account.scopes_of(tracked)
        if tracked.unproven & scopes or any(not account.look(scope).complete for scope in scopes):
            return False
        return not _has_to_empty(account, tracked)

    def _finish(self, state: Pass, tracked: Tracked) -> Steps:
        if self._shared.policy.mode is Mode.OBSERVE and not tracked.vanished:
            return
        if not tracked.had_objects and any(other.snapshot_at is None for other in self._others):
            # What it had may be in an account that nobody has read yet.
            state.comeback.not_later_than(self._shared.clock.monotonic() + UNREAD_SECONDS)
            return
        if not any(_has_to_empty(other, tracked) for other in self._others):
            yield from self._marker.let_go(tracked)
        if tracked.had_objects and not is_retained(tracked):
            self._emit(tracked, ENDINGS[Cause.LEAVING])
        state.comeback.gone = (*state.comeback.gone, tracked.identity)

    # -- staying ----------------------------------------------------------------------------------------------------

    def _publish_wanted(self, state: Pass, tracked: Tracked, status: Status) -> Steps:
        before = tracked.outcomes.get(state.scope)
        outcome = self._outcome(state, tracked, status)
        current = self._account.scopes_of(tracked)
        tracked.outcomes = {s: o for s, o in tracked.outcomes.items() if s in current} | {state.scope: outcome}
        if self._account.has_objects(tracked.identity):
            tracked.had_objects = True
        gone = tracked.intent is not None and not self._account.has_objects(tracked.identity)
        stored = published(tracked.service.status.load_balancer.ingress, families=_families(tracked))
        ingress = publish.wanted_ingress(tracked.service, status, families=_families(tracked), gone=gone)
        self._tell(state, tracked, status, before=before, outcome=outcome)
        if tracked.home != state.scope:
            state.homes |= {tracked.home} if outcome != before and tracked.home is not None else set()
            return
        if outcome.error is None and ingress == stored and self._is_first_round(tracked):
            return
        overall = self._overall(tracked)
        ready = overall.progress is Progress.READY
        results = status.annotations if ready else None
        yield from self._write(state, tracked, ingress, overall, results=results, verdicts=status.conditions)
        if ready:
            yield from self._marker.shed(tracked)

    def _overall(self, tracked: Tracked) -> Outcome:
        worst = tracked.worst
        if worst.progress is Progress.READY and self._is_first_round(tracked):
            return Outcome(Progress.WORKING, "Provisioning")
        return worst

    def _outcome(self, state: Pass, tracked: Tracked, status: Status) -> Outcome:
        error = self._error(state, tracked)
        if error is not None:
            return publish.outcome_of_error(error)
        held = self._held(state, tracked)
        if held is not None:
            return held
        if self._is_unfinished(state, tracked) or status.waiting_for:
            return Outcome(Progress.WORKING, "Updating" if status.ingress else "Provisioning", status.waiting_for)
        if tracked.identity in state.bases:
            tracked.applied[state.scope] = state.bases[tracked.identity]
        if len(self._account.nodes.current) == 0 and state.scope.kind in self._account.info.node_kinds:
            return Outcome(Progress.WORKING, "NoEligibleNodes", "no node is eligible as a target")
        return READY

    def _is_first_round(self, tracked: Tracked) -> bool:
        """True until every scope has had its turn; saying "provisioning" in between would be a write for nothing."""
        return any(scope not in tracked.outcomes for scope in tracked.scopes)

    def _error(self, state: Pass, tracked: Tracked) -> LbctlError | None:
        if tracked.problems and tracked.standing is Standing.WANTED:
            return InvalidService(tracked.problems)
        culprit = self._account.culprits.get((state.scope, tracked.identity))
        if culprit is not None:
            return culprit.error
        return state.errors.get(tracked.identity)

    def _held(self, state: Pass, tracked: Tracked) -> Outcome | None:
        plan = self._account.plans.get(state.scope)
        mine = [a for a in plan.held if tracked.identity in a.owners or not a.owners] if plan else []
        if not mine or plan is None:
            return None
        worst = max(mine, key=lambda action: action.hazard)
        what = "; ".join(f"{step.verb} {step.key}: {step.why}" for step in worst.steps)
        approve = f"to let it happen, set the annotation lbctl.io/approve={plan.held_digest}"
        return Outcome(Progress.HELD, "PlanHeld", f"{worst.hazard.words}: {what}; {approve}")

    def _is_unfinished(self, state: Pass, tracked: Tracked) -> bool:
        plan = self._account.plans.get(state.scope)
        waits = plan is not None and bool(plan.waits)
        flights = any(tracked.identity in f.action.owners for f in self._account.in_flight_of(state.scope))
        return state.stopped or state.unfinished or waits or flights or state.scope in self._account.bisections

    def _tell(self, state: Pass, tracked: Tracked, status: Status, *, before: Outcome | None, outcome: Outcome) -> None:
        self._tell_failure(tracked, outcome.error)
        if outcome.progress is Progress.HELD and outcome != before:
            self._emit(tracked, Notice(Severity.WARNING, "PlanHeld", outcome.message))
        if outcome.reason == "NoEligibleNodes" and outcome != before:
            self._emit(tracked, NO_NODES)
        if tracked.changing is not None and self._overall(tracked).reason in ("Ready", "NoEligibleNodes"):
            self._emit(tracked, ENDINGS[tracked.changing])
            tracked.changing = None
        self._tell_notices(tracked, state.scope, self._standing_notices(state, tracked, status))

    def _standing_notices(self, state: Pass, tracked: Tracked, status: Status) -> Iterable[Notice]:
        yield from status.notices
        if tracked.intent is not None:
            yield from tracked.intent.notices
        if state.planned is not None:
            yield from state.planned.desired.notices.get(tracked.identity, ())

    def _tell_notices(self, tracked: Tracked, scope: Scope, notices: Iterable[Notice]) -> None:
        """Tell what no scope of the Service has told: each scope knows only some of what stands."""
        standing = frozenset(notices)
        for notice in sorted(standing.difference(*tracked.told.values())):
            self._emit(tracked, notice)
        tracked.told = {s: told for s, told in tracked.told.items() if s in tracked.outcomes} | {scope: standing}

    def _tell_failure(self, tracked: Tracked, error: LbctlError | None) -> None:
        """Tell a failure each time it happens, and one that only its author can mend just once."""
        text = str(error) if error is not None and error.retry is Retry.WHEN_CHANGED else ""
        if error is None or (text and text == tracked.told_failure):
            return
        tracked.told_failure = text
        cause = Cause.LEAVING if tracked.standing is Standing.LEAVING else tracked.changing
        verb = FAILURE_VERBS.get(cause, "Sync") if cause is not None else "Sync"
        for notice in publish.failure_notices(error, verb=verb):
            self._emit(tracked, notice)

    def _emit(self, tracked: Tracked, notice: Notice) -> None:
        self._shared.recorder.emit(tracked.service, notice)

    # -- the status itself ------------------------------------------------------------------------------------------

    def _write(
        self,
        state: Pass,
        tracked: Tracked,
        ingress: tuple[Ingress, ...],
        outcome: Outcome,
        *,
        results: Mapping[str, str] | None = None,
        verdicts: tuple[Verdict, ...] = (),
    ) -> Steps:
        if self._shared.policy.mode is Mode.OBSERVE:
            return
        now = self._shared.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        ours = (publish.ready_condition(outcome, now=now), *publish.ports_condition(outcome, now=now))
        conditions = (*ours, *publish.upstream_conditions(verdicts, now=now))
        yield from retry_conflicts(
            tracked, self._shared.reads, lambda: self._attempt(state, tracked, ingress, conditions, results)
        )

    def _attempt(
        self,
        state: Pass,
        tracked: Tracked,
        ingress: tuple[Ingress, ...],
        conditions: tuple[Condition, ...],
        results: Mapping[str, str] | None,
    ) -> Steps:
        annotations = publish.annotation_changes(tracked.service, results, known=self._account.info.result_annotations)
        write = publish.status_write(
            tracked.service, ingress, conditions, families=_families(tracked), annotations=annotations
        )
        if write is not None and self._may_overwrite(state, tracked, ingress):
            yield "write status"
            self._shared.may_write()
            tracked.service = self._shared.writer.write_status(
                tracked.service, ingress=write.ingress, conditions=write.conditions, annotations=write.annotations
            )
        tracked.published = ingress

    def _may_overwrite(self, state: Pass, tracked: Tracked, ingress: tuple[Ingress, ...]) -> bool:
        """Overwrite a foreign change three times a minute, then name who does it and leave it be for a while."""
        stored = published(tracked.service.status.load_balancer.ingress, families=_families(tracked))
        is_foreign = tracked.published == ingress and stored != ingress
        if not is_foreign:
            return True
        now = self._shared.clock.monotonic()
        if publish.may_rewrite(tracked.rewrites, now):
            tracked.rewrites = (*tracked.rewrites[-publish.REWRITES_ALLOWED :], now)
            return True
        state.comeback.not_later_than(now + publish.REWRITE_PAUSE_SECONDS)
        writer = self._shared.reads.get_ingress_owner(tracked.service) or "somebody"
        message = f"{writer} keeps overwriting the published address; stop it, or give the Service a class"
        self._emit(tracked, Notice(Severity.WARNING, "StatusConflict", message))
        return False


def _has_to_empty(account: Account, tracked: Tracked) -> bool:
    """True while a leaving Service has anything in an account but what it keeps and bears no mark of ours."""
    identity = tracked.identity
    if not is_retained(tracked) or any(identity in flight.action.owners for flight in list(account.in_flight.values())):
        return holds(account, identity)
    return any(account.driver.release(identity, account.look(scope)) for scope in account.scopes_with(identity))


def _families(tracked: Tracked) -> tuple[str, ...]:
    return tracked.intent.families if tracked.intent is not None else tracked.service.spec.ip_families
