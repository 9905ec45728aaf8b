"""What a network balancer should look like: balancer, listeners, security groups. Pure.

Names and tags are CCM's in mode `nlb-legacy`, LBC's in the others. A living balancer keeps its subnets unless the
Service names others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

from lbctl.errors import MissingFact
from lbctl.model.resource import Key, Ref, Resource, Seen
from lbctl_aws import attributes, names
from lbctl_aws.backends import Backends, all_groups, find_backends
from lbctl_aws.checks import is_internal
from lbctl_aws.generations import choose_name
from lbctl_aws.grammar import Forward
from lbctl_aws.listeners import ListenerWish, build_listeners
from lbctl_aws.model_groups import Groups, network_groups
from lbctl_aws.model_targets import target_group
from lbctl_aws.network import INTERNAL, PUBLIC, Subnet, Wanted, ccm_subnets, lbc_subnets, named_subnets
from lbctl_aws.place import NETWORK, Place, listener_key

Weighted = tuple[tuple[Ref | str, int], ...]
"""Target groups of a listener, made or by ARN, with their weights."""


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
    return NetworkModel(key, (*groups.resources, balancer, *_listening(place, key)))


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


def _listening(place: Place, balancer: Key) -> Iterator[Resource]:
    """The target groups, each once whichever listeners send to it, then the listeners."""
    backends = find_backends(place.intent, place.world.referred)
    backends.need()
    groups = {wish.place: target_group(place, balancer, wish) for wish in all_groups(place.intent, backends)}
    yield from groups.values()
    for listener in build_listeners(place.intent):
        yield _listener(place, balancer, listener, tuple(_forward(place, listener, backends, groups)))


def _listener(place: Place, balancer: Key, wish: ListenerWish, forward: Weighted) -> Resource:
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
    forward = _normalised(forward)
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
        needs=frozenset({*_before(place, balancer), *(arn.key for arn, _ in forward if isinstance(arn, Ref))}),
    )


def _before(place: Place, balancer: Key) -> tuple[Key, ...]:
    """A listener waits for its balancer, but not for one that loses a family: IPv6 targets have to be left first."""
    live = place.observed.get(balancer)
    loses = live is not None and live.resource.fields.get("family") == "dualstack" and not place.options.is_dual
    return () if loses else (balancer,)


def _normalised(forward: Weighted) -> Weighted:
    """A single target has no weight to speak of: the API answers without one."""
    return ((forward[0][0], 1),) if len(forward) == 1 else forward


def _forward(
    place: Place, listener: ListenerWish, backends: Backends, groups: Mapping[str, Resource]
) -> Iterator[tuple[Ref | str, int]]:
    """The listener's own target group, and those that a weighted action names besides."""
    action = place.options.actions.get(listener.action_key, Forward())
    yield Ref(groups[str(listener.port)].key, "arn"), action.base_weight
    for target in action.targets:
        if target.arn:
            yield target.arn, target.weight
        else:
            wish = backends.groups[listener.action_key, target]
            yield Ref(groups[wish.place].key, "arn"), target.weight
