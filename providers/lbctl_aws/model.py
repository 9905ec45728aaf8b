"""Intents, nodes and facts -> everything that one scope should hold. Pure.

Three kinds of scope: one balancer with all that belongs to it, in either mode, so that a change of mode is one plan;
the security group that LBC's balancers share; the rules on the nodes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.problem import Problem
from lbctl.model.resource import Desired, Identity, Key, Observed, Resource, Scope, Seen
from lbctl.model.status import Notice, Severity
from lbctl_aws import names
from lbctl_aws.annotations import key_of
from lbctl_aws.backends import find_backends
from lbctl_aws.generations import carried, kept_predecessors
from lbctl_aws.model_classic import build_classic
from lbctl_aws.model_groups import uses_backend_group
from lbctl_aws.model_network import build_network
from lbctl_aws.network import Network
from lbctl_aws.options import options_of
from lbctl_aws.place import (
    BACKEND_SCOPE,
    BALANCERS,
    GROUP,
    NETWORK,
    NODE_SCOPE,
    BalancerFacts,
    Place,
    balancer_scope,
    is_backend_of,
    is_of_lbc,
)
from lbctl_aws.settings import AwsSettings


def scopes_of(intent: Intent, settings: AwsSettings) -> tuple[Scope, ...]:
    """The scopes that a Service takes part in, its balancer's first."""
    shared = uses_backend_group(intent, settings) and not settings.backend_security_group
    return (balancer_scope(intent.identity), NODE_SCOPE, *([BACKEND_SCOPE] if shared else []))


def build_balancer(scope: Scope, world: World, facts: BalancerFacts, *, settings: AwsSettings, cluster: str) -> Desired:
    """Everything of the balancers of this scope; a Service that contradicts its living balancer is rejected."""
    observed = world.observed.get(scope, Observed(scope))
    resources: list[Resource] = []
    rejected: dict[Identity, tuple[Problem, ...]] = {}
    notices: dict[Identity, tuple[Notice, ...]] = {}
    for identity, intent in sorted(world.intents.items()):
        place = Place(cluster, settings, facts, world, intent, observed)
        problems = (*_contradictions(place), *find_backends(intent, world.referred).problems)
        if problems:
            rejected[identity] = problems
            continue
        notices[identity] = (*intent.notices, *_notices(place))
        resources.extend(_with_predecessors(place))
    return Desired.of(scope, resources, rejected=rejected, notices=notices)


def _with_predecessors(place: Place) -> Iterator[Resource]:
    model = build_classic(place) if place.options.is_classic else build_network(place)
    yield from model.resources
    taken = {resource.key for resource in model.resources}
    for old in kept_predecessors(place, model.key):
        for resource in carried(place, old):
            if resource.key not in taken:
                taken.add(resource.key)
                yield resource


def _contradictions(place: Place) -> Iterator[Problem]:
    """What cannot be had on the balancer that lives; LBC answers with an error too (model_build_load_balancer.go)."""
    live = next(place.owned(NETWORK), None)
    if live is not None and place.options.disable_nlb_sg and live.resource.fields.get("groups"):
        path = f"metadata.annotations[{key_of('disable_nlb_sg')}]"
        yield Problem(path, f"{live.key.id} has security groups, and they cannot be taken off", "remove the annotation")


def _notices(place: Place) -> Iterator[Notice]:
    live = next(place.owned(NETWORK), None)
    asks = place.options.security_groups or place.options.security_group_prefix_lists
    if live is not None and asks and not live.resource.fields.get("groups") and not place.options.is_classic:
        yield Notice(
            Severity.WARNING,
            "PlanHeld",
            f"{live.key.id} was created without security groups and can never get one; "
            "a new balancer would be needed: recreate the Service, or change its name annotation and approve the plan",
        )


def build_backend_group(world: World, network: Network, *, settings: AwsSettings, cluster: str) -> Desired:
    """The shared group, while any Service uses it and the operator gives none; one that LBC made serves as it is."""
    wishing = (i for i in world.intents.values() if uses_backend_group(i, settings) and not _is_held(i, world))
    is_used = next(wishing, None) is not None or _is_attached(world, names.backend_group(cluster))
    if not is_used or settings.backend_security_group:
        return Desired.of(BACKEND_SCOPE, ())
    name = names.backend_group(cluster)
    living = world.observed.get(BACKEND_SCOPE, Observed(BACKEND_SCOPE)).get(Key(GROUP, name))
    if living is not None and not living.ours and is_backend_of(living, cluster):
        return Desired.of(BACKEND_SCOPE, [living.resource])
    tags = {
        names.LBC_CLUSTER: cluster,
        names.LBC_SHARED_RESOURCE: names.BACKEND_RESOURCE,
        names.OWNER: f"{cluster}/",
        **settings.default_tags,
    }
    fields: dict[str, Hashable] = {
        "vpc": network.vpc_id,
        "description": names.BACKEND_DESCRIPTION,
        "tags": frozenset(tags.items()),
    }
    return Desired.of(BACKEND_SCOPE, [Resource(Key(GROUP, name), name=name, fields=fields)])


def _is_attached(world: World, name: str) -> bool:
    """True while any balancer carries the group, whatever mode its Service asks for now."""
    shared = world.observed.get(BACKEND_SCOPE)
    seen = shared.get(Key(GROUP, name)) if shared is not None else None
    if seen is None:
        return False
    balancers = (one for observed in world.observed.values() for one in observed.of_kind(NETWORK))
    return any(seen.outputs.get("id") in _groups(one) for one in balancers)


def _groups(balancer: Seen) -> frozenset[Hashable]:
    groups = balancer.resource.fields.get("groups")
    return groups if isinstance(groups, frozenset) else frozenset()


def _is_held(intent: Intent, world: World) -> bool:
    """True while a balancer of another mode serves and nobody has approved its successor."""
    observed = world.observed.get(balancer_scope(intent.identity))
    if observed is None or options_of(intent).approve:
        return False
    mine = [s for s in observed.resources.values() if s.key.kind in BALANCERS and intent.identity in s.resource.owners]
    return bool(mine) and not any(is_of_lbc(seen) for seen in mine)
