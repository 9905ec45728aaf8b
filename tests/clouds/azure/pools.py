"""Backend pools of a balancer: members by address, members by interface, and what keeps a pool from going.

Called by the balancer's rules. Members by interface are not in the pool's body: interfaces hold the links.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from tests.clouds.azure.errors import bad_request
from tests.clouds.azure.ids import key_of, top_key

if TYPE_CHECKING:
    from tests.clouds.azure.cloud import Body, Change, Cloud, Resource

SCALE_SETS: Final = "/virtualmachinescalesets/"


def admit_pools(change: Change) -> list[Body]:
    """The pools as they are kept; raises ArmError on the first that breaks a rule."""
    pools = change.properties.get("backendAddressPools", [])
    filled = [_fill(change, pool) for pool in pools]
    kept = {pool["name"].lower() for pool in pools}
    for pool in change.earlier.get("backendAddressPools", ()):
        if pool["name"].lower() not in kept:
            _check_removable(change, pool)
    return filled


def interface_members(cloud: Cloud, pool: str) -> list[str]:
    """The ids of the interface configurations in a pool."""
    return [user for user in cloud.users(pool) if "/networkinterfaces/" in key_of(user)]


def scale_sets_of(cloud: Cloud, pool: str) -> list[str]:
    """The scale sets whose model or instances hold on to a pool."""
    holders = [user for user in cloud.users(pool) if SCALE_SETS in key_of(user)]
    return list(dict.fromkeys(_scale_set_in(holder) for holder in holders))


def _scale_set_in(identity: str) -> str:
    end = len(top_key(key_of(identity)))
    return identity[:end]


def _fill(change: Change, pool: Body) -> Body:
    identity = change.child("backendAddressPools", pool["name"])
    properties = pool.get("properties", {})
    # The service lists interface members among the addresses as well; sent back, they say nothing.
    addresses = [item for item in properties.get("loadBalancerBackendAddresses", ()) if _is_by_address(item)]
    network = properties.get("virtualNetwork")
    if network is not None:
        change.cloud.need(network, by=identity)
    if addresses:
        _check_addresses(change, identity, addresses, network)
    return {**pool, "properties": {**properties, "loadBalancerBackendAddresses": addresses}}


def _is_by_address(item: Body) -> bool:
    return bool(item.get("properties", {}).get("ipAddress"))


def _check_addresses(change: Change, identity: str, addresses: list[Body], network: Body | None) -> None:
    limit = change.cloud.quotas.members_per_pool
    if len(addresses) > limit:
        raise bad_request(
            "BackendAddressesCountLimitReached",
            f"Backend address pool {identity} has {len(addresses)} backend addresses. At most {limit} are allowed.",
        )
    if interface_members(change.cloud, identity):
        raise bad_request(
            "BackendAddressPoolCannotMixAddressesAndInterfaces",
            f"Backend address pool {identity} has members by network interface and cannot take members by address.",
        )
    _check_unique(identity, "name", [item.get("name", "") for item in addresses])
    texts = [item["properties"]["ipAddress"] for item in addresses]
    _check_unique(identity, "IP address", texts)
    families = {_version(identity, text) for text in texts}
    if len(families) > 1:
        raise bad_request(
            "BackendAddressPoolCannotContainDifferentAddressFamilies",
            f"Backend address pool {identity} cannot contain addresses of different address families.",
        )
    for item in addresses:
        _check_inside(change, identity, item["properties"], network)


def _check_unique(identity: str, what: str, values: list[str]) -> None:
    for value in values:
        if not value or values.count(value) > 1:
            raise bad_request(
                "DuplicateBackendAddress",
                f"The {what} of each backend address of {identity} must be given and unique. Value: {value!r}.",
            )


def _version(identity: str, text: str) -> int:
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        raise bad_request(
            "InvalidIPAddress", f"Backend address {text} of {identity} is not a valid IP address."
        ) from None


def _check_inside(change: Change, identity: str, properties: Body, network: Body | None) -> None:
    reference = properties.get("virtualNetwork") or network
    if reference is None:
        raise bad_request(
            "BackendAddressRequiresVirtualNetwork",
            f"Backend address {properties['ipAddress']} of {identity} needs a virtual network.",
        )
    space = change.cloud.need(reference, by=identity).properties["addressSpace"]["addressPrefixes"]
    address = ipaddress.ip_address(properties["ipAddress"])
    if not any(address in ipaddress.ip_network(prefix) for prefix in space):
        raise bad_request(
            "BackendAddressNotInVirtualNetwork",
            f"Backend address {address} of {identity} is outside the address space of {reference['id']}.",
        )


def _check_removable(change: Change, pool: Body) -> None:
    for scale_set in scale_sets_of(change.cloud, change.child("backendAddressPools", pool["name"])):
        raise bad_request(
            "CannotRemoveBackendAddressPoolUsedByVMSS",
            f"Cannot remove backend address pool {pool['name']} from load balancer since it is in use by virtual "
            f"machine scale set {scale_set}.",
        )


def check_deletable(balancer: Resource, cloud: Cloud) -> None:
    """Refuses to delete a balancer whose pools a scale set holds, as the service does."""
    held: dict[str, list[str]] = {}
    for pool in balancer.properties.get("backendAddressPools", ()):
        for scale_set in scale_sets_of(cloud, f"{balancer.id}/backendAddressPools/{pool['name']}"):
            held.setdefault(scale_set, []).append(pool["name"])
    for scale_set, names in held.items():
        raise bad_request(
            "LoadBalancerInUseByVirtualMachineScaleSet",
            f"Cannot delete load balancer {balancer.id} since its child resources {', '.join(names)} are in use by "
            f"virtual machine scale set {scale_set}.",
        )
