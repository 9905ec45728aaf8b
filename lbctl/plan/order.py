"""The order of actions: what is pointed at comes before the pointer, and goes after it. Pure.

Edges come from what resources need: a create or update waits for what the desired resource needs; a delete waits for
every change of a resource that was observed to need it. Drivers only say which steps share a call.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from lbctl.model.resource import Key, Scope
from lbctl.plan.actions import Action, Plan, Step, Verb, Wait

REMOVES = frozenset({Verb.DELETE, Verb.RELEASE})


def build_plan(scope: Scope, actions: Iterable[Action], *, waits: Iterable[Wait] = ()) -> Plan:
    """A plan with the actions in a safe and stable order and their `after` filled in.

    Keeps the `after` that a driver set, adds the edges that follow from needs, and among actions that are free to go
    keeps the order given. A cycle is a bug of the driver's folding and raises AssertionError.
    """
    given = tuple(actions)
    linked = _linked(given)
    return Plan(scope, _sorted(linked), waits=tuple(waits))


def _linked(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    makers: dict[Key, list[str]] = defaultdict(list)
    removers: dict[Key, list[str]] = defaultdict(list)
    for action in actions:
        for step in () if action.optional else action.steps:
            (removers if step.verb in REMOVES else makers)[step.key].append(action.id)
    after: dict[str, set[str]] = {action.id: set(action.after) for action in actions}
    for action in actions:
        for step in action.steps:
            _add_edges(action.id, step, makers=makers, removers=removers, after=after)
    return tuple(replace(action, after=frozenset(after[action.id] - {action.id})) for action in actions)


def _add_edges(
    action_id: str,
    step: Step,
    *,
    makers: dict[Key, list[str]],
    removers: dict[Key, list[str]],
    after: dict[str, set[str]],
) -> None:
    if step.desired is not None:
        for need in step.desired.needs:
            after[action_id].update(makers.get(need, ()))
    if step.seen is not None:
        for need in step.seen.resource.needs:
            for remover in removers.get(need, ()):
                after[remover].add(action_id)


def _sorted(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    position = {action.id: index for index, action in enumerate(actions)}
    if len(position) != len(actions):
        raise AssertionError("two actions share an id")
    waiting = {action.id: {before for before in action.after if before in position} for action in actions}
    followers: dict[str, list[str]] = defaultdict(list)
    for action_id, befores in waiting.items():
        for before in befores:
            followers[before].append(action_id)
    ready = [position[action_id] for action_id, befores in waiting.items() if not befores]
    heapq.heapify(ready)
    ordered: list[Action] = []
    while ready:
        action = actions[heapq.heappop(ready)]
        ordered.append(action)
        for follower in followers[action.id]:
            waiting[follower].discard(action.id)
            if not waiting[follower]:
                heapq.heappush(ready, position[follower])
    if len(ordered) != len(actions):
        stuck = sorted(set(position) - {action.id for action in ordered})
        raise AssertionError(f"actions wait for each other in a circle: {stuck}")
    return tuple(ordered)
