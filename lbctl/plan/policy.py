"""What may be done without asking: filters over a plan. Pure.

A policy names which verbs run at all and the worst hazard that runs unapproved; what exceeds it is held, together with
every action that needs it. The deletion of a Service, or a change that the Service itself names, is its own approval.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace

from lbctl.model.resource import Identity
from lbctl.plan.actions import Action, Hazard, Plan, Step, Verb


class Mode(enum.StrEnum):
    """Which verbs run at all."""

    SYNC = "sync"
    NO_DELETE = "no-delete"
    CREATE_ONLY = "create-only"
    OBSERVE = "observe"


ALLOWED: dict[Mode, frozenset[Verb]] = {
    Mode.SYNC: frozenset(Verb),
    Mode.NO_DELETE: frozenset({Verb.CREATE, Verb.UPDATE}),
    Mode.CREATE_ONLY: frozenset({Verb.CREATE}),
    Mode.OBSERVE: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's limits."""

    mode: Mode = Mode.SYNC
    highest: Hazard = Hazard.INTERRUPTS


def allow(
    plan: Plan,
    policy: Policy,
    *,
    leaving: frozenset[Identity] = frozenset(),
    approved: Callable[[Plan], bool] = lambda _: False,
) -> Plan:
    """The plan with everything that may not run now moved to `held`.

    `leaving` are Services that are going away. `approved` is asked with the filtered plan, whose `held_digest` names
    what waits; approval never overrides the mode.
    """
    by_mode = _split(plan, lambda action: _mode_allows(action, policy.mode))
    by_hazard = _split(plan, lambda action: _hazard_allows(action, policy.highest, leaving))
    if not by_hazard.held:
        return by_mode
    return by_mode if approved(by_hazard) else _split(plan, lambda a: a in by_mode.actions and a in by_hazard.actions)


def _split(plan: Plan, passes: Callable[[Action], bool]) -> Plan:
    held: set[str] = set()
    for action in plan.actions:
        if not passes(action) or not held.isdisjoint(action.after):
            held.add(action.id)
    if not held:
        return plan
    return replace(
        plan,
        actions=tuple(action for action in plan.actions if action.id not in held),
        held=tuple(action for action in plan.actions if action.id in held),
    )


def _mode_allows(action: Action, mode: Mode) -> bool:
    return all(step.verb in ALLOWED[mode] for step in action.steps)


def _hazard_allows(action: Action, highest: Hazard, leaving: frozenset[Identity]) -> bool:
    return all(step.unasked <= highest or _goes_with_its_service(step, leaving) for step in action.steps)


def _goes_with_its_service(step: Step, leaving: frozenset[Identity]) -> bool:
    return bool(step.owners) and step.owners <= leaving
