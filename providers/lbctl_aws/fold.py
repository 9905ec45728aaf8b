"""Steps -> actions: which changes share a call, and what follows what. Pure.

The steps of the differ are as small as ownership; AWS takes several at once: the listeners of a new classic balancer
come with it, all rules of one security group go in one call, everything that hangs on a balancer goes when it goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from lbctl.model.resource import Key
from lbctl.plan.actions import Action, Change, Step, Verb
from lbctl_aws import attributes
from lbctl_aws.calls import CALLS, FieldCall, KindCalls, Phase, SetCall
from lbctl_aws.place import (
    CLASSIC,
    CLASSIC_BACKEND,
    CLASSIC_LISTENER,
    CLASSIC_POLICY,
    GROUP,
    LISTENER,
    NETWORK,
    RULE,
    TARGETS,
    balancer_of,
)
from lbctl_aws.replies import batches

GONE_WITH_BALANCER = frozenset({LISTENER, CLASSIC_LISTENER, CLASSIC_POLICY, CLASSIC_BACKEND})
TAG_FIELD = "tags"


@dataclass(frozen=True, slots=True)
class Phased:
    """An action and its place among those that are free to go."""

    phase: Phase
    action: Action


def fold(steps: Iterable[Step]) -> tuple[Phased, ...]:
    """All actions of the steps; their order follows from phases and needs later."""
    listed = tuple(steps)
    rest = [step for step in listed if step.key.kind not in (RULE, CLASSIC_LISTENER)]
    folded = _gone_with_others(listed)
    actions = [*_rules(listed, folded), *_classic_listeners(listed, folded)]
    for step in rest:
        if step.key not in folded:
            actions.extend(_actions_of(step, listed))
    return tuple(actions)


def _gone_with_others(steps: tuple[Step, ...]) -> frozenset[Key]:
    """Parts whose whole is deleted, and policies, which stay until their balancer goes."""
    gone = {step.key for step in steps if step.verb is Verb.DELETE}
    balancers = {key.id for key in gone if key.kind in (CLASSIC, NETWORK)}
    groups = {key.id for key in gone if key.kind == GROUP}
    parts = {key for key in gone if key.kind in GONE_WITH_BALANCER and balancer_of(key) in balancers}
    rules = {step.key for step in steps if step.verb is Verb.DELETE and step.key.kind == RULE and step.name in groups}
    return frozenset(parts | rules | {key for key in gone if key.kind == CLASSIC_POLICY})


def _actions_of(step: Step, steps: tuple[Step, ...]) -> Iterator[Phased]:
    calls = CALLS[step.key.kind]
    if step.verb is Verb.DELETE:
        yield _phased(calls.remove_phase, calls.delete, [step, *_parts(step, steps)])
    elif step.verb is Verb.CREATE:
        yield from _creating(step, steps, calls)
    else:
        yield from _updating(step, calls, frozenset())


def _parts(whole: Step, steps: tuple[Step, ...]) -> list[Step]:
    """The steps that this deletion carries out too."""
    if whole.key.kind == GROUP:
        return [s for s in steps if s.verb is Verb.DELETE and s.key.kind == RULE and s.name == whole.key.id]
    if whole.key.kind not in (CLASSIC, NETWORK):
        return []
    return [
        s
        for s in steps
        if s.verb is Verb.DELETE and s.key.kind in GONE_WITH_BALANCER and balancer_of(s.key) == whole.key.id
    ]


def _creating(step: Step, steps: tuple[Step, ...], calls: KindCalls) -> Iterator[Phased]:
    born = tuple(change for change in step.changes if calls.is_born(change.field) or _is_default(step, change))
    born_with = [_without_needs(s) for s in steps if _is_born_with(s, step)]
    made = _phased(calls.make_phase, calls.create, [replace(step, changes=born), *born_with])
    yield made
    rest = tuple(change for change in step.changes if change not in born)
    later = replace(step, verb=Verb.UPDATE, changes=rest)
    yield from _updating(later, calls, frozenset({made.action.id}))


def _is_born_with(part: Step, whole: Step) -> bool:
    """A new classic balancer brings its listeners."""
    is_listener = part.key.kind == CLASSIC_LISTENER and part.verb is Verb.CREATE
    return whole.key.kind == CLASSIC and is_listener and balancer_of(part.key) == whole.key.id


def _without_needs(part: Step) -> Step:
    """A part that comes in the call of its whole must not wait for what follows that call."""
    assert part.desired is not None
    return replace(part, desired=replace(part.desired, needs=frozenset()))


def _is_default(step: Step, change: Change) -> bool:
    """True for an attribute that a new object has anyway."""
    key = change.field.removeprefix(attributes.FIELD)
    if key == change.field or step.desired is None:
        return False
    fields = step.desired.fields
    defaults: dict[str, Callable[[], str]] = {
        NETWORK: lambda: attributes.balancer_default(key, scheme=str(fields["scheme"])),
        CLASSIC: lambda: attributes.CLASSIC_DEFAULTS.get(key, ""),
        LISTENER: lambda: attributes.LISTENER_DEFAULTS.get(key, ""),
        TARGETS: lambda: attributes.group_default(
            key, target_type=str(fields["target_type"]), protocol=str(fields["protocol"])
        ),
    }
    return change.new == defaults[step.key.kind]()


def _updating(step: Step, calls: KindCalls, after: frozenset[str]) -> Iterator[Phased]:
    carried: frozenset[str] = frozenset()
    for field_call in calls.fields:
        changes = [change for change in step.changes if field_call.sets(change.field) and change.field not in carried]
        if changes:
            along = [change for change in step.changes if change.field in field_call.carries]
            carried |= {change.field for change in along}
            yield _field_action(field_call, replace(step, changes=(*changes, *along)), after)
    for set_call in calls.sets:
        for change in step.changes:
            if change.field == set_call.field:
                yield from _set_actions(set_call, step, change, after)


def _field_action(call: FieldCall, step: Step, after: frozenset[str]) -> Phased:
    made = _phased(call.phase, call.call, [step], after=after)
    return replace(made, action=replace(made.action, optional=call.optional))


def _set_actions(call: SetCall, step: Step, change: Change, after: frozenset[str]) -> Iterator[Phased]:
    gained, lost = _tag_difference(change) if call.field == TAG_FIELD else _difference(change)
    for name, phase, members in ((call.add, call.add_phase, gained), (call.remove, call.remove_phase, lost)):
        for number, chunk in enumerate(batches(members, call.chunk)):
            part = replace(step, changes=(_partial(change, frozenset(chunk), adds=name == call.add),))
            suffix = f" {number + 1}" if number else ""
            made = _phased(phase, name, [part], after=after, payload=tuple(chunk), suffix=suffix)
            yield replace(made, action=replace(made.action, optional=call.field == TAG_FIELD))


def _difference(change: Change) -> tuple[list[Hashable], list[Hashable]]:
    old = change.old if isinstance(change.old, frozenset) else frozenset()
    new = change.new if isinstance(change.new, frozenset) else frozenset()
    return sorted(new - old, key=str), sorted(old - new, key=str)


def _tag_difference(change: Change) -> tuple[list[Hashable], list[Hashable]]:
    """Tags to set, and keys to remove: a wanted tag without value was ours and has to go; foreign tags stay."""
    old = dict(change.old) if isinstance(change.old, frozenset) else {}
    new = dict(change.new) if isinstance(change.new, frozenset) else {}
    gained = sorted((key, value) for key, value in new.items() if value is not None and old.get(key) != value)
    return list(gained), sorted(key for key, value in new.items() if value is None and key in old)


def _partial(change: Change, members: frozenset[Hashable], *, adds: bool) -> Change:
    """The part of a set's change that one call makes, so that each action shows what it does."""
    return Change(change.field, frozenset(), members) if adds else Change(change.field, members, frozenset())


def _rules(steps: tuple[Step, ...], folded: frozenset[Key]) -> Iterator[Phased]:
    grouped: dict[tuple[str, Verb], list[Step]] = defaultdict(list)
    for step in steps:
        if step.key.kind == RULE and step.key not in folded:
            grouped[(step.name, step.verb)].append(step)
    calls = CALLS[RULE]
    for (group, verb), members in sorted(grouped.items()):
        adds = verb is Verb.CREATE
        call, phase = (calls.create, calls.make_phase) if adds else (calls.delete, calls.remove_phase)
        yield _phased(phase, call, members, payload=group, subject=group)


def _classic_listeners(steps: tuple[Step, ...], folded: frozenset[Key]) -> Iterator[Phased]:
    """All listeners of one balancer that go in one call, all that come in another; a changed one goes and comes."""
    new = {step.key.id for step in steps if step.verb is Verb.CREATE and step.key.kind == CLASSIC}
    grouped: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        if step.key.kind == CLASSIC_LISTENER and step.key not in folded:
            grouped[balancer_of(step.key)].append(step)
    for balancer, members in sorted(grouped.items()):
        yield from _listeners_of(balancer, members, is_new=balancer in new)


def _listeners_of(balancer: str, steps: list[Step], *, is_new: bool) -> Iterator[Phased]:
    calls = CALLS[CLASSIC_LISTENER]
    of = {verb: [step for step in steps if step.verb is verb] for verb in Verb}
    after: frozenset[str] = frozenset()
    if of[Verb.REPLACE]:
        cut = _phased(Phase.SWITCH, calls.delete, of[Verb.REPLACE], subject=balancer, suffix=" to change")
        after = frozenset({cut.action.id})
        yield cut
    comes = [*of[Verb.CREATE], *of[Verb.REPLACE]]
    if comes and not is_new:
        made = _phased(calls.make_phase, calls.create, comes, subject=balancer, after=after)
        after = frozenset({made.action.id})
        yield made
    for step in comes:
        yield from _updating(_policies_only(step), calls, after)
    for step in of[Verb.UPDATE]:
        yield from _updating(step, calls, frozenset())
    if of[Verb.DELETE]:
        yield _phased(calls.remove_phase, calls.delete, of[Verb.DELETE], subject=balancer)


def _policies_only(step: Step) -> Step:
    """What a new listener still lacks: its policy is set in a call of its own."""
    policy = step.desired.fields.get("policy") if step.desired else None
    changes = (Change("policy", None, policy),) if policy else ()
    return replace(step, verb=Verb.UPDATE, changes=changes)


def _phased(
    phase: Phase,
    call: str,
    steps: list[Step],
    *,
    after: frozenset[str] = frozenset(),
    payload: object = None,
    subject: str = "",
    suffix: str = "",
) -> Phased:
    action_id = f"{call} {subject or steps[0].key}{suffix}"
    return Phased(phase, Action(action_id, call, tuple(steps), after, payload))
