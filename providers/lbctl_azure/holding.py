"""Moves of an address that its Service does not ask for: marked, and held apart from everybody else's changes. Pure.

An address out of another prefix, of another resource group or in another subnet is no wish for a certain one, so the
move waits for approval before anything of it is made. All Services of a balancer share its PUT: what belongs to the
move is written by one of its own, after the others'.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lbctl.model.resource import Key
from lbctl.plan.actions import Hazard, Step, Verb
from lbctl_azure.account import PUBLIC_IP
from lbctl_azure.elements import FRONTEND, POOL, PROBE, RULE
from lbctl_azure.ids import same_id

MOVE = Hazard.MOVES_ADDRESS


def with_moves(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps, with those marked that take the place of what serves at another address."""
    left = [step for step in steps if step.verb is Verb.DELETE and step.key.kind in (PUBLIC_IP, FRONTEND)]
    pairs = [(new, old) for new in steps for old in left if _takes_place_of(new, old)]
    marked = {new.key: _as_move(new, _reason(new, old)) for new, old in pairs}
    marked |= {old.key: replace(old, hazard=MOVE, why="its successor serves") for _, old in pairs}
    return tuple(marked.get(step.key, _as_named(step)) for step in steps)


def held_parts(parts: list[Step], steps: Iterable[Step]) -> set[Key]:
    """Of the balancer's parts, those of a move: frontends, the rules on them, and what only those rules need."""
    moving = {step.key for step in steps if _is_move(step)}
    held = {step.key for step in parts if step.key.kind == FRONTEND and _is_of(step, moving)}
    held |= {step.key for step in parts if step.key.kind == RULE and not held.isdisjoint(_needs(step))}
    rules = [step for step in parts if step.key.kind == RULE]
    needed = {need for rule in rules if rule.key in held for need in _needs(rule)}
    shared = {need for rule in rules if rule.key not in held for need in _needs(rule)}
    born = {step.key for step in parts if step.key.kind in (PROBE, POOL) and step.verb is Verb.CREATE}
    gone = {step.key for step in parts if step.key.kind == PROBE and step.verb is Verb.DELETE}
    return held | ((born | gone) & (needed - shared))


def _is_move(step: Step) -> bool:
    """True for a step towards an address that nobody asked for, and for the end of the frontend that it replaces."""
    if step.key.kind == PUBLIC_IP:
        return step.verb is Verb.CREATE and step.unasked >= MOVE
    return step.key.kind == FRONTEND and (step.hazard is MOVE if step.verb is Verb.DELETE else step.unasked >= MOVE)


def _is_of(frontend: Step, moving: set[Key]) -> bool:
    wanted = frontend.desired.needs if frontend.desired is not None else frozenset()
    return frontend.key in moving or not moving.isdisjoint(wanted)


def _needs(step: Step) -> frozenset[Key]:
    """What the part refers to, before or after."""
    ends = (step.desired, step.seen.resource if step.seen is not None else None)
    return frozenset(need for end in ends if end is not None for need in end.needs)


def _takes_place_of(new: Step, old: Step) -> bool:
    """True for what the same Service gets in place of the old one, for the same family, at another address."""
    if new.verb is not Verb.CREATE or new.key.kind != old.key.kind or new.desired is None or old.seen is None:
        return False
    before, after = old.seen.resource.fields, new.desired.fields
    if after["version"] != before["version"] or new.owners.isdisjoint(old.owners):
        return False
    if new.key.kind == PUBLIC_IP:
        return bool(old.seen.outputs.get("attached"))
    named = after["private_ip"] is not None
    return bool(before["subnet"] and after["subnet"]) and not named and not same_id(before["subnet"], after["subnet"])


def _reason(new: Step, old: Step) -> str:
    if new.key.kind == FRONTEND:
        return "subnet"
    return "prefix" if new.key.id.partition("/")[0] == old.key.id.partition("/")[0] else "resource group"


def _as_move(step: Step, reason: str) -> Step:
    return replace(step, hazard=MOVE, unasked=MOVE, why=f"its {reason} changes, and the address with it")


def _as_named(step: Step) -> Step:
    """A frontend whose Service names the address in its new subnet too: that one is asked for."""
    if step.key.kind != FRONTEND or step.desired is None or step.unasked < MOVE:
        return step
    return step if step.desired.fields["private_ip"] is None else replace(step, unasked=Hazard.NONE)
