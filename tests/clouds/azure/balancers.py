"""Load balancers: one object that is judged, stored and shown as a whole.

Kept here: the order in which its parts are admitted, the back references that the service adds, and what a balancer
holds on to. The parts' rules are in `frontends`, `pools` and `balancer_rules`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from tests.clouds.azure import balancer_rules as rules
from tests.clouds.azure.cloud import Body, Change, Cloud, Kind, Part, Resource, Use
from tests.clouds.azure.errors import bad_request
from tests.clouds.azure.frontends import admit_frontends
from tests.clouds.azure.ids import ResourceId, key_of, top_key
from tests.clouds.azure.naming import check_envelope, check_part_names, sku_of
from tests.clouds.azure.networks import SUBNET_JOIN
from tests.clouds.azure.pools import admit_pools, check_deletable, interface_members
from tests.clouds.azure.public_ips import PREFIX_JOIN

if TYPE_CHECKING:
    from collections.abc import Iterator

_PUBLIC_IP_JOIN: Final = "Microsoft.Network/publicIPAddresses/join/action"
_NETWORK_JOIN: Final = "Microsoft.Network/virtualNetworks/joinLoadBalancer/action"
_DEFAULTS: Final = {
    "loadBalancingRules": rules.RULE_DEFAULTS,
    "probes": rules.PROBE_DEFAULTS,
    "inboundNatRules": rules.NAT_DEFAULTS,
    "inboundNatPools": rules.NAT_POOL_DEFAULTS,
    "outboundRules": rules.OUTBOUND_DEFAULTS,
}
_COLLECTIONS: Final = ("frontendIPConfigurations", "backendAddressPools", *_DEFAULTS)


def _admit_balancer(change: Change) -> Body:
    check_envelope(change)
    sku = sku_of(change)
    for collection in _COLLECTIONS:
        check_part_names(change, collection, change.properties.get(collection, ()))
    parts = {
        "frontendIPConfigurations": admit_frontends(change, sku),
        "backendAddressPools": admit_pools(change),
        **{collection: _filled(change, collection, defaults) for collection, defaults in _DEFAULTS.items()},
    }
    rules.check_rules(change, parts)
    _check_private_links(change, parts["frontendIPConfigurations"])
    return {**change.body, "sku": sku, "properties": {**change.properties, **parts}}


def _filled(change: Change, collection: str, defaults: Body) -> list[Body]:
    filled = []
    for part in change.properties.get(collection, ()):
        properties = {**defaults, **part.get("properties", {})}
        if collection == "loadBalancingRules":
            _fill_pools(properties)
        filled.append({**part, "properties": properties})
    return filled


def _fill_pools(properties: Body) -> None:
    """The service answers with the pool both as one reference and as a list of them."""
    single, several = properties.get("backendAddressPool"), properties.get("backendAddressPools")
    properties["backendAddressPools"] = several or ([single] if single else [])
    if single is None and several:
        properties["backendAddressPool"] = several[0]


def _check_private_links(change: Change, frontends: list[Body]) -> None:
    kept = {frontend["name"].lower() for frontend in frontends}
    for frontend in change.earlier.get("frontendIPConfigurations", ()):
        if frontend["name"].lower() not in kept:
            _check_unlinked(change.cloud, change.child("frontendIPConfigurations", frontend["name"]))


def _check_unlinked(cloud: Cloud, frontend: str) -> None:
    for user in cloud.users(frontend):
        raise bad_request(
            "FrontendIPConfigurationInUseByPrivateLinkService",
            f"Frontend IP configuration {frontend} is in use by private link service {user} and cannot be removed.",
        )


def _check_deletable(balancer: Resource, cloud: Cloud) -> None:
    check_deletable(balancer, cloud)
    for frontend in balancer.properties.get("frontendIPConfigurations", ()):
        _check_unlinked(cloud, f"{balancer.id}/frontendIPConfigurations/{frontend['name']}")


def _uses(identity: ResourceId, body: Body) -> Iterator[Use]:
    properties = body.get("properties", {})
    for frontend in properties.get("frontendIPConfigurations", ()):
        user, held = f"{identity}/frontendIPConfigurations/{frontend['name']}", frontend["properties"]
        if "publicIPAddress" in held:
            yield Use(held["publicIPAddress"]["id"], user, _PUBLIC_IP_JOIN)
        elif "publicIPPrefix" in held:
            yield Use(held["publicIPPrefix"]["id"], user, PREFIX_JOIN)
        else:
            yield Use(held["subnet"]["id"], user, SUBNET_JOIN, held.get("privateIPAddress", ""))
    for pool in properties.get("backendAddressPools", ()):
        if (network := pool["properties"].get("virtualNetwork")) is not None:
            yield Use(network["id"], f"{identity}/backendAddressPools/{pool['name']}", _NETWORK_JOIN)


def _committed(balancer: Resource, cloud: Cloud) -> None:
    """Interfaces let go of pools that are gone (assumed: the published pages do not say who lets go first)."""
    for interface in list(cloud.of_type("Microsoft.Network/networkInterfaces")):
        configurations = interface.properties.get("ipConfigurations", ())
        kept = [_without_lost_pools(balancer, cloud, configuration) for configuration in configurations]
        if kept != list(configurations):
            cloud.replace_properties(interface, {**interface.properties, "ipConfigurations": kept})


def _without_lost_pools(balancer: Resource, cloud: Cloud, configuration: Body) -> Body:
    properties = configuration["properties"]
    pools = [
        pool
        for pool in properties.get("loadBalancerBackendAddressPools", ())
        if top_key(key_of(pool["id"])) != balancer.id.key or cloud.has_part(pool["id"])
    ]
    if len(pools) == len(properties.get("loadBalancerBackendAddressPools", ())):
        return configuration
    return {**configuration, "properties": {**properties, "loadBalancerBackendAddressPools": pools}}


# What refers to what, and under which name the service shows it on the other side.
_BACK_REFERENCES: Final = (
    ("loadBalancingRules", ("frontendIPConfiguration", "backendAddressPools", "probe"), "loadBalancingRules"),
    ("inboundNatRules", ("frontendIPConfiguration", "backendAddressPool"), "inboundNatRules"),
    ("inboundNatPools", ("frontendIPConfiguration",), "inboundNatPools"),
    ("outboundRules", ("frontendIPConfigurations", "backendAddressPool"), "outboundRules"),
)


def _render_balancer(balancer: Resource, cloud: Cloud) -> Body:
    back = _back_references(balancer)
    shown = dict(balancer.properties)
    for collection in ("frontendIPConfigurations", "backendAddressPools", "probes"):
        shown[collection] = [
            {**part, "properties": {**part["properties"], **back[key_of(f"{balancer.id}/{collection}/{part['name']}")]}}
            for part in balancer.properties.get(collection, ())
        ]
    shown["backendAddressPools"] = [_with_members(balancer, cloud, pool) for pool in shown["backendAddressPools"]]
    return shown


def _back_references(balancer: Resource) -> defaultdict[str, dict[str, list[Body]]]:
    found: defaultdict[str, dict[str, list[Body]]] = defaultdict(dict)
    for collection, members, shown_as in _BACK_REFERENCES:
        for part in balancer.properties.get(collection, ()):
            reference = {"id": f"{balancer.id}/{collection}/{part['name']}"}
            for member in members:
                value = part["properties"].get(member)
                for target in value if isinstance(value, list) else [value] if value else ():
                    found[key_of(target["id"])].setdefault(shown_as, []).append(reference)
    return found


def _with_members(balancer: Resource, cloud: Cloud, pool: Body) -> Body:
    members = interface_members(cloud, f"{balancer.id}/backendAddressPools/{pool['name']}")
    if not members:
        return pool
    shown = {
        "backendIPConfigurations": [{"id": member} for member in members],
        "loadBalancerBackendAddresses": [
            {
                "name": f"{pool['name']}_{index}",
                "properties": {"networkInterfaceIPConfiguration": {"id": member}, "inboundNatRulesPortMapping": []},
            }
            for index, member in enumerate(members)
        ],
    }
    return {**pool, "properties": {**pool["properties"], **shown}}


KINDS: Final = (
    Kind(
        type="Microsoft.Network/loadBalancers",
        model="LoadBalancer",
        noun="LoadBalancer",
        admit=_admit_balancer,
        render=_render_balancer,
        uses=_uses,
        release=_check_deletable,
        committed=_committed,
        parts={
            "frontendIPConfigurations": Part("FrontendIPConfiguration", writable=False),
            "backendAddressPools": Part("BackendAddressPool"),
            "loadBalancingRules": Part("LoadBalancingRule", writable=False),
            "probes": Part("Probe", writable=False),
            "inboundNatRules": Part("InboundNatRule"),
            "inboundNatPools": Part("InboundNatPool", writable=False),
            "outboundRules": Part("OutboundRule", writable=False),
        },
    ),
)
