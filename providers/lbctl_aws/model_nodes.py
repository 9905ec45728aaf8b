"""The rules on the groups of nodes and pods that let the balancers' traffic in, over all Services of the cluster. Pure.

One scope holds them all, because the 60 rules of a group are shared: when the rules of single ports do not fit, ranges
of ports are opened instead, one for each protocol and source. Rules that several Services share have no owner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.problem import Problem
from lbctl.model.ranges import served_ranges
from lbctl.model.resource import NOTHING, Desired, Identity, Key, Observed, Resource, Seen
from lbctl.model.status import Notice, Severity
from lbctl_aws import names
from lbctl_aws.attributes import PRESERVE_IP, group_attributes, group_default
from lbctl_aws.firewall import Rule, all_from, mtu_rule, parse_rule
from lbctl_aws.health import TRAFFIC_PORT, group_check
from lbctl_aws.listeners import DATAGRAM, build_listeners
from lbctl_aws.model_groups import manages_node_rules
from lbctl_aws.network import INTERNAL, Network
from lbctl_aws.options import Options, options_of
from lbctl_aws.place import (
    BACKEND_SCOPE,
    BALANCER,
    BALANCERS,
    CLASSIC,
    GROUP,
    NODE_SCOPE,
    RULE,
    SOLE,
    balancer_scope,
    is_of_lbc,
)
from lbctl_aws.settings import AwsSettings
from lbctl_aws.targets import InstanceIds

EVERYBODY = "0.0.0.0/0"
PORTS = (0, 65535)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What node rules need of AWS: the network, the groups of each instance and target pod, and each group's tags.

    A pod without groups shares those of its node.
    """

    network: Network
    groups_of_instance: Mapping[str, tuple[str, ...]] = NOTHING
    groups_of_pod: Mapping[str, tuple[str, ...]] = NOTHING
    tags_of_group: Mapping[str, Mapping[str, str]] = NOTHING


@dataclass(frozen=True, slots=True)
class Wish:
    """One rule that is wanted, its description, and the Service that alone needs it."""

    rule: Rule
    description: str
    owner: Identity | None


def build_node_rules(world: World, facts: NodeFacts, settings: AwsSettings, cluster: str) -> Desired:
    """Every rule that nodes need, the same for each group that nodes have; empty when the operator forbids them.

    Groups that only pods have (security groups for pods, Fargate) get the rules of those Services that send to pods.
    """
    if settings.disable_security_group_ingress:
        return Desired.of(NODE_SCOPE, ())
    groups, notices = _node_groups(world, facts, settings, cluster)
    to_pods = {i: intent for i, intent in world.intents.items() if options_of(intent).target_type == "ip"}
    observed = world.observed.get(NODE_SCOPE, Observed(NODE_SCOPE))
    narrows = _all_take_part(world) and _is_sole_user(world, cluster)
    resources: dict[Key, Resource] = {}
    for takers, intents in ((groups, world.intents), (_pod_groups(facts, settings, cluster) - groups, to_pods)):
        wishes = list(_wishes(replace(world, intents=intents), facts, settings, cluster)) if takers else []
        for group in sorted(takers):
            here = wishes if narrows else [replace(wish, rule=_living(wish, group, observed)) for wish in wishes]
            resources.update((r.key, r) for r in _resources(group, here, observed, settings, cluster))
    resources = {**{resource.key: resource for resource in _kept(world, observed)}, **resources}
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
    """Shared rules stay while a balancer serves whose Service is not in this plan.

    Such a Service is frozen (invalid, or not yet marked as ours) or leaving; what it alone owns the engine keeps, but
    nobody owns a shared rule.
    """
    if _all_take_part(world):
        return
    for seen in observed.of_kind(RULE):
        if seen.ours and not seen.resource.owners:
            yield seen.resource


def _all_take_part(world: World) -> bool:
    scopes = (seen for scope, seen in world.observed.items() if scope.kind == BALANCER)
    owners = {owner for scope in scopes for seen in scope.resources.values() for owner in seen.resource.owners}
    return owners <= world.intents.keys()


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


def merged(wishes: Iterable[Wish], description: str) -> Iterator[Wish]:
    """The same traffic with one rule for each protocol and source, over all ports from the lowest to the highest."""
    grouped: dict[tuple[str, str], list[Wish]] = defaultdict(list)
    for wish in wishes:
        if wish.rule.protocol in {"tcp", "udp"}:
            grouped[(wish.rule.protocol, wish.rule.source)].append(wish)
        else:
            yield wish
    for (protocol, source), members in sorted(grouped.items()):
        low, high = min(w.rule.low for w in members), max(w.rule.high for w in members)
        yield members[0] if len(members) == 1 else Wish(Rule(protocol, low, high, source), description, None)


def _wishes(world: World, facts: NodeFacts, settings: AwsSettings, cluster: str) -> Iterator[Wish]:
    shared: list[Rule] = []
    backend = _backend_id(world, settings, cluster)
    for identity, intent in sorted(world.intents.items()):
        options = options_of(intent)
        if not manages_node_rules(options):
            continue
        observed = world.observed.get(balancer_scope(identity))
        for balancer in _balancers(observed, identity):
            if balancer.key.kind == CLASSIC:
                yield from _from_group(world, balancer, identity, cluster)
            elif is_of_lbc(balancer) and backend in _groups(balancer):
                shared.extend(_port_rules(intent, settings, backend))
            elif _groups(balancer):
                yield from _from_group(world, balancer, identity, cluster)
            else:
                yield from _from_clients(intent, balancer, facts.network, settings)
    # One rule for each protocol, from the lowest to the highest port of all Services, as LBC has it.
    yield from merged((Wish(rule, names.SHARED_RULE, None) for rule in shared), names.SHARED_RULE)


def _balancers(observed: Observed | None, identity: Identity) -> Iterator[Seen]:
    if observed is None:
        return
    for kind in sorted(BALANCERS):
        yield from (s for s in observed.of_kind(kind) if s.ours and identity in s.resource.owners)


def _groups(balancer: Seen) -> frozenset[str]:
    groups = balancer.resource.fields.get("groups")
    return groups if isinstance(groups, frozenset) else frozenset()


def _backend_id(world: World, settings: AwsSettings, cluster: str) -> str:
    if settings.backend_security_group:
        return settings.backend_security_group
    observed = world.observed.get(BACKEND_SCOPE)
    seen = observed.get(Key(GROUP, names.backend_group(cluster))) if observed else None
    return seen.outputs.get("id", "") if seen else ""


def _from_group(world: World, balancer: Seen, identity: Identity, cluster: str) -> Iterator[Wish]:
    """Everything from the balancer's first group: the managed one, else the lowest id (CCM: security group rules)."""
    observed = world.observed[balancer_scope(identity)]
    managed = {seen.outputs.get("id") for seen in observed.of_kind(GROUP) if seen.ours}
    first = min(_groups(balancer), key=lambda group: (group not in managed, group), default="")
    if first in managed:  # upstream describes its rules in LBC's modes only
        yield Wish(all_from(first), names.SHARED_RULE if is_of_lbc(balancer) else "", identity)
    elif first:  # the Service's own group may serve several balancers, so no Service alone owns the rule
        yield Wish(all_from(first), f"{names.OUR_RULE}{cluster}", None)


def _port_rules(intent: Intent, settings: AwsSettings, source: str) -> Iterator[Rule]:
    if not source:
        return
    if settings.disable_restricted_sg_rules:
        yield Rule("tcp", *PORTS, source)
        return
    for protocol, port in _traffic(intent):
        low, high = (port, port) if port else PORTS
        yield Rule(protocol, low, high, source)
    check = group_check(intent, settings)
    if check.port != TRAFFIC_PORT:
        yield Rule("tcp", int(check.port), int(check.port), source)


def _traffic(intent: Intent) -> Iterator[tuple[str, int]]:
    """Protocol and port at the target for each Service port; port 0 where pods bring their own."""
    is_instance = options_of(intent).target_type == "instance"
    for port in intent.ports:
        protocol = "udp" if port.protocol in DATAGRAM else "tcp"
        target = port.target_port or port.port
        number = port.node_port if is_instance else (target if isinstance(target, int) else 0)
        yield protocol, number


def _from_clients(intent: Intent, balancer: Seen, network: Network, settings: AwsSettings) -> Iterator[Wish]:
    """Rules for a balancer without groups: clients keep their address, health checks come from its subnets."""
    owner = intent.identity
    name = balancer.key.id
    subnets = _subnet_cidrs(balancer, network)
    clients = _client_ranges(intent, balancer, network) if _keeps_address(intent) else subnets
    client, health = (
        (names.SHARED_RULE,) * 2 if is_of_lbc(balancer) else (names.CLIENT_RULE + name, names.HEALTH_RULE + name)
    )
    ports = set(_traffic(intent))
    for protocol, port in sorted(ports):
        low, high = (port, port) if port else PORTS
        for source in sorted(clients):
            yield Wish(Rule(protocol, low, high, source), client, owner)
    for port in sorted(_health_ports(intent, settings)):
        if EVERYBODY in clients and ("tcp", port) in ports:
            continue
        shared = settings.shared_probe and not intent.local
        for source in sorted(subnets):
            yield Wish(Rule("tcp", port, port, source), health, None if shared else owner)
    for source in () if is_of_lbc(balancer) else sorted(clients):
        yield Wish(mtu_rule(source), names.MTU_RULE, None)


def _keeps_address(intent: Intent) -> bool:
    options: Options = options_of(intent)
    for wish in build_listeners(intent):
        default = group_default(PRESERVE_IP, target_type=options.target_type, protocol=wish.backend)
        if group_attributes(options, wish.port).get(PRESERVE_IP, default) == "true":
            return True
    return False


def _client_ranges(intent: Intent, balancer: Seen, network: Network) -> frozenset[str]:
    lbc_internal = is_of_lbc(balancer) and balancer.resource.fields.get("scheme") == INTERNAL
    if lbc_internal and not intent.source_ranges:
        return frozenset(cidr for cidr in network.cidrs if ":" not in cidr)
    return served_ranges(intent.source_ranges, ("IPv4",))[0]


def _subnet_cidrs(balancer: Seen, network: Network) -> frozenset[str]:
    subnets = balancer.resource.fields.get("subnets")
    ids = subnets if isinstance(subnets, frozenset) else frozenset()
    return frozenset(subnet.cidr for subnet in network.subnets if subnet.id in ids)


def _health_ports(intent: Intent, settings: AwsSettings) -> frozenset[int]:
    port = group_check(intent, settings).port
    if port != TRAFFIC_PORT:
        return frozenset({int(port)})
    return frozenset(number for _, number in _traffic(intent) if number)


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
