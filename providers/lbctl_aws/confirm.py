"""What a write's reply confirms, as values: the resource with the fields that the call has set. Pure.

References are resolved by now, so that what is kept equals what a read would give.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from lbctl.driver import Refs
from lbctl.model.resource import NOTHING, Outputs, Ref, Resource, Seen, State
from lbctl.plan.actions import Action, Step
from lbctl_aws.place import CLASSIC, TARGETS

EMPTY_AT_FIRST: Mapping[str, dict[str, Hashable]] = {
    TARGETS: {"targets": frozenset()},
    CLASSIC: {"targets": frozenset()},
}


def settle(value: Hashable, refs: Refs) -> Hashable:
    """The value with every reference replaced; `NotReady` where one does not exist yet."""
    if isinstance(value, Ref):
        return refs.get(value)
    if isinstance(value, tuple):
        return tuple(settle(item, refs) for item in value)
    if isinstance(value, frozenset):
        return frozenset(settle(item, refs) for item in value)
    return value


def wanted(step: Step, field: str, refs: Refs) -> Hashable:
    """A desired field, settled; None when it is not wanted."""
    assert step.desired is not None
    return settle(step.desired.fields.get(field), refs)


def settled_set(step: Step, field: str, refs: Refs) -> list[str]:
    """A desired set of texts, sorted."""
    value = wanted(step, field, refs)
    return sorted(str(item) for item in value) if isinstance(value, frozenset) else []


def output(step: Step, refs: Refs, name: str) -> str:
    """What the cloud assigned to the resource of a step: from this scope's cache, which has it since its creation."""
    seen = refs.scope.get(step.key) or step.seen
    return seen.outputs.get(name, "") if seen is not None else ""


def set_tags(step: Step, refs: Refs) -> dict[str, str]:
    """The desired tags of a new object."""
    value = wanted(step, "tags", refs)
    return {key: tag for key, tag in value if tag is not None} if isinstance(value, frozenset) else {}


def created(step: Step, refs: Refs, outputs: Mapping[str, str] = NOTHING, *, state: State = State.ACTIVE) -> Seen:
    """A new resource with everything that its create call has set."""
    assert step.desired is not None
    fields = {**EMPTY_AT_FIRST.get(step.key.kind, {})}
    fields.update({change.field: settle(change.new, refs) for change in step.changes if change.field != "tags"})
    fields["tags"] = frozenset(set_tags(step, refs).items())
    return Seen(replace(step.desired, fields=fields), dict(outputs), state)


def changed(step: Step, refs: Refs) -> Seen:
    """The resource with the changed fields as they are wanted."""
    return _with(step, refs, {change.field: settle(change.new, refs) for change in step.changes})


def gained(step: Step, refs: Refs, field: str, members: frozenset[Hashable]) -> Seen:
    """The resource with members added to a set; a tag replaces the one of the same key."""
    there = _members(step, refs, field)
    if field == "tags":
        keys = {item[0] for item in members if isinstance(item, tuple)}
        there = frozenset(item for item in there if isinstance(item, tuple) and item[0] not in keys)
    return _with(step, refs, {field: there | members})


def lost(step: Step, refs: Refs, field: str, members: frozenset[Hashable]) -> Seen:
    """The resource with members taken out of a set; tags go by their keys."""
    there = _members(step, refs, field)
    if field == "tags":
        kept = frozenset(item for item in there if isinstance(item, tuple) and item[0] not in members)
        return _with(step, refs, {field: kept})
    return _with(step, refs, {field: there - members})


def all_changed(action: Action, refs: Refs) -> Outputs:
    """The outputs of an action that sets fields."""
    return Outputs(seen=tuple(changed(step, refs) for step in action.steps))


def all_gone(action: Action) -> Outputs:
    """The outputs of an action that removes."""
    return Outputs(gone=tuple(step.key for step in action.steps))


def members_of(action: Action) -> frozenset[Hashable]:
    """The members of a set that this action adds or removes."""
    return frozenset(action.payload) if isinstance(action.payload, tuple) else frozenset()


def _members(step: Step, refs: Refs, field: str) -> frozenset[Hashable]:
    seen = refs.scope.get(step.key)
    value = seen.resource.fields.get(field) if seen is not None else None
    return value if isinstance(value, frozenset) else frozenset()


def _with(step: Step, refs: Refs, fields: Mapping[str, Hashable]) -> Seen:
    before = refs.scope.get(step.key) or step.seen
    base: Resource | None = step.desired or (before.resource if before else None)
    assert base is not None
    old = before.resource.fields if before is not None else {}
    resource = replace(base, fields={**old, **fields})
    return replace(before, resource=resource) if before is not None else Seen(resource)
