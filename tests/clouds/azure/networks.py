"""Virtual networks with their subnets, application security groups, and private addresses.

Kept here: the rules of those types, and the giving out of addresses of a subnet, which balancers, interfaces and
private links ask for. Nothing here knows who asks.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.clouds.azure.cloud import Body, Change, Cloud, Kind, Part, Resource, Use
from tests.clouds.azure.errors import bad_request, missing_reference
from tests.clouds.azure.ids import ResourceId, key_of, top_key
from tests.clouds.azure.naming import check_envelope, check_part_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SUBNET_JOIN: Final = "Microsoft.Network/virtualNetworks/subnets/join/action"
# The first four and the last address of a subnet are Azure's own.
_RESERVED_AT_START: Final = 4


@dataclass(frozen=True, slots=True)
class AddressRequest:
    """What somebody wants of a subnet: a certain address, or any, rather the one it had."""

    subnet: str
    holder: str
    version: str = "IPv4"
    static: str = ""
    earlier: str = ""


def find_subnet(cloud: Cloud, reference: Body, *, by: object) -> Body:
    """The subnet that a reference names; raises ArmError when it is not there."""
    identity = reference.get("id", "")
    network = cloud.find(top_key(identity))
    for subnet in network.properties.get("subnets", ()) if network else ():
        if key_of(f"{network.id if network else ''}/subnets/{subnet['name']}") == key_of(identity):
            found: Body = subnet
            return found
    raise missing_reference(identity, by)


def prefixes_of(subnet: Body) -> list[Network]:
    """The address ranges of a subnet."""
    properties = subnet.get("properties", {})
    texts = properties.get("addressPrefixes") or [properties["addressPrefix"]]
    return [ipaddress.ip_network(text) for text in texts]


class Addresses:
    """Gives out addresses within one change; each address once."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._given: dict[str, dict[str, str]] = {}

    def take(self, requests: Iterable[AddressRequest]) -> dict[str, str]:
        """An address for each holder; raises ArmError when a wanted one is not to be had or none is free.

        Who asks for a certain address comes first, then who had one, so that nobody new takes it.
        """
        order = sorted(requests, key=lambda request: (not request.static, not request.earlier))
        return {request.holder: self._take(request) for request in order}

    def _take(self, request: AddressRequest) -> str:
        subnet = find_subnet(self._change.cloud, {"id": request.subnet}, by=self._change.id)
        taken = self._taken(request.subnet)
        if request.static:
            address = self._static(request, subnet, taken)
        elif request.earlier and taken.get(request.earlier, request.holder) == request.holder:
            address = request.earlier
        else:
            address = _first_free(prefixes_of(subnet), request, taken)
        taken[address] = request.holder
        return address

    def _taken(self, subnet: str) -> dict[str, str]:
        """The addresses in use by others, and those given out in this change; what the resource held itself is free."""
        key = key_of(subnet)
        if key not in self._given:
            own = self._change.id.key
            held = self._change.cloud.addresses(subnet)
            self._given[key] = {
                address: user for address, user in held.items() if not f"{key_of(user)}/".startswith(f"{own}/")
            }
        return self._given[key]

    def _static(self, request: AddressRequest, subnet: Body, taken: Mapping[str, str]) -> str:
        wanted = ipaddress.ip_address(request.static)
        inside = next((prefix for prefix in prefixes_of(subnet) if wanted in prefix), None)
        if inside is None:
            raise bad_request(
                "PrivateIPAddressNotInSubnet",
                f"Private static IP address {wanted} does not belong to the range of subnet prefix "
                f"{', '.join(map(str, prefixes_of(subnet)))}.",
            )
        if wanted not in _usable(inside):
            raise bad_request(
                "PrivateIPAddressInReservedRange",
                f"Private static IP address {wanted} falls within reserved IP range of subnet prefix {inside}.",
            )
        if taken.get(str(wanted), request.holder) != request.holder:
            raise bad_request(
                "PrivateIPAddressIsAllocated",
                f"IP configuration {request.holder} is using the private IP address {wanted} which is already "
                f"allocated to resource {taken[str(wanted)]}.",
            )
        return str(wanted)


@dataclass(frozen=True, slots=True)
class _Usable:
    network: Network

    def __contains__(self, address: Address) -> bool:
        offset = int(address) - int(self.network.network_address)
        return _RESERVED_AT_START <= offset < self.network.num_addresses - 1

    def __iter__(self) -> Iterator[Address]:
        for offset in range(_RESERVED_AT_START, self.network.num_addresses - 1):
            yield self.network[offset]


def _usable(network: Network) -> _Usable:
    return _Usable(network)


def _first_free(prefixes: Iterable[Network], request: AddressRequest, taken: Mapping[str, str]) -> str:
    wanted = 6 if request.version == "IPv6" else 4
    for prefix in prefixes:
        if prefix.version == wanted:
            for address in _usable(prefix):
                if str(address) not in taken:
                    return str(address)
    raise bad_request(
        "SubnetIsFull",
        f"Subnet {request.subnet} with address prefix {', '.join(map(str, prefixes))} does not have enough capacity "
        f"for 1 {request.version} addresses.",
    )


def _admit_network(change: Change) -> Body:
    check_envelope(change)
    subnets = change.properties.get("subnets", [])
    check_part_names(change, "subnets", subnets)
    space = [
        ipaddress.ip_network(text) for text in change.properties.get("addressSpace", {}).get("addressPrefixes", ())
    ]
    for subnet in subnets:
        _check_inside(change, subnet, space)
        _check_private_link_policies(change, subnet)
    _check_removed_subnets(change, subnets)
    filled = [{**subnet, "properties": _SUBNET_DEFAULTS | subnet["properties"]} for subnet in subnets]
    return {**change.body, "properties": {**change.properties, "subnets": filled}}


_SUBNET_DEFAULTS: Final[Body] = {
    "privateEndpointNetworkPolicies": "Disabled",
    "privateLinkServiceNetworkPolicies": "Enabled",
    "delegations": [],
}


def _check_inside(change: Change, subnet: Body, space: list[Network]) -> None:
    for prefix in prefixes_of(subnet):
        if not any(prefix.version == whole.version and prefix.subnet_of(whole) for whole in space):  # type: ignore[arg-type]  # versions are equal
            raise bad_request(
                "NetcfgSubnetRangeOutsideVnet",
                f"Subnet '{subnet['name']}' is not valid because its IP address range is outside the IP address range "
                f"of virtual network '{change.id.name}'.",
            )


def _check_private_link_policies(change: Change, subnet: Body) -> None:
    policies = subnet["properties"].get("privateLinkServiceNetworkPolicies", "Enabled")
    users = change.cloud.users(change.child("subnets", subnet["name"]))
    private_links = [user for user in users if "/privatelinkservices/" in user.lower()]
    if policies == "Enabled" and private_links:
        raise bad_request(
            "PrivateLinkServiceNetworkPoliciesCannotBeEnabledOnPrivateLinkServiceSubnet",
            f"Private link service network policies cannot be enabled on subnet "
            f"{change.child('subnets', subnet['name'])} since it contains private link services {private_links[0]}.",
        )


def _check_removed_subnets(change: Change, subnets: list[Body]) -> None:
    kept = {subnet["name"].lower() for subnet in subnets}
    for subnet in change.earlier.get("subnets", ()):
        identity = change.child("subnets", subnet["name"])
        users = change.cloud.users(identity)
        if subnet["name"].lower() not in kept and users:
            raise bad_request(
                "InUseSubnetCannotBeDeleted",
                f"Subnet {subnet['name']} is in use by {users[0]} and cannot be deleted. In order to delete the "
                "subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.",
            )


def _render_network(network: Resource, cloud: Cloud) -> Body:
    subnets = []
    for subnet in network.properties.get("subnets", ()):
        identity = f"{network.id}/subnets/{subnet['name']}"
        users = [{"id": user} for user in cloud.users(identity)]
        back = {"ipConfigurations": users} if users else {}
        subnets.append({**subnet, "properties": {**subnet["properties"], **back}})
    return {**network.properties, "subnets": subnets, "virtualNetworkPeerings": []}


def _network_uses(identity: ResourceId, body: Body) -> Iterator[Use]:
    for subnet in body.get("properties", {}).get("subnets", ()):
        if (group := subnet["properties"].get("networkSecurityGroup")) is not None:
            action = "Microsoft.Network/networkSecurityGroups/join/action"
            yield Use(group["id"], f"{identity}/subnets/{subnet['name']}", action)


def _check_network_unused(network: Resource, cloud: Cloud) -> None:
    change = Change(network.id, {}, network, cloud)
    _check_removed_subnets(change, [])


def _admit_plain(change: Change) -> Body:
    check_envelope(change)
    return {**change.body, "properties": change.properties}


def _render_plain(resource: Resource, _cloud: Cloud) -> Body:
    return resource.properties


KINDS: Final = (
    Kind(
        type="Microsoft.Network/virtualNetworks",
        model="VirtualNetwork",
        noun="VirtualNetwork",
        admit=_admit_network,
        render=_render_network,
        uses=_network_uses,
        release=_check_network_unused,
        parts={"subnets": Part("Subnet")},
        supersedes=False,
    ),
    Kind(
        type="Microsoft.Network/applicationSecurityGroups",
        model="ApplicationSecurityGroup",
        noun="ApplicationSecurityGroup",
        admit=_admit_plain,
        render=_render_plain,
    ),
)
