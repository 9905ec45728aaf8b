"""Why a Service is as it is, as findings that each say what to do. Pure.

`lbctl explain` gathers the facts and shows the findings. They go from the outside in: does it exist, is it ours, does
somebody work, is the wish valid, what does the cloud say, what waits for whom, does traffic find a target; then what
the controller told last, and when it tries again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lbctl.driver import Finding, Health, Level
from lbctl.engine.advice import LOGS, advice, next_try
from lbctl.engine.claim import Claim, Standing, marks_of
from lbctl.engine.plans import Result
from lbctl.engine.summary import State, Summary, ready_condition_of, summarise
from lbctl.engine.tracked import Tracked
from lbctl.errors import InvalidService, LbctlError, QuotaExceeded
from lbctl.model.objects import Service
from lbctl.model.status import Severity

WATCH = "nothing; watch it with: lbctl status --watch"
CONDITION_HINTS = {
    "PlanHeld": "undo what asks for it, or approve it as it says",
    "Deleting": "wait until its objects are gone; to keep them and end the waiting: lbctl release {key}",
    "NoEligibleNodes": "make a node eligible; lbctl doctor names those that are not, and why",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A warning that an Event told."""

    reason: str
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known of one Service; `leader` is empty when nobody leads, `classes` are those served here.

    `cloud_error` is what kept the cloud from being read; then `plans` or `health` are missing. `health` is missing too
    when the cloud does not tell it. `checks` are the driver's own findings, of a Service that is not ready.
    """

    service: Service
    claim: Claim
    leader: str
    classes: tuple[str, ...] = ()
    finalizers: frozenset[str] = frozenset()
    eligible_nodes: int = 0
    tracked: Tracked | None = None
    plans: Sequence[Result] = ()
    warnings: Sequence[Told] = ()
    health: Health | None = None
    checks: Sequence[Finding] = ()
    cloud_error: LbctlError | None = None

    @property
    def summary(self) -> Summary:
        """The Service in one line."""
        return summarise(self.service, self.claim)


def explain(facts: Facts) -> list[Finding]:
    """Every finding, in the order in which they should be looked at."""
    if facts.claim.standing in (Standing.FOREIGN, Standing.UNCONCERNED):
        return [_foreign(facts), *_foreign_finalizers(facts)]
    return [
        Finding(Level.OK, "claim", f"{facts.claim.why} (row {facts.claim.row}); account {facts.claim.account}"),
        _leader(facts),
        *_wish(facts),
        *_nodes(facts),
        *_cloud(facts),
        *_plans(facts),
        *_targets(facts),
        *_foreign_finalizers(facts),
        _condition(facts),
        *_next_try(facts),
        *_events(facts),
    ]


def _foreign(facts: Facts) -> Finding:
    spec = facts.service.spec
    if spec.type != "LoadBalancer":
        return Finding(Level.WARNING, "type", f"its type is {spec.type}", "set spec.type to LoadBalancer")
    hint = "is that controller running? " if spec.load_balancer_class else ""
    hint += f"lbctl serves the classes {', '.join(facts.classes)}"
    return Finding(Level.FAILED, "claim", f"lbctl leaves it alone: {facts.claim.why}", hint)


def _leader(facts: Facts) -> Finding:
    if facts.leader:
        return Finding(Level.OK, "controller", f"{facts.leader} leads")
    hint = f"start one: lbctl run; or see why its pod does not lead: {LOGS}"
    return Finding(Level.FAILED, "controller", "no controller holds the lease, so nobody works on it", hint)


def _wish(facts: Facts) -> Iterator[Finding]:
    tracked = facts.tracked
    if tracked is None:
        return
    for problem in tracked.problems:
        hint = problem.hint or advice(InvalidService.reason, facts.service.key)
        yield Finding(Level.FAILED, problem.path, problem.message, hint)
    for notice in tracked.intent.notices if tracked.intent is not None else ():
        level = Level.WARNING if notice.severity is Severity.WARNING else Level.OK
        yield Finding(level, notice.reason, notice.message, "correct or remove it; it stops nothing")


def _nodes(facts: Facts) -> Iterator[Finding]:
    if facts.eligible_nodes == 0:
        hint = "look at: kubectl get nodes; taints and node.kubernetes.io/exclude-from-external-load-balancers count"
        yield Finding(Level.FAILED, "nodes", "no node is eligible as a target", hint)


def _cloud(facts: Facts) -> Iterator[Finding]:
    error = facts.cloud_error
    if error is not None:
        yield Finding(Level.FAILED, "cloud", error.message, error.hint or advice(error.reason, facts.service.key))
    full = facts.summary.reason == QuotaExceeded.reason
    yield from (one for one in facts.checks if one.level is Level.FAILED or (full and one.level is Level.WARNING))


def _plans(facts: Facts) -> Iterator[Finding]:
    for result in facts.plans:
        yield from _problem(result, service=facts.service.key, known=problems_of(facts.tracked))
        yield from _plan(result, facts)


def _problem(result: Result, *, service: str, known: str) -> Iterator[Finding]:
    if not result.problem or (known and known in result.problem):
        return
    hint = advice(result.reason, service) or "correct the Services that it names; the others of the plan go on"
    yield Finding(Level.FAILED, f"plan {result.scope}", result.problem, hint)


def _plan(result: Result, facts: Facts) -> Iterator[Finding]:
    subject = f"plan {result.scope}"
    plan = result.plan
    if plan is None:
        return
    for action in plan.held:
        what = "; ".join(f"{step.verb} {step.key}: {step.why}" for step in action.steps)
        hint = f"undo what asks for it, or let it happen with: lbctl apply --approve {plan.held_digest}"
        yield Finding(Level.FAILED, subject, f"held, because {action.hazard.words}: {what}", hint)
    for wait in plan.waits:
        said = f"waits: {wait.condition}; looked at again every {wait.poll_after:g} s"
        hint = f"wait; if it lasts longer than {wait.give_up_after / 60:.0f} minutes, look at it in the cloud"
        yield Finding(Level.WARNING, subject, said, hint)
    if plan.actions:
        calls = ", ".join(action.call for action in plan.actions)
        key = facts.service.key
        hint = f"see all of it: lbctl plan {key}; if it stays, the log says why: {LOGS}"
        hint = hint if facts.leader else f"start a controller, or do it from here: lbctl once {key}"
        yield Finding(Level.WARNING, subject, f"still to do: {calls}", hint)
    elif not (plan.held or plan.waits or result.problem):
        yield Finding(Level.OK, subject, "the cloud holds what the Service asks for")


def _targets(facts: Facts) -> Iterator[Finding]:
    """What the cloud's own checks find; with externalTrafficPolicy Local, nodes without a Pod fail them on purpose."""
    health, meta = facts.health, facts.service.metadata
    if health is None:
        return
    pods = f"kubectl -n {meta.namespace} get endpointslices -l kubernetes.io/service-name={meta.name}"
    local = facts.service.spec.external_traffic_policy == "Local"
    said = f"{health} are healthy"
    if health.total == 0:
        hint = f"are there nodes, and Pods on them? see: {pods}; lbctl doctor names the nodes that cannot be targets"
        yield Finding(Level.FAILED, "targets", "the balancer has none, so nobody is served", hint)
    elif health.healthy == 0:
        hint = f"are the Pods ready? see: {pods}; then let the cloud's health checks through to {_checked_port(facts)}"
        yield Finding(Level.FAILED, "targets", f"{said}, so nobody is served", hint)
    elif health.healthy == health.total:
        yield Finding(Level.OK, "targets", said)
    elif local:
        yield Finding(Level.OK, "targets", f"{said}: with externalTrafficPolicy Local, the nodes with a ready Pod")
    else:
        hint = f"see which nodes lack kube-proxy or are cut off from the cloud's checks of {_checked_port(facts)}"
        yield Finding(Level.WARNING, "targets", said, hint)


def _checked_port(facts: Facts) -> str:
    spec = facts.service.spec
    if spec.external_traffic_policy == "Local" and spec.health_check_node_port:
        return f"the health check node port {spec.health_check_node_port}"
    ports = ", ".join(str(port.node_port) for port in spec.ports if port.node_port)
    return f"the node ports {ports}" if ports else "the Pods"


def _foreign_finalizers(facts: Facts) -> Iterator[Finding]:
    meta = facts.service.metadata
    if meta.deletion_timestamp is None:
        return
    for name in meta.finalizers:
        ours = name in facts.finalizers and (facts.claim.standing is Standing.LEAVING or not marks_of(facts.service))
        if not ours:
            hint = "run that controller until it lets go, or remove the finalizer if it is gone for good"
            yield Finding(Level.FAILED, "deletion", f"waits for the finalizer {name} of another controller", hint)


def _condition(facts: Facts) -> Finding:
    summary, key = facts.summary, facts.service.key
    condition = ready_condition_of(facts.service)
    said = f"{summary.reason}: {summary.message}" if summary.message else summary.reason
    if summary.state is State.READY:
        return Finding(Level.OK, "condition", f"ready at {', '.join(summary.addresses) or 'no address'}")
    if condition is None:
        hint = f"that takes seconds; if it stays, the log says why: {LOGS}" if facts.leader else "start one: lbctl run"
        return Finding(Level.WARNING, "condition", said, hint)
    since = f"(since {summary.since})"
    if hint := advice(condition.reason, key):
        return Finding(Level.FAILED, "last error", f"{condition.reason}: {condition.message} {since}", hint)
    level = Level.WARNING if summary.state is State.PENDING else Level.FAILED
    return Finding(level, "condition", f"{said} {since}", CONDITION_HINTS.get(summary.reason, WATCH).format(key=key))


def _next_try(facts: Facts) -> Iterator[Finding]:
    condition = ready_condition_of(facts.service)
    if condition is not None and facts.leader and (found := next_try(condition.reason, facts.service.key)) is not None:
        yield found


def _events(facts: Facts) -> Iterator[Finding]:
    if facts.summary.state is State.READY:
        return
    known, meta = problems_of(facts.tracked), facts.service.metadata
    for told in [told for told in facts.warnings if told.message not in (known, facts.summary.message)][-3:]:
        hint = f"is it still so? see: kubectl -n {meta.namespace} describe service {meta.name}"
        yield Finding(Level.WARNING, f"event {told.reason}", f"{told.message} ({told.count}x)", hint)


def problems_of(tracked: Tracked | None) -> str:
    """Everything that is wrong with a Service's wish, in one sentence; empty when nothing is."""
    return str(InvalidService(tracked.problems)) if tracked is not None and tracked.problems else ""
