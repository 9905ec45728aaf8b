"""Which of a Service's balancers is the one to work on, and what its successor would be called. Pure.

Scheme, mode, fixed addresses and the name cannot be changed on a living balancer. A change of one needs a new balancer
beside the old one, under a name that is free; the old one serves until the new one does, and is removed some time
after that. Names alone tell the generations, so that nothing has to be remembered.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace

from lbctl.model.resource import Key, Resource, Seen, State
from lbctl_aws import names
from lbctl_aws.place import BALANCERS, CLASSIC, CLASSIC_LISTENER, GROUP, LISTENER, RULE, TARGETS, Place, balancer_of
from lbctl_aws.targets import instance_targets

LIVING = frozenset({State.ACTIVE, State.PENDING})


def choose_name(place: Place, kind: str, base: str, fixed: Mapping[str, Hashable]) -> str:
    """The name to work under: that of a living balancer with these fixed fields, else the lowest that is free.

    `fixed` are the fields that no call changes; None in it matches everything.
    """
    for generation in range(1, 100):
        name = names.with_generation(base, generation)
        seen = place.observed.get(Key(kind, name))
        if seen is None and generation == 1:
            continue
        if seen is not None and _fits(seen, fixed):
            return name
        if seen is None and generation > 1:
            break
    return _lowest_free(base, lambda name: Key(kind, name) in place.observed.resources)


def _fits(seen: Seen, fixed: Mapping[str, Hashable]) -> bool:
    return all(value is None or seen.resource.fields.get(field) == value for field, value in fixed.items())


def _lowest_free(base: str, is_taken: Callable[[str], bool]) -> str:
    generation = 1
    while is_taken(names.with_generation(base, generation)):
        generation += 1
    return names.with_generation(base, generation)


def choose_group_name(place: Place, base: str, balancer: str, fixed: Mapping[str, Hashable]) -> str:
    """Name of a target group that no other balancer uses: a group can belong to one balancer only.

    Upstream's name does not tell the address family, so that a group with other `fixed` fields may have it already.
    """
    taken = set(_groups_of_others(place, balancer))

    def is_taken(name: str) -> bool:
        seen = place.observed.get(Key(TARGETS, name))
        return name in taken or (seen is not None and not _fits(seen, fixed))

    return _lowest_free(base, is_taken)


def _groups_of_others(place: Place, balancer: str) -> Iterator[str]:
    arns = {seen.outputs.get("arn"): seen.key.id for seen in place.observed.of_kind(TARGETS)}
    for listener in place.observed.of_kind(LISTENER):
        if balancer_of(listener.key) != balancer:
            for arn, _ in forwarded(listener):
                if arn in arns:
                    yield arns[arn]


def forwarded(listener: Seen) -> tuple[tuple[str, int], ...]:
    """The target group ARNs and weights that an observed listener forwards to."""
    forward = listener.resource.fields.get("forward")
    return forward if isinstance(forward, tuple) else ()


def predecessors(place: Place, key: Key) -> tuple[Seen, ...]:
    """The Service's other balancers."""
    return tuple(seen for kind in sorted(BALANCERS) for seen in place.owned(kind) if seen.key != key)


def kept_predecessors(place: Place, key: Key) -> tuple[Seen, ...]:
    """Those of the other balancers that still serve: until the new one is active, and for a while after that.

    The names of balancers live on in DNS caches; the new one's age is told by the cloud.
    """
    old = predecessors(place, key)
    new = place.observed.get(key)
    if new is None or new.state is not State.ACTIVE:
        return old
    created = new.outputs.get("created", "")
    age = (place.world.now - dt.datetime.fromisoformat(created)).total_seconds() if created else 0.0
    return old if age < place.settings.old_balancer_seconds else ()


def carried(place: Place, old: Seen) -> Iterator[Resource]:
    """Everything that belongs to an older balancer, as it is, except that its nodes are those of now."""
    nodes = instance_targets(place.world, place.options, limit=place.settings.max_targets_per_target_group)
    yield _with_nodes(old, nodes) if old.key.kind == CLASSIC else old.resource
    arns = {arn for listener in _listeners(place, old) for arn, _ in forwarded(listener)}
    for listener in _listeners(place, old):
        yield listener.resource
    for group in place.owned(TARGETS):
        if group.outputs.get("arn") in arns:
            follows = group.resource.fields.get("target_type") == "instance"
            follows = follows and not place.options.multi_cluster_target_group
            yield _with_nodes(group, nodes) if follows else group.resource
    yield from _carried_groups(place, old)


def _listeners(place: Place, old: Seen) -> Iterator[Seen]:
    for kind in (LISTENER, CLASSIC_LISTENER):
        yield from (seen for seen in place.owned(kind) if balancer_of(seen.key) == old.key.id)


def _with_nodes(seen: Seen, nodes: frozenset[str]) -> Resource:
    return replace(seen.resource, fields={**seen.resource.fields, "targets": nodes})


def _carried_groups(place: Place, old: Seen) -> Iterator[Resource]:
    attached = old.resource.fields.get("groups")
    ids = attached if isinstance(attached, frozenset) else frozenset()
    for group in place.owned(GROUP):
        if group.outputs.get("id") in ids:
            yield group.resource
            yield from (rule.resource for rule in place.owned(RULE) if rule.resource.name == group.key.id)


def is_moving(place: Place, key: Key) -> bool:
    """True when the balancer would be new although the Service has one already."""
    return key not in place.observed.resources and bool(predecessors(place, key))
