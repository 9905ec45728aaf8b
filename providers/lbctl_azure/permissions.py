"""The least rights that the driver needs, as data, and the custom role made from them.

One table: an action of ARM, and what in a cluster makes it needed. `lbctl doctor` asks for the same list, the role in
`manifests/policies` is made from it, and the suite runs under exactly these. Pure but for reading azure.json, from
which alone follows how nodes join and whether there is a security group.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.errors import InvalidService
from lbctl.model.objects import Service
from lbctl_azure.parse import parse_service
from lbctl_azure.settings import CloudConfig, Settings
from lbctl_azure.sources import config_of_file
from lbctl_azure.wish import Wish

ROLE_NAME = "lbctl"
PLACEHOLDER = "/subscriptions/SUBSCRIPTION_ID"


class Need(enum.Enum):
    """What makes an action needed."""

    ALWAYS = "every cluster"
    PUBLIC = "an external Service"
    ADDRESS = "an external Service that brings no address of its own"
    PREFIX = "an address out of a prefix"
    PRIVATE = "an internal Service"
    GROUP = "a network security group"
    NODE_IP = "pools of node addresses"
    INTERFACES = "pools of interfaces"
    LINK = "a private link service"


EVERY_NEED = frozenset(Need)


@dataclass(frozen=True, slots=True)
class Permission:
    """One action of a role definition, and what makes it needed."""

    action: str
    need: Need


def _network(need: Need, kind: str, verbs: str) -> tuple[Permission, ...]:
    return tuple(Permission(f"Microsoft.Network/{kind}/{verb}", need) for verb in verbs.split())


def _compute(need: Need, kind: str, verbs: str) -> tuple[Permission, ...]:
    return tuple(Permission(f"Microsoft.Compute/{kind}/{verb}", need) for verb in verbs.split())


JOIN = "join/action"
PERMISSIONS: tuple[Permission, ...] = (
    *_network(Need.ALWAYS, "loadBalancers", "read write delete"),
    *_network(Need.ALWAYS, "locations/operations", "read"),
    *_network(Need.ALWAYS, "publicIPAddresses", "read"),
    *_network(Need.ALWAYS, "virtualNetworks/subnets", "read"),
    Permission("Microsoft.Resources/subscriptions/providers/read", Need.ALWAYS),
    # What follows up to the next blank line only `lbctl doctor` asks.
    *_network(Need.ALWAYS, "virtualNetworks", "read"),
    *_network(Need.ALWAYS, "locations/usages", "read"),
    Permission("Microsoft.Authorization/permissions/read", Need.ALWAYS),
    # And this only `lbctl status --targets`.
    *_network(Need.ALWAYS, "loadBalancers/loadBalancingRules", "health/action"),
    *_network(Need.ALWAYS, "locations/operationResults", "read"),

    *_network(Need.PUBLIC, "publicIPAddresses", JOIN),
    *_network(Need.ADDRESS, "publicIPAddresses", "write delete"),
    *_network(Need.PREFIX, "publicIPPrefixes", JOIN),
    *_network(Need.PRIVATE, "virtualNetworks/subnets", JOIN),
    *_network(Need.GROUP, "networkSecurityGroups", "read write"),
    # A security group is written whole, with the rules of others that name application security groups.
    *_network(Need.GROUP, "applicationSecurityGroups", "joinNetworkSecurityRule/action"),

    *_network(Need.NODE_IP, "loadBalancers/backendAddressPools", "write"),
    *_network(Need.NODE_IP, "virtualNetworks", "joinLoadBalancer/action"),

    *_network(Need.INTERFACES, "networkInterfaces", "read write"),
    *_network(Need.INTERFACES, "loadBalancers/backendAddressPools", JOIN),
    *_compute(Need.INTERFACES, "virtualMachineScaleSets", "read write"),
    *_compute(Need.INTERFACES, "virtualMachineScaleSets/virtualMachines", "read write"),
    *_compute(Need.INTERFACES, "locations/operations", "read"),
    # Interfaces, models and instances are written whole, with everything that they refer to.
    *_network(Need.INTERFACES, "networkSecurityGroups", JOIN),
    *_network(Need.INTERFACES, "applicationSecurityGroups", "joinIpConfiguration/action"),
    *_network(Need.INTERFACES, "loadBalancers/inboundNatRules", JOIN),
    *_network(Need.INTERFACES, "loadBalancers/inboundNatPools", JOIN),
    *_network(Need.INTERFACES, "loadBalancers/probes", JOIN),
    *_network(Need.INTERFACES, "publicIPAddresses", JOIN),
    *_network(Need.INTERFACES, "virtualNetworks/subnets", JOIN),

    *_network(Need.LINK, "privateLinkServices", "read write delete"),
    *_network(Need.LINK, "privateLinkServices/privateEndpointConnections", "read delete"),
    *_network(Need.LINK, "loadBalancers/frontendIPConfigurations", JOIN),
    # The subnet of a private link's addresses is opened for it, and written whole with its group and route table.
    *_network(Need.LINK, "virtualNetworks/subnets", f"write {JOIN}"),
    *_network(Need.LINK, "networkSecurityGroups", JOIN),
    *_network(Need.LINK, "routeTables", JOIN),
    *_network(Need.LINK, "natGateways", JOIN),
)  # fmt: skip


def build_role(settings: Settings, services: Iterable[Service] | None) -> Mapping[str, Any]:
    """The custom role in the form that `az role definition create` reads, for these Services of one cluster.

    None for `services` is everything that Services of the cluster can come to need. Where azure.json is not there, what
    it would leave out stays in, and the subscription is yet to be named. No calls.
    """
    config = config_of_file(settings.cloud_config)
    if config is None:
        return role_of(actions_for(_needs_without_config(services, settings)), (PLACEHOLDER,))
    wanted = possible_needs(config) if services is None else _needs_of_services(services, config, settings)
    return role_of(actions_for(wanted | needs_of_config(config)), subscriptions_of(config))


def _needs_without_config(services: Iterable[Service] | None, settings: Settings) -> frozenset[Need]:
    if services is None:
        return EVERY_NEED
    return _needs_of_services(services, CloudConfig(), settings) | {Need.GROUP, Need.NODE_IP, Need.INTERFACES}


def role_of(actions: Iterable[str], scopes: Iterable[str]) -> dict[str, Any]:
    """A role definition of these actions."""
    return {
        "Name": ROLE_NAME,
        "IsCustom": True,
        "Description": "What lbctl needs to serve Services of type LoadBalancer.",
        "Actions": list(actions),
        "NotActions": [],
        "DataActions": [],
        "NotDataActions": [],
        "AssignableScopes": list(scopes),
    }


def actions_for(needs: Iterable[Need]) -> tuple[str, ...]:
    """The actions that these needs add up to, sorted, each once."""
    wanted = {Need.ALWAYS, *needs}
    return tuple(sorted({permission.action for permission in PERMISSIONS if permission.need in wanted}))


def needs_of_config(config: CloudConfig) -> frozenset[Need]:
    """What follows from azure.json alone."""
    joining = Need.NODE_IP if config.uses_node_ips else Need.INTERFACES
    return frozenset({joining, Need.GROUP} if config.security_group else {joining})


def possible_needs(config: CloudConfig) -> frozenset[Need]:
    """Everything that Services of this cluster can come to need; private links need pools of interfaces."""
    impossible = {Need.GROUP, Need.NODE_IP, Need.INTERFACES, *([Need.LINK] if config.uses_node_ips else [])}
    return EVERY_NEED - impossible | needs_of_config(config)


def subscriptions_of(config: CloudConfig) -> tuple[str, ...]:
    """Where the role has to be assignable: the cluster's subscription, and that of its network where it is another."""
    ids = dict.fromkeys((config.group.subscription, config.subscription_id))
    return tuple(f"/subscriptions/{subscription}" for subscription in ids)


def _needs_of_services(services: Iterable[Service], config: CloudConfig, settings: Settings) -> frozenset[Need]:
    wishes = (_wish_of(service, config, settings) for service in services if service.spec.type == "LoadBalancer")
    return frozenset(need for wish in wishes if wish is not None for need in _needs_of(wish))


def _wish_of(service: Service, config: CloudConfig, settings: Settings) -> Wish | None:
    """None for a Service that is not valid: nothing is done for it."""
    try:
        return parse_service(service, config=config, settings=settings)
    except InvalidService:
        return None


def _needs_of(wish: Wish) -> frozenset[Need]:
    checks = {
        Need.PUBLIC: not wish.internal,
        Need.ADDRESS: not wish.internal and not all(front.is_pinned for front in wish.fronts),
        Need.PREFIX: any(front.prefix_id for front in wish.fronts),
        Need.PRIVATE: wish.internal,
        Need.LINK: wish.private_link is not None,
    }
    return frozenset(need for need, applies in checks.items() if applies)
