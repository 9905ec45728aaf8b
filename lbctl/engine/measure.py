"""One look at a running controller for its metrics: how many Services are how, who waits, what is queued.

Called at each scrape, reads memory only; its cost grows with the number of Services.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from lbctl.engine.account import Account
from lbctl.engine.claim import Standing
from lbctl.engine.controller import Controller
from lbctl.engine.summary import State, ready_condition_of
from lbctl.engine.tracked import Progress, Tracked
from lbctl.model.objects import Service
from lbctl.obs.figures import Figures, QueueFigures, Waiting

STATES = {
    Progress.INVALID: State.FAILED,
    Progress.FAILED: State.FAILED,
    Progress.HELD: State.HELD,
    Progress.WORKING: State.PENDING,
    Progress.READY: State.READY,
}
FOREIGN_MARK_ROWS = (4, 5)


def measure(controller: Controller, *, now: dt.datetime, monotonic: float, running: Iterable[float] = ()) -> Figures:
    """The figures of this moment; `running` are the seconds for which each busy worker has been at it."""
    figures = Figures()
    for account in controller.accounts.values():
        _measure_account(figures, account, now=now, monotonic=monotonic)
    _measure_foreign(figures, controller)
    depth, oldest = controller.waiting(monotonic)
    figures.queue = QueueFigures(depth, oldest, controller.queue.added, controller.retried, tuple(running))
    return figures


def state_of(tracked: Tracked) -> State:
    """How a tracked Service is; pending until each of its scopes has had its turn."""
    if tracked.standing is Standing.LEAVING or not tracked.outcomes:
        return State.PENDING
    state = STATES[tracked.worst.progress]
    unfinished = any(scope not in tracked.outcomes for scope in tracked.scopes)
    return State.PENDING if state is State.READY and unfinished else state


def _measure_account(figures: Figures, account: Account, *, now: dt.datetime, monotonic: float) -> None:
    provider = account.info.name
    for state in State:
        figures.services[provider, state.value] += 0
    for tracked in list(account.services.values()):
        state = state_of(tracked)
        figures.services[provider, state.value] += 1
        if state not in (State.READY, State.HELD):
            figures.waiting.append(_waiting(tracked, now=now, monotonic=monotonic))
    for plan in list(account.plans.values()):
        figures.held.update(action.hazard.name.lower() for action in plan.held)
    for scope, owner in account.orphan_watch.confirmed():
        for seen in account.look(scope).resources.values():
            if seen.ours and owner in seen.resource.owners:
                figures.orphans[provider, seen.key.kind] += 1


def _measure_foreign(figures: Figures, controller: Controller) -> None:
    foreign = controller.intake.foreign()
    figures.services["", State.FOREIGN.value] = sum(1 for service, _ in foreign if service.spec.type == "LoadBalancer")
    marked = (service.metadata.uid for service, claim in foreign if claim.row in FOREIGN_MARK_ROWS)
    figures.foreign_finalizers = frozenset(marked)


def _waiting(tracked: Tracked, *, now: dt.datetime, monotonic: float) -> Waiting:
    outcome = tracked.worst
    reason = (
        "Deleting" if tracked.standing is Standing.LEAVING else outcome.reason if tracked.outcomes else "NotSeenYet"
    )
    seconds = _seconds_since_turn(tracked.service, now)
    known = monotonic - tracked.since
    return Waiting(
        tracked.identity.namespace, tracked.identity.name, reason, known if seconds is None else max(seconds, 0.0)
    )


def _seconds_since_turn(service: Service, now: dt.datetime) -> float | None:
    """Seconds since the condition said that it is not ready; None when it does not say so."""
    condition = ready_condition_of(service)
    if condition is None or condition.status == "True" or not condition.last_transition_time:
        return None
    return (now - dt.datetime.fromisoformat(condition.last_transition_time)).total_seconds()
