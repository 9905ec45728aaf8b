"""A plan as text for people. Pure, and the same for the same plan, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from lbctl.model.resource import Key, Ref
from lbctl.plan.actions import Action, Hazard, Plan, Step, Verb, change_text, value_text

SIGNS = {Verb.CREATE: "+", Verb.UPDATE: "~", Verb.REPLACE: "!", Verb.DELETE: "-", Verb.RELEASE: ">"}
LEAST_WIDTH = 14
PLURAL = {Verb.CREATE: "create", Verb.UPDATE: "update", Verb.REPLACE: "replace", Verb.DELETE: "delete"}


def plan_lines(plan: Plan) -> Iterator[str]:
    """One line a step, its fields below, then the totals; held actions and waits are said so."""
    width = max((LEAST_WIDTH, *(len(kind) for kind in _kinds(plan))))
    for action in plan.actions:
        yield from _action_lines(action, width)
    for action in plan.held:
        yield from _action_lines(action, width, suffix=f"   HELD: {action.hazard.words}")
    for wait in plan.waits:
        yield f"  . {'wait':<{width}} {wait.condition}"
    yield _totals(plan)
    if plan.held:
        yield f"To let what is held happen: lbctl apply --approve {plan.held_digest}"


def label(key: Key, name: str) -> str:
    """What people are to recognise an object by: its id here, and its name in the cloud where the id does not tell."""
    if not key.id or key.id.casefold() == name.casefold():
        return name
    return key.id if name in key.id else f"{key.id} ({name})"


def _kinds(plan: Plan) -> Iterator[str]:
    return (step.key.kind for action in (*plan.actions, *plan.held) for step in action.steps)


def _action_lines(action: Action, width: int, suffix: str = "") -> Iterator[str]:
    for step in action.steps:
        shown = label(step.key, step.name)
        yield f"  {SIGNS[step.verb]} {step.key.kind:<{width}} {shown:<34} {_brief(step)}{suffix}".rstrip()
        if step.verb in (Verb.UPDATE, Verb.REPLACE):
            for change in step.changes:
                yield f"      {change_text(change)}"


def _brief(step: Step) -> str:
    if step.verb is not Verb.CREATE:
        return step.why
    return ", ".join(f"{c.field} {value_text(c.new)}" for c in step.changes if _tells_something(c.new))


def _tells_something(value: object) -> bool:
    """False for what a person takes for granted: options that are off or empty, and references."""
    return not (value is None or value is False or isinstance(value, Ref) or value in ("", (), frozenset()))


def _totals(plan: Plan) -> str:
    if plan.is_empty:
        return "Nothing to do."
    every = [step for action in (*plan.actions, *plan.held) for step in action.steps]
    counts = [f"{sum(s.verb is verb for s in every)} {word}" for verb, word in PLURAL.items()]
    counts = [count for count in counts if not count.startswith("0 ")]
    calls = len(plan.actions)
    worst = max((action.hazard for action in plan.actions), default=Hazard.NONE)
    parts = [f"{', '.join(counts) or 'no change'}.", f"{calls} call{'s' * (calls != 1)}."]
    if plan.actions:
        parts.append(f"{worst.words[0].upper()}{worst.words[1:]}.")
    if plan.held:
        parts.append(f"{len(plan.held)} held.")
    return " ".join(parts)
