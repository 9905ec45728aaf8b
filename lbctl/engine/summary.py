"""A Service's balancer in one line, from the Service's object alone. Pure.

`lbctl status`, the sandbox's table and `explain` show it. It knows what the controller published and nothing of clouds,
so it is as fresh as the object: who shows it says how old that is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from lbctl.engine.claim import Claim, Standing
from lbctl.engine.publish import READY_CONDITION
from lbctl.model.objects import Condition, Service

WORKING_REASONS = frozenset({"Provisioning", "Updating", "Deleting", "NoEligibleNodes"})

NOT_OURS = (Standing.FOREIGN, Standing.UNCONCERNED)


class State(enum.StrEnum):
    """How a Service's balancer is, for people and dashboards."""

    READY = "ready"
    PENDING = "pending"
    FAILED = "failed"
    HELD = "held"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Summary:
    """One line; `since` is the API's timestamp of the last turn, empty when unknown."""

    namespace: str
    name: str
    state: State
    addresses: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""
    since: str = ""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


def summarise(service: Service, claim: Claim | None = None) -> Summary:
    """The summary of one Service; without a claim nobody is known to leave it alone."""
    condition = ready_condition_of(service)
    state, reason, message = _state(service, condition, claim)
    return Summary(
        namespace=service.metadata.namespace,
        name=service.metadata.name,
        state=state,
        addresses=tuple(entry.ip or entry.hostname or "" for entry in service.status.load_balancer.ingress),
        ports=tuple(f"{port.port}/{port.protocol}" for port in service.spec.ports),
        reason=reason,
        message=message,
        since=(condition.last_transition_time if condition else None) or service.metadata.creation_timestamp or "",
    )


def ready_condition_of(service: Service) -> Condition | None:
    """Our condition, None before the first pass."""
    return next((c for c in service.status.conditions if c.type == READY_CONDITION), None)


def _state(service: Service, condition: Condition | None, claim: Claim | None) -> tuple[State, str, str]:
    if claim is not None and claim.standing in NOT_OURS:
        return State.FOREIGN, "NotClaimed", claim.why
    if service.metadata.deletion_timestamp is not None:
        return State.PENDING, "Deleting", condition.message if condition else ""
    if condition is None:
        return State.PENDING, "NotSeenYet", "no controller has looked at it yet"
    if condition.status == "True":
        return State.READY, condition.reason, condition.message
    if condition.reason == "PlanHeld":
        return State.HELD, condition.reason, condition.message
    state = State.PENDING if condition.reason in WORKING_REASONS else State.FAILED
    return state, condition.reason, condition.message
