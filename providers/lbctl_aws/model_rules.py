"""Which traffic the balancers send to nodes and pods, as the rules that let it in. Pure.

A balancer with security groups sends from one of them; without any, clients and its own subnets are the sources.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.ranges import ALLOW_ALL, family_of, served_ranges
from lbctl.model.resource import Identity, Key, Observed, Seen
from lbctl_aws import names
from lbctl_aws.attributes import PRESERVE_IP, group_attributes, group_default
from lbctl_aws.backends import GroupWish, all_groups, find_backends
from lbctl_aws.firewall import Rule, all_from, mtu_rule
from lbctl_aws.health import TRAFFIC_PORT, group_check
from lbctl_aws.listeners import DATAGRAM
from lbctl_aws.model_groups import manages_node_rules
from lbctl_aws.network import INTERNAL, Network
from lbctl_aws.options import options_of
from lbctl_aws.place import BACKEND_SCOPE, BALANCERS, CLASSIC, GROUP, balancer_scope, is_of_lbc
from lbctl_aws.settings import AwsSettings

PORTS = (0, 65535)


@dataclass(frozen=True, slots=True)
class Wish:
    """One rule that is wanted, its description, and the Service that alone needs it."""

    rule: Rule
    description: str
    owner: Identity | None


def rule_wishes(world: World, network: Network, settings: AwsSettings, cluster: str) -> Iterator[Wish]:
    """Every rule that the living balancers of these Services need, the same for each group of nodes or pods."""
    for wish in _wishes(world, network, settings, cluster):
        is_lbc = wish.description == names.SHARED_RULE
        yield replace(wish, description=names.shared_rule(cluster)) if is_lbc else wish


def _wishes(world: World, network: Network, settings: AwsSettings, cluster: str) -> Iterator[Wish]:
    shared: list[Rule] = []
    backend = _backend_id(world, settings, cluster)
    for identity, intent in sorted(world.intents.items()):
        options = options_of(intent)
        if not manages_node_rules(options):
            continue
        observed = world.observed.get(balancer_scope(identity))
        groups = all_groups(intent, find_backends(intent, world.referred))
        for balancer in _balancers(observed, identity):
            if balancer.key.kind == CLASSIC:
                yield from _from_group(world, balancer, identity, cluster)
            elif is_of_lbc(balancer) and backend in _groups(balancer):
                shared.extend(_port_rules(groups, settings, backend))
            elif _groups(balancer):
                yield from _from_group(world, balancer, identity, cluster)
            else:
                yield from _from_clients(intent, groups, balancer, network, settings)
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


def _port_rules(groups: Iterable[GroupWish], settings: AwsSettings, source: str) -> Iterator[Rule]:
    """Traffic and health checks from the shared group; checks are always TCP (LBC: target group binding's ports)."""
    if not source:
        return
    for group in groups:
        probed = {("tcp", port) for port in _health_ports(group, settings)}
        for protocol, port in sorted({*_traffic(group), *probed}):
            yield Rule(protocol, *(PORTS if settings.disable_restricted_sg_rules else _range(port)), source)


def _traffic(group: GroupWish) -> Iterator[tuple[str, int]]:
    """Protocol and port at the target for each Service port; port 0 where pods bring their own."""
    is_instance = options_of(group.intent).target_type == "instance"
    for port in group.ports:
        protocol = "udp" if port.protocol in DATAGRAM else "tcp"
        target = port.target_port or port.port
        number = port.node_port if is_instance else (target if isinstance(target, int) else 0)
        yield protocol, number


def _from_clients(
    intent: Intent, groups: tuple[GroupWish, ...], balancer: Seen, network: Network, settings: AwsSettings
) -> Iterator[Wish]:
    """Rules for a balancer without groups: clients keep their address, health checks come from its subnets."""
    owner = intent.identity
    name = balancer.key.id
    clients = {group.place: _clients(group, intent, balancer, network) for group in groups}
    client, health = (
        (names.SHARED_RULE,) * 2 if is_of_lbc(balancer) else (names.CLIENT_RULE + name, names.HEALTH_RULE + name)
    )
    for group in groups:
        for rule in _traffic_rules(group, clients[group.place]):
            yield Wish(rule, client, owner)
    open_to_all = {
        (group.family, *port)
        for group in groups
        if ALLOW_ALL[group.family] in clients[group.place]
        for port in _traffic(group)
    }
    for group in groups:
        sole = None if settings.shared_probe and not group.intent.local else owner
        subnets = sorted(_subnet_cidrs(balancer, network, group.family))
        for port in sorted(p for p in _health_ports(group, settings) if (group.family, "tcp", p) not in open_to_all):
            yield from (Wish(Rule("tcp", *_range(port), source), health, sole) for source in subnets)
    if not is_of_lbc(balancer):
        for source in sorted(frozenset().union(*clients.values())):
            yield Wish(mtu_rule(source), names.MTU_RULE, None)


def _clients(group: GroupWish, intent: Intent, balancer: Seen, network: Network) -> frozenset[str]:
    """Where a group's traffic comes from.

    IPv4 clients of IPv6 targets come from the balancer itself: their addresses cannot be kept.
    """
    subnets = _subnet_cidrs(balancer, network, group.family)
    if not _keeps_address(group):
        return subnets
    kept = _client_ranges(intent, balancer, network, group.family)
    return kept | subnets if group.family == "IPv6" else kept


def _traffic_rules(group: GroupWish, sources: Iterable[str]) -> Iterator[Rule]:
    for protocol, port in sorted(set(_traffic(group))):
        yield from (Rule(protocol, *_range(port), source) for source in sorted(sources))


def _range(port: int) -> tuple[int, int]:
    return (port, port) if port else PORTS


def _keeps_address(group: GroupWish) -> bool:
    options = options_of(group.intent)
    default = group_default(PRESERVE_IP, target_type=options.target_type, protocol=group.protocol)
    return group_attributes(options, group.port).get(PRESERVE_IP, default) == "true"


def _client_ranges(intent: Intent, balancer: Seen, network: Network, family: str) -> frozenset[str]:
    lbc_internal = is_of_lbc(balancer) and balancer.resource.fields.get("scheme") == INTERNAL
    if lbc_internal and not intent.source_ranges:
        return frozenset(cidr for cidr in network.cidrs if family_of(cidr) == family)
    return served_ranges(intent.source_ranges, (family,))[0]


def _subnet_cidrs(balancer: Seen, network: Network, family: str) -> frozenset[str]:
    subnets = balancer.resource.fields.get("subnets")
    ids = subnets if isinstance(subnets, frozenset) else frozenset()
    used = [subnet for subnet in network.subnets if subnet.id in ids]
    if family == "IPv6":
        return frozenset(cidr for subnet in used for cidr in subnet.ipv6_cidrs)
    return frozenset(subnet.cidr for subnet in used)


def _health_ports(group: GroupWish, settings: AwsSettings) -> frozenset[int]:
    port = group_check(group.intent, settings).port
    if port != TRAFFIC_PORT:
        return frozenset({int(port)})
    return frozenset(number for _, number in _traffic(group))


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
