"""Counts what happens in a running controller: Events, applied actions, passes, node updates.

It stands where news passes by anyway (the recorder of Events, the applier, the end of each pass), so that the engine's
decisions know nothing of metrics.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from lbctl.clock import Clock
from lbctl.engine.account import Account
from lbctl.engine.controller import Controller, Work
from lbctl.engine.passes import Recorder
from lbctl.engine.tracked import Basis, Cause, Progress
from lbctl.model.intent import identity_of
from lbctl.model.objects import Service
from lbctl.model.resource import Scope
from lbctl.model.status import Notice
from lbctl.obs.metrics import Metrics
from lbctl.plan.actions import Action

# The nodes of a start are no change: nobody waits for them.
FIRST_GENERATION = 1


class CountedEvents:
    """A recorder that also counts, and passes every Event on."""

    def __init__(self, recorder: Recorder, metrics: Metrics, clock: Clock) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._clock = clock
        self._new: dict[str, float] = {}
        self.controller: Controller | None = None

    def emit(self, about: Service, notice: Notice) -> None:
        """Queue an Event; never fails."""
        if notice.reason == "EnsuringLoadBalancer" and not about.status.load_balancer.ingress:
            self._new.setdefault(about.metadata.uid, self._clock.monotonic())
        elif notice.reason == "EnsuredLoadBalancer":
            self._note_address(about)
        elif notice.reason == "UpdateLoadBalancerFailed":
            self._metrics.upstream_node_errors.inc()
        elif notice.reason == "UpdatedLoadBalancer":
            self._metrics.upstream_sync.inc()
        elif notice.reason == "DeletedLoadBalancer":
            self._new.pop(about.metadata.uid, None)
        self._recorder.emit(about, notice)

    def _note_address(self, about: Service) -> None:
        began = self._new.pop(about.metadata.uid, None)
        if began is not None:
            seconds = self._clock.monotonic() - began
            self._metrics.time_to_address_seconds.labels(self._provider(about)).observe(seconds)

    def _provider(self, about: Service) -> str:
        known = self.controller.intake.tracked(identity_of(about)) if self.controller is not None else None
        return known[0].info.name if known is not None else ""


class Meter:
    """Counts passes and applied actions; safe for several workers."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._generations: dict[str, int] = {}
        self._behind: dict[str, set[Scope]] = {}

    def applied(self, account: Account, action: Action) -> None:
        """Count the steps of an action that the cloud confirmed or accepted, as repairs too if that is all they are."""
        provider = account.info.name
        owners = [account.services[owner] for owner in action.owners if owner in account.services]
        repairs = bool(owners) and all(owner.changing is Cause.DRIFT for owner in owners)
        for step in action.steps:
            self._metrics.plans.labels(provider, step.verb.value, step.key.kind).inc()
            if repairs:
                self._metrics.drift_repaired.labels(provider, step.key.kind).inc()

    def began(self, accounts: Iterable[Account]) -> None:
        """Take note that work begins: from now on the lack of any success shows."""
        for account in accounts:
            self._metrics.last_success.labels(account.info.name).set(self._clock.now().timestamp())

    def passed(self, account: Account, work: Work, seconds: float, *, ok: bool) -> None:
        """Count one piece of work."""
        provider = account.info.name
        result = _result(account, work) if ok else "error"
        self._metrics.reconcile_seconds.labels(provider, result).observe(seconds)
        self._metrics.work_seconds.labels("service").observe(seconds)
        if result == "ok":
            self._metrics.last_success.labels(provider).set(self._clock.now().timestamp())
        if ok and work.scope is not None and work.scope.kind in account.info.node_kinds:
            self._note_targets(account, work.scope, seconds)

    def _note_targets(self, account: Account, scope: Scope, seconds: float) -> None:
        """Take note when a scope has caught up with a change of the nodes, and when all have."""
        with self._lock:
            behind = self._scopes_behind(account)
            if scope not in behind or not _has_caught_up(account, scope):
                return
            behind.discard(scope)
            waited = self._clock.monotonic() - account.nodes.began
            self._metrics.node_to_target_seconds.labels(account.info.name).observe(waited)
            self._metrics.upstream_host_latency.observe(seconds)
            if not behind:
                self._metrics.upstream_node_latency.observe(waited)

    def _scopes_behind(self, account: Account) -> set[Scope]:
        generation = account.nodes.current.generation
        if self._generations.get(account.name, FIRST_GENERATION) != generation:
            kinds = account.info.node_kinds
            self._generations[account.name] = generation
            self._behind[account.name] = {scope for scope in account.all_scopes() if scope.kind in kinds}
        return self._behind.setdefault(account.name, set())


def _result(account: Account, work: Work) -> str:
    """How a piece of work went that came to its end: `failed` when the cloud refused something or did not answer."""
    if work.scope is None:
        return "failed" if account.last_snapshot_error is not None else "ok"
    outcomes = (tracked.outcomes.get(work.scope) for tracked in account.members(work.scope))
    failed = any(outcome is not None and outcome.progress is Progress.FAILED for outcome in outcomes)
    return "failed" if failed else "ok"


def _has_caught_up(account: Account, scope: Scope) -> bool:
    generation = account.nodes.current.generation
    members = (tracked for tracked in account.members(scope) if tracked.intent is not None)
    return all(tracked.applied.get(scope, Basis()).nodes == generation for tracked in members)
