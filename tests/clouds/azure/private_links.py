"""Private link services and the connections to them.

Called through `Kind`. A service holds on to frontends of one balancer and to subnets; connections are made by others
(the world builder) and can be deleted by path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.clouds.azure.cloud import Body, Change, Cloud, Kind, Part, Resource, Use
from tests.clouds.azure.errors import bad_request, missing_reference
from tests.clouds.azure.ids import ResourceId, key_of, top_key
from tests.clouds.azure.interfaces import with_addresses
from tests.clouds.azure.naming import check_envelope, check_part_names
from tests.clouds.azure.networks import SUBNET_JOIN, find_subnet

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_ADDRESSES: Final = 8
_FRONTENDS: Final = "loadBalancerFrontendIpConfigurations"


def _admit_service(change: Change) -> Body:
    check_envelope(change)
    frontends = change.properties.get(_FRONTENDS, [])
    if not frontends:
        raise bad_request(
            "PrivateLinkServiceMustHaveFrontend",
            f"Private link service {change.id} must reference a load balancer frontend IP configuration.",
        )
    for frontend in frontends:
        _check_frontend(change, frontend["id"])
    configurations = change.properties.get("ipConfigurations", [])
    _check_configurations(change, configurations)
    for item in configurations:
        _check_subnet(change, item["properties"])
    return {
        **change.body,
        "properties": {
            "enableProxyProtocol": False,
            "fqdns": [],
            "visibility": {"subscriptions": []},
            "autoApproval": {"subscriptions": []},
            **change.properties,
            "ipConfigurations": with_addresses(change, configurations),
            "privateEndpointConnections": _connections(change),
        },
    }


def _connections(change: Change) -> list[Body]:
    """Kept through a write of the whole, which cannot name them; a write of one connection does name them."""
    before: list[Body] = change.earlier.get("privateEndpointConnections", [])
    found: list[Body] = change.properties.get("privateEndpointConnections", before)
    return found


def _check_frontend(change: Change, frontend: str) -> None:
    if not change.cloud.has_part(frontend):
        raise missing_reference(frontend, change.id)
    balancer = change.cloud.need({"id": top_key(key_of(frontend))}, by=change.id)
    if balancer.body["sku"]["name"] != "Standard":
        raise bad_request(
            "PrivateLinkServiceRequiresStandardLoadBalancer",
            f"Private link service {change.id} cannot reference Basic sku load balancer {balancer.id}.",
        )
    _check_pools_by_interface(change, balancer)
    others = {
        top_key(key_of(user))
        for item in balancer.properties["frontendIPConfigurations"]
        for user in change.cloud.users(f"{balancer.id}/frontendIPConfigurations/{item['name']}")
    } - {change.id.key}
    limit = change.cloud.quotas.private_links_per_balancer
    if len(others) >= limit:
        raise bad_request(
            "PrivateLinkServicesPerLoadBalancerCountLimitReached",
            f"Load balancer {balancer.id} cannot have more than {limit} private link services.",
        )


def _check_pools_by_interface(change: Change, balancer: Resource) -> None:
    for pool in balancer.properties.get("backendAddressPools", ()):
        if pool["properties"].get("loadBalancerBackendAddresses"):
            raise bad_request(
                "PrivateLinkServiceNotSupportedWithIpBasedBackendPool",
                f"Private link service {change.id} cannot reference load balancer {balancer.id}, whose backend pool "
                f"{pool['name']} has members by IP address.",
            )


def _check_configurations(change: Change, configurations: list[Body]) -> None:
    check_part_names(change, "ipConfigurations", configurations)
    primary = sum(1 for item in configurations if item["properties"].get("primary"))
    if not 1 <= len(configurations) <= _MOST_ADDRESSES or primary != 1:
        raise bad_request(
            "PrivateLinkServiceIpConfigurationsInvalid",
            f"Private link service {change.id} must have 1 to {_MOST_ADDRESSES} IP configurations, one primary.",
        )


def _check_subnet(change: Change, properties: Body) -> None:
    subnet = find_subnet(change.cloud, properties.get("subnet", {}), by=change.id)
    if subnet["properties"].get("privateLinkServiceNetworkPolicies") != "Disabled":
        raise bad_request(
            "PrivateLinkServiceCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled",
            f"Private link service {change.id} cannot be created in a subnet {properties['subnet']['id']} since it has "
            "private link service network policies enabled.",
        )
    if properties.get("privateIPAddressVersion", "IPv4") != "IPv4":
        raise bad_request(
            "PrivateLinkServiceIPv6NotSupported", f"Private link service {change.id} supports IPv4 addresses only."
        )


def _uses(identity: ResourceId, body: Body) -> Iterator[Use]:
    properties = body.get("properties", {})
    for frontend in properties.get(_FRONTENDS, ()):
        yield Use(frontend["id"], str(identity), "Microsoft.Network/loadBalancers/frontendIPConfigurations/join/action")
    for configuration in properties.get("ipConfigurations", ()):
        user, held = f"{identity}/ipConfigurations/{configuration['name']}", configuration["properties"]
        yield Use(held["subnet"]["id"], user, SUBNET_JOIN, held["privateIPAddress"])


def _render_service(service: Resource, cloud: Cloud) -> Body:
    alias = f"{service.id.name}.{service.guid}.{cloud.region}.azure.privatelinkservice"
    return {**service.properties, "alias": alias}


def _check_unconnected(service: Resource, _cloud: Cloud) -> None:
    connections = service.properties.get("privateEndpointConnections", [])
    if connections:
        raise bad_request(
            "PrivateLinkServiceWithPrivateEndpointConnectionsCannotBeDeleted",
            f"Private link service {service.id} cannot be deleted since it has private endpoint connections "
            f"{', '.join(connection['name'] for connection in connections)}.",
        )


KINDS: Final = (
    Kind(
        type="Microsoft.Network/privateLinkServices",
        model="PrivateLinkService",
        noun="PrivateLinkService",
        admit=_admit_service,
        render=_render_service,
        uses=_uses,
        release=_check_unconnected,
        parts={
            "privateEndpointConnections": Part("PrivateEndpointConnection"),
            "ipConfigurations": Part("PrivateLinkServiceIpConfiguration", writable=False),
        },
        supersedes=False,
    ),
)
