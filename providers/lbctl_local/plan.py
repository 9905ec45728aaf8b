"""Rules for the differ, and which steps share a call. Pure.

All pools and listeners of a scope go into one write, clusters before the listeners that point at them; Envoy replaces
only what differs. Addresses come before; what is not needed any more goes after: pools, then addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from lbctl.driver import World
from lbctl.model.resource import Desired, Observed
from lbctl.plan.actions import Action, Hazard, Plan, Step, Verb, Wait
from lbctl.plan.diff import diff
from lbctl.plan.order import build_plan
from lbctl.plan.rules import FieldRule, KindRule, Rules
from lbctl_local.spec import ListenerSpec

DRAINS = FieldRule(hazard=Hazard.DRAINS)
LISTENER_FIELDS = ListenerSpec.__struct_fields__
RULES = Rules(
    {
        "address": KindRule("address"),
        "pool": KindRule("pool"),
        # Envoy drains the connections of a listener, or of its filter chain, when anything of it changes.
        "listener": KindRule("listener", dict.fromkeys(LISTENER_FIELDS, DRAINS), on_delete=Hazard.DRAINS),
        "process": KindRule(
            "Envoy process",
            fields={
                "bootstrap": FieldRule(hazard=Hazard.INTERRUPTS),
                "version": FieldRule(hazard=Hazard.INTERRUPTS),
            },
            on_delete=Hazard.INTERRUPTS,
        ),
    }
)

RESERVE, RETIRE, FREE = "address.reserve", "address.retire", "address.free"
PUT, DROP = "entries.put", "pools.drop"
RESTART = "envoy.restart"
RELEASE = "marks.release"


def build_actions(desired: Desired, observed: Observed, world: World) -> Plan:
    """The plan for one scope; raises `OwnedByOther` as the differ does."""
    steps = [_asked(step) for step in diff(desired, observed, rules=RULES)]
    waits = tuple(wait for step in steps if (wait := _drain_wait(step, world)))
    waiting = {key for wait in waits for key in wait.keys}
    return build_plan(desired.scope, _fold([step for step in steps if step.key not in waiting]), waits=waits)


def release_actions(observed: Observed) -> tuple[Action, ...]:
    """One write that takes our marks off everything that is ours in the scope."""
    steps = tuple(
        Step(
            Verb.RELEASE,
            key,
            seen.resource.name,
            why="the balancer stays without us",
            owners=seen.resource.owners,
            seen=seen,
        )
        for key, seen in sorted(observed.resources.items())
        if seen.ours
    )
    return (Action(RELEASE, RELEASE, steps),) if steps else ()


def _asked(step: Step) -> Step:
    """An address goes only with its Service, or when the Service names another one: nobody else has to approve."""
    if step.key.kind == "address" and step.verb is Verb.DELETE:
        return replace(step, hazard=Hazard.LOSES_ADDRESS)
    return step


def _drain_wait(step: Step, world: World) -> Wait | None:
    """Connections end with the address on the interface, so it stays until they had their time."""
    if step.key.kind != "address" or step.verb is not Verb.DELETE or step.seen is None:
        return None
    leaves_at = step.seen.outputs.get("leaves_at")
    left = (datetime.fromisoformat(leaves_at) - world.now).total_seconds() if leaves_at else 0.0
    if left <= 0:
        return None
    return Wait(f"connections on {step.key.id} drain", left, left + 60, frozenset({step.key}))


def _fold(steps: list[Step]) -> Iterator[Action]:
    folded: dict[str, list[Step]] = {}
    for step in steps:
        folded.setdefault(_call_of(step), []).append(step)
    for call in (RESTART, RESERVE, PUT, RETIRE, DROP, FREE):
        members = folded.get(call, [])
        if call in PER_RESOURCE:
            yield from (Action(f"{call} {step.key.id}", call, (step,)) for step in members)
        elif members:
            yield Action(call, call, tuple(members))


PER_RESOURCE = frozenset({RESTART, RESERVE, RETIRE, FREE})
CALLS = {
    "process": (RESTART, RESTART),
    "address": (RESERVE, FREE),
    "pool": (PUT, DROP),
    "listener": (PUT, PUT),
}


def _call_of(step: Step) -> str:
    put, drop = CALLS[step.key.kind]
    if step.verb is not Verb.DELETE:
        return put
    return RETIRE if _must_drain(step) else drop


def _must_drain(step: Step) -> bool:
    if step.key.kind != "address" or step.seen is None:
        return False
    return bool(step.seen.resource.fields["interface"]) and "leaves_at" not in step.seen.outputs
