"""What a Service's status, conditions and events should say now. Pure; the reconciler writes it.

A published address is never taken back because of a passing failure: the list becomes empty only when the balancer is
gone. A condition's transition time moves only with its status, and its message is cut and free of request ids, so that
a retry that fails in the same way writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbctl.engine.tracked import Outcome, Progress
from lbctl.errors import Blame, InvalidService, LbctlError
from lbctl.model.objects import Condition, Ingress, Service
from lbctl.model.resource import NOTHING, nothing
from lbctl.model.status import Notice, Severity, Status, Verdict, published

READY_CONDITION = "lbctl.io/LoadBalancerReady"
PORTS_CONDITION = "LoadBalancerPortsError"
MIXED_PROTOCOLS_REASON = "LoadBalancerMixedProtocolNotSupported"
MESSAGE_LIMIT = 1024
REWRITES_ALLOWED = 3
REWRITE_WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StatusWrite:
    """A status write that is due: the whole ingress list, the whole list of conditions, and annotations that differ."""

    ingress: tuple[Ingress, ...]
    conditions: tuple[Condition, ...]
    annotations: Mapping[str, str | None] = field(default_factory=nothing, hash=False)


def wanted_ingress(service: Service, status: Status, *, families: tuple[str, ...], gone: bool) -> tuple[Ingress, ...]:
    """The ingress list to publish: the driver's, else what is published already while the balancer is not gone."""
    stored = published(service.status.load_balancer.ingress, families=families)
    if status.ingress:
        return published(status.ingress, families=families)
    return () if gone else stored


def annotation_changes(
    service: Service, wanted: Mapping[str, str] | None, *, known: frozenset[str]
) -> dict[str, str | None]:
    """What to write so that of all `known` keys exactly the wanted ones are there; None removes one."""
    if wanted is None:
        return {}
    stored = service.metadata.annotations
    stale = {key: None for key in sorted(known) if key in stored and key not in wanted}
    return stale | {key: value for key, value in sorted(wanted.items()) if stored.get(key) != value}


def status_write(
    service: Service,
    ingress: tuple[Ingress, ...],
    conditions: tuple[Condition, ...],
    *,
    families: tuple[str, ...],
    annotations: Mapping[str, str | None] = NOTHING,
) -> StatusWrite | None:
    """The write that brings the stored status to this one, with changed annotations; None when nothing differs.

    An ingress that is stored in another form of the same value (order, missing `ipMode`, text of the address) does not
    differ.
    """
    same_ingress = published(service.status.load_balancer.ingress, families=families) == ingress
    merged = merged_conditions(service.status.conditions, conditions)
    if same_ingress and merged == service.status.conditions and not annotations:
        return None
    return StatusWrite(service.status.load_balancer.ingress if same_ingress else ingress, merged, annotations)


def merged_conditions(stored: tuple[Condition, ...], ours: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """The stored list with our entries put in their places; entries of others stay, ours that ended are dropped."""
    mine = {condition.type: condition for condition in ours}
    kept = []
    for condition in stored:
        replacement = mine.pop(condition.type, None)
        if replacement is not None:
            kept.append(with_stable_time(condition, replacement))
        elif condition.type != PORTS_CONDITION or condition.reason != MIXED_PROTOCOLS_REASON:
            kept.append(condition)
    return (*kept, *mine.values())


def ready_condition(outcome: Outcome, *, now: str) -> Condition:
    """The one condition of ours; `now` is an API timestamp that is used only when the status turns over."""
    return Condition(
        type=READY_CONDITION,
        status="True" if outcome.progress is Progress.READY else "False",
        reason=outcome.reason,
        message=outcome.message[:MESSAGE_LIMIT],
        last_transition_time=now,
    )


def ports_condition(outcome: Outcome, *, now: str) -> tuple[Condition, ...]:
    """The API's own condition for a mix of protocols that the cloud cannot serve, when that is what is wrong."""
    error = outcome.error
    mixed = isinstance(error, InvalidService) and any("several protocols" in p.message for p in error.problems)
    if not mixed:
        return ()
    return (
        Condition(
            type=PORTS_CONDITION,
            status="True",
            reason=MIXED_PROTOCOLS_REASON,
            message=outcome.message[:MESSAGE_LIMIT],
            last_transition_time=now,
        ),
    )


def upstream_conditions(verdicts: Iterable[Verdict], *, now: str) -> tuple[Condition, ...]:
    """Conditions of upstream's that the driver tells beside ours."""
    return tuple(
        Condition(
            type=verdict.type,
            status="True" if verdict.holds else "False",
            reason=verdict.reason,
            message=verdict.message[:MESSAGE_LIMIT],
            last_transition_time=now,
        )
        for verdict in verdicts
    )


def outcome_of_error(error: LbctlError) -> Outcome:
    """How an error shows in the condition."""
    if not error.is_failure:
        return Outcome(Progress.WORKING, "Provisioning", str(error), error)
    progress = Progress.INVALID if isinstance(error, InvalidService) else Progress.FAILED
    return Outcome(progress, error.reason, str(error), error)


def failure_notices(error: LbctlError, *, verb: str) -> tuple[Notice, ...]:
    """Events for a failure: upstream's reason for its alerts, and the error's own reason when somebody has to act.

    `verb` is `Sync`, `Update` or `Delete`, as in upstream's `SyncLoadBalancerFailed`.
    """
    if not error.is_failure:
        return ()
    own = Notice(Severity.WARNING, error.reason, str(error))
    if error.blame is Blame.AUTHOR:
        return (own,)
    upstream = Notice(Severity.WARNING, f"{verb}LoadBalancerFailed", str(error))
    return (upstream, own) if error.blame is Blame.OPERATOR else (upstream,)


def may_rewrite(rewrites: tuple[float, ...], now: float) -> bool:
    """True while a foreign change of the status may still be overwritten (three times in a minute)."""
    return sum(1 for at in rewrites if now - at < REWRITE_WINDOW_SECONDS) < REWRITES_ALLOWED


def with_stable_time(stored: Condition, ours: Condition) -> Condition:
    """Our condition; its transition time is the stored one's unless the status turns over."""
    if stored.status != ours.status:
        return ours
    return Condition(
        type=ours.type,
        status=ours.status,
        reason=ours.reason,
        message=ours.message,
        last_transition_time=stored.last_transition_time or ours.last_transition_time,
        observed_generation=stored.observed_generation,
    )
