"""The rules on the groups of nodes and pods that let the balancers' traffic in, over all Services of the cluster. Pure.

One scope holds them all, because the 60 rules of a group are shared: when the rules of single ports do not fit, ranges
of ports are opened instead, one for each protocol and source. Rules that several Services share have no owner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lbctl.driver import World
from lbctl.model.problem import Problem
from lbctl.model.resource import NOTHING, Desired, Identity, Key, Observed, Resource
from lbctl.model.status import Notice, Severity
from lbctl_aws import names
from lbctl_aws.backends import find_backends
from lbctl_aws.firewall import Rule, parse_rule
from lbctl_aws.model_rules import Wish, merged, rule_wishes
from lbctl_aws.network import Network
from lbctl_aws.options import options_of
from lbctl_aws.place import (
    BACKEND_SCOPE,
    BALANCER,
    GROUP,
    NODE_SCOPE,
    RULE,
    SOLE,
    USED,
)
from lbctl_aws.settings import AwsSettings
from lbctl_aws.targets import InstanceIds


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What node rules need of AWS: the network, the groups of each instance and target pod, and each group's tags.

    A pod without groups shares those of its node.
    """

    network: Network
    groups_of_instance: Mapping[str, tuple[str, ...]] = NOTHING
    groups_of_pod: Mapping[str, tuple[str, ...]] = NOTHING
    tags_of_group: Mapping[str, Mapping[str, str]] = NOTHING


def build_node_rules(world: World, facts: NodeFacts, settings: AwsSettings, cluster: str) -> Desired:
    """Every rule that nodes need, the same for each group that nodes have; empty when the operator forbids them.

    Groups that only pods have (security groups for pods, Fargate) get the rules of those Services that send to pods.
    """
    if settings.disable_security_group_ingress:
        return Desired.of(NODE_SCOPE, ())
    groups, notices = _node_groups(world, facts, settings, cluster)
    to_pods = {i: intent for i, intent in world.intents.items() if options_of(intent).target_type == "ip"}
    observed = world.observed.get(NODE_SCOPE, Observed(NODE_SCOPE))
    kept = {resource.key: resource for resource in _kept(world, observed)}
    narrows = _all_take_part(world) and _is_sole_user(world, cluster)
    resources: dict[Key, Resource] = {}
    for takers, intents in ((groups, world.intents), (_pod_groups(facts, settings, cluster) - groups, to_pods)):
        wishes = list(rule_wishes(replace(world, intents=intents), facts.network, settings, cluster)) if takers else []
        for group in sorted(takers):
            here = wishes if narrows else [replace(wish, rule=_living(wish, group, observed)) for wish in wishes]
            resources.update((r.key, r) for r in _resources(group, here, observed, settings, cluster))
    resources = {**kept, **resources}
    rejected = dict(_without_room(resources, observed, settings.rules_per_security_group))
    fitting = [resource for resource in resources.values() if resource.owners.isdisjoint(rejected)]
    told = dict.fromkeys(world.intents, notices) if notices else NOTHING
    return Desired.of(NODE_SCOPE, fitting, rejected=rejected, notices=told)


def _without_room(
    resources: Mapping[Key, Resource], observed: Observed, limit: int
) -> Iterator[tuple[Identity, tuple[Problem, ...]]]:
    """The Services whose own rules no longer fit into a group, so that one too many does not hold up the others.

    Those that have their rules already come first.
    """
    for group in sorted({resource.name for resource in resources.values()}):
        foreign = sum(1 for seen in observed.of_kind(RULE) if not seen.ours and seen.resource.name == group)
        ours = [resource for resource in resources.values() if resource.name == group]
        theirs: dict[Identity, list[Key]] = defaultdict(list)
        for resource in ours:
            for owner in resource.owners:
                theirs[owner].append(resource.key)
        after = foreign + len(ours)
        room = limit - foreign - sum(1 for resource in ours if not resource.owners)
        message = f"security group {group} would have {after} rules, and {limit} is the limit"
        problem = Problem("spec.ports", message, "use another type of balancer, or raise the quota and the setting")
        for owner, keys in sorted(theirs.items(), key=lambda item: (_are_new(item[1], observed), item[0])):
            if len(keys) <= room:
                room -= len(keys)
            else:
                yield owner, (problem,)


def _are_new(keys: list[Key], observed: Observed) -> bool:
    return any(key not in observed.resources for key in keys)


def _kept(world: World, observed: Observed) -> Iterator[Resource]:
    """Shared rules stay while a balancer serves whose Service is not in this plan, or whose wish is not known whole.

    Such a Service is frozen (invalid, or not yet marked as ours), or leaving, or names others that are not there; what
    a frozen one alone owns the engine keeps, but nobody owns a shared rule. One from a group that balancers of others
    carry, too, may be what lets theirs in.
    """
    unclear = _unclear(world)
    all_take_part = _all_take_part(world)
    for seen in observed.of_kind(RULE):
        owners = seen.resource.owners
        needed = not unclear.isdisjoint(owners) if owners else not all_take_part or USED in seen.outputs
        if seen.ours and needed:
            yield seen.resource


def _unclear(world: World) -> frozenset[Identity]:
    """Services whose balancers stay as they are because Services that their actions name are not there."""
    return frozenset(i for i, intent in world.intents.items() if not find_backends(intent, world.referred).is_whole)


def _all_take_part(world: World) -> bool:
    scopes = (seen for scope, seen in world.observed.items() if scope.kind == BALANCER)
    owners = {owner for scope in scopes for seen in scope.resources.values() for owner in seen.resource.owners}
    return owners <= world.intents.keys() - _unclear(world)


def _is_sole_user(world: World, cluster: str) -> bool:
    """True when the shared group is ours and no balancer of another controller is known to carry it."""
    observed = world.observed.get(BACKEND_SCOPE)
    seen = observed.get(Key(GROUP, names.backend_group(cluster))) if observed else None
    return seen is not None and SOLE in seen.outputs


def _resources(
    group: str, wishes: list[Wish], observed: Observed, settings: AwsSettings, cluster: str
) -> Iterator[Resource]:
    foreign = sum(1 for seen in observed.of_kind(RULE) if not seen.ours and seen.resource.name == group)
    fitting = wishes
    if len({wish.rule for wish in wishes}) + foreign > settings.rules_per_security_group:
        fitting = list(merged(wishes, f"{names.OUR_RULE}{cluster}"))
    owners: dict[Rule, set[Identity | None]] = defaultdict(set)
    description: dict[Rule, str] = {}
    for wish in fitting:
        owners[wish.rule].add(wish.owner)
        description.setdefault(wish.rule, wish.description)
    for rule, theirs in sorted(owners.items()):
        owner = next(iter(theirs)) if len(theirs) == 1 else None
        yield rule_resource(group, rule, description[rule], owner)


def rule_resource(group: str, rule: Rule, description: str, owner: Identity | None) -> Resource:
    """A rule of a node group; the description is kept beside the compared fields, as EC2 does."""
    return Resource(
        Key(RULE, f"{group} {rule.text}"),
        name=group,
        fields={"description": description},
        owners=frozenset() if owner is None else frozenset({owner}),
    )


def _living(wish: Wish, group: str, observed: Observed) -> Rule:
    """A wider rule that is there already for the shared group serves: LBC's Ingresses may be using it."""
    if not wish.description.startswith(names.SHARED_RULE):
        return wish.rule
    for seen in observed.of_kind(RULE):
        rule = rule_of(seen.key)
        if seen.resource.name == group and rule.covers(wish.rule):
            return rule
    return wish.rule


def rule_of(key: Key) -> Rule:
    """The rule of a resource's key."""
    return parse_rule(key.id.partition(" ")[2])


def _node_groups(
    world: World, facts: NodeFacts, settings: AwsSettings, cluster: str
) -> tuple[frozenset[str], tuple[Notice, ...]]:
    """The one group of each node that takes the rules, and a warning where that was not plain."""
    chosen: set[str] = set()
    unclear: set[str] = set()
    ids = world.nodes.project(InstanceIds(limit=1_000_000))
    for groups in {facts.groups_of_instance[i] for i in ids if facts.groups_of_instance.get(i)}:
        best = _best(groups, facts, settings, cluster)
        chosen.add(best)
        tagged = [g for g in groups if names.CCM_CLUSTER_PREFIX + cluster in facts.tags_of_group.get(g, {})]
        if len(groups) > 1 and len(tagged) != 1:
            unclear.add(f"{', '.join(sorted(groups))}: {best} is used")
    if not unclear:
        return frozenset(chosen), ()
    text = (
        f"nodes have several security groups and not exactly one with the cluster's tag ({'; '.join(sorted(unclear))})"
    )
    return frozenset(chosen), (Notice(Severity.WARNING, "SecurityGroupUnclear", text),)


def _pod_groups(facts: NodeFacts, settings: AwsSettings, cluster: str) -> frozenset[str]:
    return frozenset(_best(groups, facts, settings, cluster) for groups in facts.groups_of_pod.values() if groups)


def _best(groups: tuple[str, ...], facts: NodeFacts, settings: AwsSettings, cluster: str) -> str:
    return min(groups, key=lambda group: _group_rank(group, facts, settings, cluster))


def _group_rank(group: str, facts: NodeFacts, settings: AwsSettings, cluster: str) -> tuple[object, ...]:
    tags = facts.tags_of_group.get(group, {})
    extra = all(tags.get(key) == value for key, value in settings.target_security_group_tags.items())
    ownership = tags.get(names.CCM_CLUSTER_PREFIX + cluster)
    return (not extra, ownership is None, ownership != names.OWNED, group)
