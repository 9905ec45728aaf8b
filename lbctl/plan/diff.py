"""Desired against observed: which resources to make, change, replace and remove. Pure.

The one matcher and differ of all drivers. It matches by key, never touches what is not proven ours, and knows nothing
of calls: folding steps into calls is the driver's, ordering them is `lbctl.plan.order`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator

from lbctl.errors import OwnedByOther
from lbctl.model.resource import Desired, Identity, Observed, Ref, Resource, Seen, State
from lbctl.plan.actions import Change, Hazard, Step, Verb
from lbctl.plan.rules import PLAIN, KindRule, Rules

Resolve = Callable[[Ref], str | None]
SMALL_SET = 32


def diff(desired: Desired, observed: Observed, *, rules: Rules, resolve: Resolve | None = None) -> tuple[Step, ...]:
    """Every step from observed to desired, sorted by key; empty when nothing differs.

    `resolve` gives the present value of a reference, None while it does not exist; by default from `observed` itself.
    Raises `OwnedByOther` when a wanted resource exists and is not ours. A resource that is being deleted counts as
    absent for a delete and as present, unchangeable, for everything else.
    """
    lookup = resolve or _local(observed)
    steps = [*_wanted(desired, observed, rules, lookup), *_unwanted(desired, observed, rules)]
    return tuple(sorted(steps, key=lambda step: step.key))


def _wanted(desired: Desired, observed: Observed, rules: Rules, resolve: Resolve) -> Iterator[Step]:
    for key, resource in desired.resources.items():
        seen = observed.get(key)
        if seen is None:
            yield _create(resource)
        elif seen.resource is not resource:
            yield from _compare(resource, seen, rules.of(key.kind), resolve)


def _unwanted(desired: Desired, observed: Observed, rules: Rules) -> Iterator[Step]:
    for key, seen in observed.resources.items():
        if key in desired.resources or not seen.ours or seen.state is State.DELETING:
            continue
        hazard = rules.of(key.kind).on_delete
        yield Step(
            Verb.DELETE,
            key,
            seen.resource.name,
            hazard=hazard,
            unasked=hazard,
            why="no Service asks for it any more",
            owners=seen.resource.owners,
            seen=seen,
        )


def _create(resource: Resource) -> Step:
    changes = tuple(Change(name, None, value) for name, value in sorted(resource.fields.items()) if value is not None)
    return Step(
        Verb.CREATE, resource.key, resource.name, changes, why="missing", owners=resource.owners, desired=resource
    )


def _compare(resource: Resource, seen: Seen, rule: KindRule, resolve: Resolve) -> Iterator[Step]:
    changes = tuple(_changes(resource, seen, rule, resolve))
    if not changes:
        return
    if not seen.ours:
        whose = f" by {seen.owner_hint}" if seen.owner_hint else ""
        raise OwnedByOther(
            f"{rule.label} {resource.name or resource.key.id} exists and is owned{whose}, not by this cluster",
            hint="remove it, rename it, or take it over with `lbctl adopt`",
        )
    yield _step(resource, seen, changes, rule)


def _step(resource: Resource, seen: Seen, changes: tuple[Change, ...], rule: KindRule) -> Step:
    of_change = {change: rule.fields.get(change.field, PLAIN) for change in changes}
    replaces = any(field.replaces for field in of_change.values())
    return Step(
        Verb.REPLACE if replaces else Verb.UPDATE,
        resource.key,
        resource.name or seen.resource.name,
        changes,
        hazard=max((field.hazard for field in of_change.values()), default=Hazard.NONE),
        unasked=max((field.hazard for field in of_change.values() if not field.asked), default=Hazard.NONE),
        why=_why(changes, replaces=replaces),
        owners=_concerned(resource, seen),
        desired=resource,
        seen=seen,
    )


def _changes(resource: Resource, seen: Seen, rule: KindRule, resolve: Resolve) -> Iterator[Change]:
    for name in sorted({*resource.fields, *seen.resource.fields}):
        field = rule.fields.get(name, PLAIN)
        old, new = seen.resource.fields.get(name), resource.fields.get(name)
        if new is None and (field.ignore_unset or name not in resource.fields):
            continue
        if old is new or field.equal(old, _settled(new, resolve)):
            continue
        yield Change(name, old, new)


def _settled(value: Hashable, resolve: Resolve) -> Hashable:
    if isinstance(value, Ref):
        return resolve(value)
    if isinstance(value, tuple):
        return tuple(_settled(item, resolve) for item in value)
    if isinstance(value, frozenset) and _may_refer(value):
        return frozenset(_settled(item, resolve) for item in value)
    return value


def _may_refer(members: frozenset[Hashable]) -> bool:
    """The members of a large set are all of one kind, so one of them tells whether thousands of node ids do."""
    looked_at = members if len(members) <= SMALL_SET else (next(iter(members)),)
    return any(isinstance(member, (Ref, tuple)) for member in looked_at)


def _concerned(resource: Resource, seen: Seen) -> frozenset[Identity]:
    return resource.owners | seen.resource.owners


def _why(changes: tuple[Change, ...], *, replaces: bool) -> str:
    names = ", ".join(change.field for change in changes)
    return f"{names} cannot be changed on a living object" if replaces else f"{names} differs"


def _local(observed: Observed) -> Resolve:
    def resolve(ref: Ref) -> str | None:
        seen = observed.get(ref.key) if ref.scope in (None, observed.scope) else None
        return seen.outputs.get(ref.attribute) if seen else None

    return resolve
