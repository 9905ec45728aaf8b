"""Frontend configurations of a balancer: public or internal, their addresses, families and zones.

Called by the balancer's rules, which know the rest of the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.clouds.azure.errors import bad_request
from tests.clouds.azure.ids import key_of, top_key
from tests.clouds.azure.naming import check_zones
from tests.clouds.azure.networks import Addresses, AddressRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.clouds.azure.cloud import Body, Change, Resource

_SOURCES = ("subnet", "publicIPAddress", "publicIPPrefix")


def admit_frontends(change: Change, sku: Body) -> list[Body]:
    """The frontends with their addresses; raises ArmError on the first that breaks a rule."""
    frontends = change.properties.get("frontendIPConfigurations", [])
    limit = change.cloud.quotas.frontends_per_balancer
    if not frontends:
        raise bad_request(
            "LoadBalancerFrontendIPConfigurationRequired",
            f"Load balancer {change.id} must have at least one frontend IP configuration.",
        )
    if len(frontends) > limit:
        raise bad_request(
            "FrontendIPConfigurationsCountLimitReached",
            f"Cannot create more than {limit} frontend IP configurations for load balancer {change.id}.",
        )
    for frontend in frontends:
        _check_source(change, frontend)
    _check_one_scheme(change, frontends)
    _check_public_ips_differ(change, frontends)
    earlier = {frontend["name"].lower(): frontend for frontend in change.earlier.get("frontendIPConfigurations", ())}
    filled = [_fill(change, frontend, earlier.get(frontend["name"].lower()), sku) for frontend in frontends]
    _check_families(change, filled)
    return _with_addresses(change, filled, earlier)


def is_internal(frontend: Body) -> bool:
    """Whether the frontend has an address of a subnet."""
    return "subnet" in frontend["properties"]


def _check_source(change: Change, frontend: Body) -> None:
    given = [source for source in _SOURCES if source in frontend.get("properties", {})]
    if len(given) != 1:
        raise bad_request(
            "FrontendIPConfigurationMustHaveOneSource",
            f"Frontend IP configuration {_identity(change, frontend)} must reference exactly one of subnet, "
            f"publicIPAddress and publicIPPrefix. It references {', '.join(given) or 'none'}.",
        )


def _check_one_scheme(change: Change, frontends: list[Body]) -> None:
    before = change.earlier.get("frontendIPConfigurations", ())
    schemes = {is_internal(frontend) for frontend in frontends}
    if len(schemes) > 1 or any(is_internal(frontend) not in schemes for frontend in before):
        raise bad_request(
            "LoadBalancerCannotMixPublicAndPrivateFrontends",
            f"Load balancer {change.id} must be wholly public or wholly internal.",
        )


def _check_public_ips_differ(change: Change, frontends: list[Body]) -> None:
    seen: set[str] = set()
    for frontend in frontends:
        public_ip = frontend["properties"].get("publicIPAddress", {}).get("id", "")
        if public_ip and key_of(public_ip) in seen:
            raise bad_request(
                "PublicIPReferencedByMultipleIPConfigs",
                f"Public ip address {public_ip} is referenced by multiple ipconfigs in resource {change.id}.",
            )
        seen.add(key_of(public_ip))


def _fill(change: Change, frontend: Body, earlier: Body | None, sku: Body) -> Body:
    check_zones(change, name=_identity(change, frontend), before=_same_kind(earlier, frontend), after=frontend)
    properties = {"privateIPAllocationMethod": "Dynamic", **frontend["properties"]}
    if "subnet" in properties:
        properties.setdefault("privateIPAddressVersion", "IPv4")
    else:
        _fill_public(change, frontend, sku, properties)
    return {**frontend, "properties": properties}


def _same_kind(earlier: Body | None, frontend: Body) -> Body | None:
    return earlier if earlier and is_internal(earlier) == is_internal(frontend) else None


def _with_addresses(change: Change, frontends: list[Body], earlier: Mapping[str, Body]) -> list[Body]:
    """Internal frontends with an address of their subnet; the others as they are."""
    requests = [
        _address_request(change, frontend, earlier.get(frontend["name"].lower(), {}).get("properties", {}))
        for frontend in frontends
        if is_internal(frontend)
    ]
    given = Addresses(change).take(requests)
    return [_with_address(frontend, given.get(_identity(change, frontend))) for frontend in frontends]


def _with_address(frontend: Body, address: str | None) -> Body:
    if address is None:
        return frontend
    return {**frontend, "properties": {**frontend["properties"], "privateIPAddress": address}}


def _address_request(change: Change, frontend: Body, before: Body) -> AddressRequest:
    properties = frontend["properties"]
    stays = before.get("subnet", {}).get("id", "").lower() == properties["subnet"]["id"].lower()
    static = properties["privateIPAllocationMethod"] == "Static"
    if static and not properties.get("privateIPAddress"):
        raise bad_request(
            "PrivateIPAddressIsRequiredForStaticAllocation",
            f"Frontend IP configuration {_identity(change, frontend)} is Static and has no privateIPAddress.",
        )
    return AddressRequest(
        subnet=properties["subnet"]["id"],
        holder=_identity(change, frontend),
        version=properties["privateIPAddressVersion"],
        static=properties["privateIPAddress"] if static else "",
        earlier=before.get("privateIPAddress", "") if stays else "",
    )


def _fill_public(change: Change, frontend: Body, sku: Body, properties: Body) -> None:
    if frontend.get("zones"):
        raise bad_request(
            "ZonesNotAllowedOnPublicFrontendIPConfiguration",
            f"Frontend IP configuration {_identity(change, frontend)} references a public IP address and cannot have "
            "zones of its own.",
        )
    if (reference := properties.get("publicIPAddress")) is None:
        change.cloud.need(properties["publicIPPrefix"], by=_identity(change, frontend))
        return
    public_ip = change.cloud.need(reference, by=_identity(change, frontend))
    _check_public_ip(change, public_ip, sku)
    version = public_ip.properties["publicIPAddressVersion"]
    if properties.setdefault("privateIPAddressVersion", version) != version:
        raise bad_request(
            "FrontendIPConfigurationAndPublicIPVersionMismatch",
            f"Frontend IP configuration {_identity(change, frontend)} is {properties['privateIPAddressVersion']} but "
            f"public IP address {public_ip.id} is {version}.",
        )


def _check_public_ip(change: Change, public_ip: Resource, sku: Body) -> None:
    ip_sku = public_ip.body["sku"]["name"]
    if ip_sku != sku["name"]:
        raise bad_request(
            "PublicIPAndLBSkuDoNotMatch",
            f"{sku['name']} sku load balancer {change.id} cannot reference {ip_sku} sku publicIP {public_ip.id}.",
        )
    for user in change.cloud.users(str(public_ip.id)):
        if top_key(key_of(user)) != change.id.key:
            raise bad_request(
                "PublicIPAddressInUse",
                f"Resource {change.id} is referencing public IP address {public_ip.id} that is already allocated to "
                f"resource {user}.",
            )


def _check_families(change: Change, frontends: list[Body]) -> None:
    versions = {frontend["properties"].get("privateIPAddressVersion", "IPv4") for frontend in frontends}
    if versions == {"IPv6"}:
        raise bad_request(
            "AtleastOneIpV4RequiredForIpV6LbFrontendIpConfiguration",
            f"At least one IPv4 frontend IP configuration is required for IPv6 frontend IP configurations on load "
            f"balancer {change.id}.",
        )


def _identity(change: Change, frontend: Body) -> str:
    return change.child("frontendIPConfigurations", frontend["name"])
