"""Which security groups a balancer gets, and the rules of the managed one. Pure.

CCM: a managed group for classic balancers, none for network balancers unless the cloud configuration says so. LBC: a
managed group towards the clients and one that all balancers of the cluster share towards the nodes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from lbctl.errors import MissingFact
from lbctl.model.intent import Intent
from lbctl.model.ranges import family_of
from lbctl.model.resource import Key, Resource
from lbctl_aws import names
from lbctl_aws.firewall import Rule, mtu_rule, mtu_rule_v6
from lbctl_aws.listeners import DATAGRAM
from lbctl_aws.options import Options, options_of
from lbctl_aws.place import BACKEND_SCOPE, GROUP, RULE, Place, group_ref
from lbctl_aws.settings import AwsSettings


@dataclass(frozen=True, slots=True)
class Groups:
    """The security groups of one balancer: their ids or references in order, and what has to be made for them."""

    attached: tuple[Hashable, ...] = ()
    resources: tuple[Resource, ...] = ()

    @property
    def needs(self) -> frozenset[Key]:
        """Keys of the groups that are made for the balancer."""
        return frozenset(resource.key for resource in self.resources if resource.key.kind == GROUP)


def uses_backend_group(intent: Intent, settings: AwsSettings) -> bool:
    """True when the balancer carries the group that all balancers of the cluster share."""
    options = options_of(intent)
    wanted = options.is_lbc and settings.enable_backend_security_group and not options.disable_nlb_sg
    return wanted and manages_node_rules(options)


def manages_node_rules(options: Options) -> bool:
    """True when rules on nodes and pods are kept for this balancer.

    LBC: yes with a managed group or none at all, no with the Service's own groups, unless it says so.
    """
    if options.manage_backend_security_group_rules is not None:
        return options.manage_backend_security_group_rules
    return options.is_ccm or options.security_groups is None


def makes_group(intent: Intent, settings: AwsSettings) -> bool:
    """True when a security group is made for the Service, alone or with others."""
    options = options_of(intent)
    if options.is_classic:
        return not (options.security_groups or settings.elb_security_group)
    if options.is_ccm:
        return bool(settings.nlb_security_group_mode) and not options.security_groups
    shared = uses_backend_group(intent, settings) and not settings.backend_security_group
    return shared or not (options.disable_nlb_sg or options.security_groups)


def classic_groups(place: Place, balancer: str) -> Groups:
    """The groups of a classic balancer: the Service's, the operator's or a managed one, then the extra ones."""
    chosen: tuple[Hashable, ...] = place.options.security_groups or ()
    if not chosen and place.settings.elb_security_group:
        chosen = (place.settings.elb_security_group,)
    extra = tuple(group for group in place.options.extra_security_groups if group not in chosen)
    if chosen:
        return Groups((*chosen, *extra))
    name = names.classic_group(balancer)
    description = names.classic_group_description(balancer, place.owner)
    tags = {names.CCM_CLUSTER_PREFIX + place.cluster: names.OWNED}
    resources = _managed(place, name=name, description=description, tags=tags)
    return Groups((group_ref(name), *extra), resources)


def network_groups(place: Place, *, live_has_groups: bool | None) -> Groups:
    """The groups of a network balancer; one that lives without any can never get one, so it stays so."""
    if live_has_groups is False or not _wants_groups(place):
        return Groups()
    backend = _backend(place)
    if place.options.security_groups:
        return Groups((*_resolved(place), *backend))
    name = names.frontend_group(place.cluster, place.owner)
    if place.options.is_lbc:
        tags = names.lbc_tags(place.cluster, place.owner, "ManagedLBSecurityGroup")
    else:
        tags = {names.CCM_CLUSTER_PREFIX + place.cluster: names.OWNED}
    resources = _managed(place, name=name, description=names.MANAGED_DESCRIPTION, tags=tags)
    return Groups((group_ref(name), *backend), resources)


def _wants_groups(place: Place) -> bool:
    if place.options.is_lbc:
        return not place.options.disable_nlb_sg
    return bool(place.settings.nlb_security_group_mode)


def _backend(place: Place) -> tuple[Hashable, ...]:
    if not uses_backend_group(place.intent, place.settings):
        return ()
    if place.settings.backend_security_group:
        return (place.settings.backend_security_group,)
    return (group_ref(names.backend_group(place.cluster), scope=BACKEND_SCOPE),)


def _resolved(place: Place) -> Iterator[str]:
    for word in place.options.security_groups or ():
        found = word if word.startswith("sg-") else place.facts.groups_by_name.get(word)
        if found is None:
            raise MissingFact(
                f"no security group of {place.facts.network.vpc_id} is named {word}",
                hint="correct the annotation aws-load-balancer-security-groups",
            )
        yield found


def _managed(place: Place, *, name: str, description: str, tags: dict[str, str]) -> tuple[Resource, ...]:
    key = Key(GROUP, name)
    fields: dict[str, Hashable] = {
        "vpc": place.facts.network.vpc_id,
        "description": description,
        "tags": place.tags(tags),
    }
    group = Resource(key, name=name, fields=fields, owners=place.owners)
    return (group, *_rule_resources(place, key))


def _rule_resources(place: Place, group: Key) -> Iterator[Resource]:
    for rule in sorted(set(_frontend_rules(place))):
        yield Resource(
            Key(RULE, f"{group.id} {rule.text}"),
            name=group.id,
            owners=place.owners,
            needs=frozenset({group}),
        )


def _frontend_rules(place: Place) -> Iterator[Rule]:
    sources = (*place.source_ranges, *place.options.security_group_prefix_lists)
    for port in place.intent.ports:
        protocol = "udp" if port.protocol in DATAGRAM else "tcp"
        yield from (Rule(protocol, port.port, port.port, source) for source in sources)
    if place.options.is_ccm or place.options.enable_icmp_for_path_mtu_discovery == "on":
        yield from _mtu_rules(sources)


def _mtu_rules(sources: Iterable[str]) -> Iterator[Rule]:
    for source in sources:
        if not source.startswith("pl-"):
            yield mtu_rule(source) if family_of(source) == "IPv4" else mtu_rule_v6(source)
