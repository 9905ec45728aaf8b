"""Intents, nodes and facts -> the resources that the scope of one balancer should hold. Pure.

The owner of the balancer comes first, then who uses it already, then who wants to join; a Service that cannot be served
beside its seniors is rejected alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.problem import Problem
from lbctl.model.resource import Desired, Identity, Observed, Resource, Scope
from lbctl_openstack import names
from lbctl_openstack.capabilities import TAGS
from lbctl_openstack.cloudconf import Balancing
from lbctl_openstack.part import Facts, Part
from lbctl_openstack.wish import wish_of


def model_scope(scope: Scope, world: World, facts: Facts, *, balancing: Balancing) -> Desired:
    """Everything that the scope should hold; a Service that cannot be served as it asks is in `rejected`."""
    observed = world.observed.get(scope) or Observed(scope)
    parts = [
        Part(intent, wish_of(intent), scope, observed, world, facts, balancing)
        for intent in sorted(world.intents.values(), key=lambda intent: _seniority(intent, scope, observed, world))
    ]
    accepted, rejected = _admit(parts)
    resources = [resource for part in accepted for resource in part.resources()]
    if accepted:
        resources.append(_balancer(accepted, observed))
        resources += _inherited(accepted, observed)
    notices = {part.identity: tuple(part.notices()) for part in accepted}
    return Desired.of(scope, resources, rejected=rejected, notices=notices)


def _seniority(intent: Intent, scope: Scope, observed: Observed, world: World) -> tuple[bool, bool, Identity]:
    """The owner first, then who is attached already, then the rest by name."""
    is_owner = names.balancer_scope(world.cluster.name, intent.identity) == scope
    return not is_owner, not observed.owned_by(intent.identity), intent.identity


def _admit(parts: Iterable[Part]) -> tuple[list[Part], dict[Identity, tuple[Problem, ...]]]:
    accepted: list[Part] = []
    rejected: dict[Identity, tuple[Problem, ...]] = {}
    for part in parts:
        problems = [*part.problems(), *part.conflicts(accepted)]
        if problems:
            rejected[part.identity] = tuple(problems)
        else:
            accepted.append(part)
    return accepted, rejected


def _balancer(parts: list[Part], observed: Observed) -> Resource:
    """The balancer with the tags of all its Services; the first of them decides about its VIP."""
    first = parts[0]
    seen = observed.get(names.BALANCER_KEY)
    shared: dict[str, Hashable] = {
        "ours": True,
        "name": first.name if first.is_owner or seen is None else seen.resource.name,
        "uids": frozenset(part.identity.uid for part in parts),
    }
    if first.facts.version >= TAGS:
        shared["tags"] = frozenset(part.name for part in parts)
    owners = frozenset(part.identity for part in parts)
    if seen is not None and not first.is_owner:
        return Resource(names.BALANCER_KEY, seen.resource.name, shared, owners)
    return Resource(names.BALANCER_KEY, first.name, {**shared, **first.vip()}, owners)


def _inherited(parts: list[Part], observed: Observed) -> Iterator[Resource]:
    """The floating IP of a balancer whose owner has left before the others."""
    seen = observed.get(names.FLOATING_KEY)
    if seen is not None and not any(part.is_owner for part in parts):
        yield replace(seen.resource, owners=frozenset(part.identity for part in parts))
