"""What a network balancer should look like: balancer, target groups, listeners, security groups. Pure.

Names and tags are CCM's in mode `nlb-legacy`, LBC's in the others. A living balancer keeps its subnets unless the
Service names others, and living target groups keep their names as long as nothing changes that is fixed in them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from lbctl.errors import MissingFact
from lbctl.model.resource import NOTHING, Key, Ref, Resource, Seen
from lbctl_aws import attributes, names
from lbctl_aws.checks import is_internal
from lbctl_aws.generations import choose_group_name, choose_name, forwarded
from lbctl_aws.health import HealthCheck, group_check
from lbctl_aws.listeners import ListenerWish, build_listeners
from lbctl_aws.model_groups import Groups, network_groups
from lbctl_aws.names import GroupTraits
from lbctl_aws.network import INTERNAL, PUBLIC, Subnet, Wanted, ccm_subnets, lbc_subnets, named_subnets
from lbctl_aws.place import NETWORK, TARGETS, Place, listener_key
from lbctl_aws.sharing import read_upstream, remembered_targets, share
from lbctl_aws.targets import PodGroup, instance_targets, pod_targets

FIXED_GROUP_FIELDS = ("protocol", "port", "target_type", "family", "vpc")
ANY_PORT = 1
"""Port of a target group whose targets each bring their own (LBC: named target ports)."""


@dataclass(frozen=True, slots=True)
class NetworkModel:
    """The balancer's key and everything that belongs to it."""

    key: Key
    resources: tuple[Resource, ...]


def build_network(place: Place) -> NetworkModel:
    """Everything of one network balancer; `MissingFact` explains what AWS or the operator has to provide."""
    scheme = _scheme(place)
    subnets = named_subnets(place.options.subnets, place.facts.network) if place.options.subnets else ()
    fixed = _fixed(place, scheme, subnets)
    name = choose_name(place, NETWORK, _base_name(place, scheme), fixed)
    key = Key(NETWORK, name)
    live = place.observed.get(key)
    chosen = subnets or _subnets(place, scheme, live)
    groups = network_groups(place, live_has_groups=None if live is None else bool(live.resource.fields.get("groups")))
    balancer = Resource(
        key,
        name=name,
        fields={**_balancer_fields(place, groups, chosen), **_fixed(place, scheme, chosen)},
        owners=place.owners,
        needs=groups.needs,
    )
    ports = [part for wish in build_listeners(place.intent) for part in _port(place, key, wish)]
    return NetworkModel(key, (*groups.resources, balancer, *ports))


def _scheme(place: Place) -> str:
    internal = is_internal(place.options)
    if internal is None:
        living = next((str(seen.resource.fields["scheme"]) for seen in place.owned(NETWORK)), "")
        return living or place.settings.default_load_balancer_scheme
    return INTERNAL if internal else PUBLIC


def _base_name(place: Place, scheme: str) -> str:
    if place.options.is_ccm:
        return names.ccm_balancer(place.owner.uid)
    return place.options.name or names.lbc_balancer(place.cluster, place.owner, scheme)


def _subnets(place: Place, scheme: str, live: Seen | None) -> tuple[Subnet, ...]:
    network = place.facts.network
    if live is not None and not place.settings.follow_subnets:
        current = live.resource.fields["subnets"]
        assert isinstance(current, frozenset)
        return tuple(subnet for subnet in network.subnets if subnet.id in current)
    choose = ccm_subnets if place.options.is_ccm else lbc_subnets
    return choose(network, Wanted(scheme, place.cluster, place.options.is_dual))


def _fixed(place: Place, scheme: str, subnets: tuple[Subnet, ...]) -> dict[str, Hashable]:
    """Fields that no call changes; None where the Service leaves them open."""
    return {
        "scheme": scheme,
        "elastic": _elastic(place, subnets),
        "private": _private(place, subnets),
    }


def _elastic(place: Place, subnets: tuple[Subnet, ...]) -> Hashable:
    allocations = place.options.eip_allocations
    if not allocations:
        return None
    if not subnets:
        return _living_field(place, "elastic", allocations)
    if len(allocations) != len(subnets):
        zones = ", ".join(subnet.zone for subnet in subnets)
        raise MissingFact(
            f"{len(allocations)} elastic addresses are given for {len(subnets)} subnets ({zones})",
            hint="give one allocation for each subnet, or name the subnets",
        )
    return frozenset(zip((subnet.id for subnet in subnets), allocations, strict=True))


def _living_field(place: Place, field: str, values: tuple[str, ...]) -> Hashable:
    """The pairs of a living balancer when they hold exactly these values, whatever subnet each is in."""
    for seen in place.owned(NETWORK):
        pairs = seen.resource.fields.get(field)
        if isinstance(pairs, frozenset) and {value for _, value in pairs} == set(values):
            return pairs
    return frozenset(("", value) for value in values)


def _private(place: Place, subnets: tuple[Subnet, ...]) -> Hashable:
    addresses = place.options.private_ipv4_addresses
    if not addresses:
        return None
    if not subnets:
        return _living_field(place, "private", addresses)
    return frozenset((_subnet_of(address, subnets).id, address) for address in addresses)


def _subnet_of(address: str, subnets: tuple[Subnet, ...]) -> Subnet:
    for subnet in subnets:
        if ipaddress.ip_address(address) in ipaddress.ip_network(subnet.cidr):
            return subnet
    listed = ", ".join(f"{subnet.id} {subnet.cidr}" for subnet in subnets)
    raise MissingFact(f"{address} lies in none of the balancer's subnets ({listed})", hint="correct the address")


def _balancer_fields(place: Place, groups: Groups, subnets: tuple[Subnet, ...]) -> dict[str, Hashable]:
    options = place.options
    scheme = _scheme(place)
    own = (
        names.ccm_tags(place.cluster, place.owner)
        if options.is_ccm
        else names.lbc_tags(place.cluster, place.owner, "LoadBalancer")
    )
    resets = ((key, attributes.balancer_default(key, scheme=scheme)) for key in attributes.remembered(options, "lb"))
    return {
        "family": options.ip_address_type,
        "subnets": frozenset(subnet.id for subnet in subnets),
        "groups": frozenset(groups.attached),
        "private_link": options.inbound_sg_rules_on_private_link_traffic if groups.attached else None,
        "source_nat": options.enable_prefix_for_ipv6_source_nat if options.is_dual else None,
        "source_nat_prefixes": _pairs(subnets, options.source_nat_ipv6_prefixes),
        "ipv6_addresses": _pairs(subnets, options.ipv6_addresses),
        "capacity": _capacity(options.minimum_load_balancer_capacity),
        "tags": place.tags(own),
        **attributes.as_fields(attributes.balancer_attributes(options), resets),
    }


def _pairs(subnets: tuple[Subnet, ...], values: tuple[str, ...] | None) -> Hashable:
    if not values:
        return None
    return frozenset(zip((subnet.id for subnet in subnets), values, strict=False))


def _capacity(text: str | None) -> Hashable:
    return None if text is None else text.partition("=")[2]


def _port(place: Place, balancer: Key, wish: ListenerWish) -> tuple[Resource, ...]:
    group = _target_group(place, balancer, wish)
    return group, _listener(place, balancer, wish, group.key)


def _target_group(place: Place, balancer: Key, wish: ListenerWish) -> Resource:
    check = group_check(place.intent, place.settings)
    port = _group_port(place, wish)
    fields: dict[str, Hashable] = {
        "protocol": wish.backend,
        "port": port,
        "target_type": place.options.target_type,
        "family": "ipv6" if place.options.target_type == "ip" and place.intent.families[:1] == ("IPv6",) else "ipv4",
        "vpc": place.facts.network.vpc_id,
    }
    base = _group_name(place, wish, check, port)
    name = _living_group(place, balancer, wish, fields) or choose_group_name(place, base, balancer.id)
    fields.update(health_fields(check))
    fields["tags"] = place.tags(_group_tags(place, wish))
    fields.update(_targets(place, wish, Key(TARGETS, name), port))
    resets = (
        (key, attributes.group_default(key, target_type=place.options.target_type, protocol=wish.backend))
        for key in attributes.remembered(place.options, f"tg/{wish.port}")
    )
    fields.update(attributes.as_fields(attributes.group_attributes(place.options, wish.port), resets))
    return Resource(Key(TARGETS, name), name=name, fields=fields, owners=place.owners)


def health_fields(check: HealthCheck) -> dict[str, Hashable]:
    """A health check as fields; None where the API's default is taken."""
    return {
        "health_protocol": check.protocol,
        "health_port": check.port,
        "health_path": check.path or None,
        "health_interval": check.interval,
        "health_timeout": check.timeout or None,
        "health_healthy": check.healthy,
        "health_unhealthy": check.unhealthy,
        "health_codes": check.codes or None,
    }


def _group_port(place: Place, wish: ListenerWish) -> int:
    if place.options.target_type == "instance":
        return wish.first.node_port
    target = wish.first.target_port or wish.first.port
    return target if isinstance(target, int) else ANY_PORT


def _group_name(place: Place, wish: ListenerWish, check: HealthCheck, port: int) -> str:
    traits = GroupTraits(wish.port, port, wish.backend, place.options.target_type, check.protocol, check.interval)
    if place.options.is_ccm:
        return names.ccm_target_group(place.cluster, place.owner, traits)
    return names.lbc_target_group(place.cluster, place.owner, traits, service_port=str(wish.port))


def _living_group(place: Place, balancer: Key, wish: ListenerWish, fixed: dict[str, Hashable]) -> str:
    """The target group that the port's listener uses now, if all that is fixed in it still fits.

    Upstream's names hold the health check's protocol and interval, which the API can change in place.
    """
    listener = place.observed.get(listener_key(balancer.id, wish.port, classic=False))
    arns = {arn for arn, _ in forwarded(listener)} if listener is not None else set()
    for seen in place.owned(TARGETS):
        same = all(seen.resource.fields.get(field) == fixed[field] for field in FIXED_GROUP_FIELDS)
        if same and seen.outputs.get("arn") in arns:
            return seen.key.id
    return ""


def _group_tags(place: Place, wish: ListenerWish) -> dict[str, str]:
    if place.options.is_ccm:
        return names.ccm_tags(place.cluster, place.owner)
    return names.lbc_tags(place.cluster, place.owner, f"{place.owner.key}:{wish.port}")


def _targets(place: Place, wish: ListenerWish, group: Key, port: int) -> dict[str, frozenset[str]]:
    """The targets that are wanted; what is there while nodes, or the Service's slices, are not known at all.

    A Service with a selector has a slice even without pods, so none means that they have not been read yet.
    """
    is_instance = place.options.target_type == "instance"
    is_known = len(place.world.nodes) > 0 if is_instance else bool(place.world.slices.get(place.owner))
    there = _living_targets(place, group)
    if not is_known:
        return {"targets": there}
    if is_instance:
        wanted = instance_targets(place.world, place.options, limit=place.settings.max_targets_per_target_group)
    else:
        into = PodGroup(group.id, port, place.facts.network)
        wanted = frozenset().union(*(pod_targets(place.world, place.intent, one, into) for one in wish.ports))
    if not place.options.multi_cluster_target_group:
        return {"targets": wanted}
    ours = remembered_targets(place.options, wish.port)
    if ours is None:
        ours = read_upstream(place.facts.lbc_targets.get(group.id, NOTHING), group_port=port)
    return share(there, wanted, ours, port=wish.port)


def _living_targets(place: Place, group: Key) -> frozenset[str]:
    seen = place.observed.get(group)
    targets = seen.resource.fields.get("targets") if seen is not None else None
    return targets if isinstance(targets, frozenset) else frozenset()


def _listener(place: Place, balancer: Key, wish: ListenerWish, group: Key) -> Resource:
    options = place.options
    own = (
        names.ccm_tags(place.cluster, place.owner)
        if options.is_ccm
        else names.lbc_tags(place.cluster, place.owner, str(wish.port))
    )
    default_policy = place.settings.default_ssl_policy if options.is_lbc else None
    resets = (
        (key, attributes.LISTENER_DEFAULTS.get(key, ""))
        for key in attributes.remembered(options, f"listener/{wish.port}")
    )
    forward = _normalised(tuple(_forward(place, wish, group)))
    return Resource(
        listener_key(balancer.id, wish.port, classic=False),
        name=f":{wish.port}",
        fields={
            "protocol": wish.protocol,
            "forward": forward,
            "sticky": len(forward) > 1
            and wish.action_key in options.actions
            and options.actions[wish.action_key].sticky,
            "certificate": options.ssl_cert[0] if wish.tls else None,
            "more_certificates": frozenset(options.ssl_cert[1:]) if wish.tls else None,
            "policy": (options.ssl_negotiation_policy or default_policy) if wish.tls else None,
            "alpn": options.alpn_policy if wish.tls else None,
            "tags": place.tags(own),
            **attributes.as_fields(attributes.listener_attributes(options, wish), resets),
        },
        owners=place.owners,
        needs=frozenset({balancer, *(arn.key for arn, _ in forward if isinstance(arn, Ref))}),
    )


def _normalised(forward: tuple[tuple[Ref | str, int], ...]) -> tuple[tuple[Ref | str, int], ...]:
    """A single target has no weight to speak of: the API answers without one."""
    return ((forward[0][0], 1),) if len(forward) == 1 else forward


def _forward(place: Place, wish: ListenerWish, group: Key) -> Iterator[tuple[Ref | str, int]]:
    """The port's own target group, and those that a weighted action names besides."""
    action = place.options.actions.get(wish.action_key)
    if action is None:
        yield Ref(group, "arn"), 1
        return
    if action.base_weight is not None or not action.targets:
        yield Ref(group, "arn"), 1 if action.base_weight is None else action.base_weight
    for target in action.targets:
        if target.arn:
            yield target.arn, target.weight
