"""Public addresses and prefixes of them: giving out, what may change, and when one may be deleted.

Called through `Kind` only. What an address is attached to is known from the links that balancers and interfaces hold.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from tests.clouds.azure.cloud import Body, Change, Cloud, Kind, Resource, Use
from tests.clouds.azure.errors import ArmError, bad_request
from tests.clouds.azure.ids import ResourceId, key_of
from tests.clouds.azure.naming import check_envelope, check_zones, sku_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX_JOIN: Final = "Microsoft.Network/publicIPPrefixes/join/action"
_LABEL: Final = re.compile(r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$")
_RANGES: Final = {
    "IPv4": ipaddress.ip_network("20.50.0.0/16"),
    "IPv6": ipaddress.ip_network("2603:1020:201::/112"),
}
_FIRST_ADDRESS: Final = 4
# FirstPartyUsage is the one kind of tag that an existing address may change (upstream's switch
# enableIPTagMutationForExistingPublicIP relies on it).
_MUTABLE_TAG: Final = "FirstPartyUsage"


def _admit_address(change: Change) -> Body:
    check_envelope(change)
    sku = sku_of(change)
    properties = {
        "publicIPAddressVersion": "IPv4",
        "publicIPAllocationMethod": "Dynamic",
        "idleTimeoutInMinutes": 4,
        "ipTags": [],
        **change.properties,
    }
    _check_allocation(change, sku, properties)
    check_zones(change, name=str(change.id), before=change.before.body if change.before else None, after=change.body)
    _check_unchanged(change, properties)
    _fill_label(change, properties)
    properties["ipAddress"] = change.earlier.get("ipAddress") or _new_address(change, properties)
    return {**change.body, "sku": sku, "properties": properties}


def _check_allocation(change: Change, sku: Body, properties: Body) -> None:
    if sku["name"] != "Basic" and properties["publicIPAllocationMethod"] != "Static":
        raise bad_request(
            "StandardSkuPublicIPAddressMustUseStaticAllocation",
            f"Standard sku publicIp {change.id} must have AllocationMethod set to Static.",
        )
    if change.before is None:
        limit = change.cloud.quotas.public_ips
        if sum(1 for _ in change.cloud.of_type(change.id.type)) >= limit:
            raise bad_request(
                "PublicIPCountLimitReached",
                f"Cannot create more than {limit} public IP addresses for this subscription in this region.",
            )


def _check_unchanged(change: Change, properties: Body) -> None:
    if change.before is None:
        return
    for member in ("publicIPAddressVersion", "publicIPPrefix"):
        if change.earlier.get(member) != properties.get(member):
            raise bad_request(
                "PublicIPAddressPropertyCannotBeChanged",
                f"Property {member} of public IP address {change.id} cannot be changed once it is created.",
            )
    if _fixed_tags(change.earlier) != _fixed_tags(properties):
        raise bad_request(
            "PublicIPAddressIpTagsCannotBeChanged",
            f"The IpTags of public IP address {change.id} cannot be changed once it is created.",
        )


def _fixed_tags(properties: Body) -> list[tuple[str, str]]:
    tags = properties.get("ipTags", [])
    return sorted((tag["ipTagType"], tag["tag"]) for tag in tags if tag["ipTagType"] != _MUTABLE_TAG)


def _fill_label(change: Change, properties: Body) -> None:
    label = properties.get("dnsSettings", {}).get("domainNameLabel")
    if not label:
        properties.pop("dnsSettings", None)
        return
    if not _LABEL.match(label):
        raise bad_request("DomainNameLabelInvalid", f"The domain name label {label} is invalid.")
    name = f"{label}.{change.cloud.region}.cloudapp.azure.com"
    for other in change.cloud.of_type(change.id.type):
        if other is not change.before and other.properties.get("dnsSettings", {}).get("fqdn") == name:
            raise bad_request("DnsRecordInUse", f"DNS record {name} is already used by another public IP.")
    properties["dnsSettings"] = {**properties["dnsSettings"], "fqdn": name}


def _new_address(change: Change, properties: Body) -> str:
    cloud, version = change.cloud, properties["publicIPAddressVersion"]
    network = _RANGES[version]
    if (reference := properties.get("publicIPPrefix")) is not None:
        prefix = cloud.need(reference, by=change.id)
        network = ipaddress.ip_network(prefix.properties["ipPrefix"])
        if prefix.properties["publicIPAddressVersion"] != version:
            raise bad_request(
                "PublicIPAddressAndPrefixVersionMismatch",
                f"Public IP address {change.id} is {version} and cannot be allocated from prefix {prefix.id}.",
            )
    taken = {resource.properties["ipAddress"] for resource in cloud.of_type(change.id.type)}
    for offset in range(0 if reference else _FIRST_ADDRESS, network.num_addresses):
        if (address := str(network[offset])) not in taken:
            return address
    raise bad_request(
        "PublicIPPrefixHasNoAvailableAddress",
        f"Public IP prefix {properties['publicIPPrefix']['id']} has no IP address left for {change.id}.",
    )


def _render_address(address: Resource, cloud: Cloud) -> Body:
    users = cloud.users(str(address.id))
    attached = {"ipConfiguration": {"id": users[0]}} if users else {}
    return {**address.properties, **attached}


def _address_uses(identity: ResourceId, body: Body) -> Iterator[Use]:
    if (prefix := body["properties"].get("publicIPPrefix")) is not None:
        yield Use(prefix["id"], str(identity), PREFIX_JOIN)


def _check_unattached(address: Resource, cloud: Cloud) -> None:
    for user in cloud.users(str(address.id)):
        raise bad_request(
            "PublicIPAddressCannotBeDeleted",
            f"Public IP address {address.id} can not be deleted since it is still allocated to resource {user}. In "
            "order to delete the public IP, disassociate/detach the Public IP address from the resource.  To learn how "
            "to do this, see aka.ms/deletepublicip.",
        )


def _admit_prefix(change: Change) -> Body:
    check_envelope(change)
    properties = {"publicIPAddressVersion": "IPv4", "ipTags": [], **change.properties}
    length = properties.get("prefixLength")
    if length is None:
        raise bad_request("PublicIPPrefixLengthRequired", f"Public IP prefix {change.id} has no prefixLength.")
    properties["ipPrefix"] = change.earlier.get("ipPrefix") or _new_prefix(change.cloud, properties)
    return {**change.body, "sku": sku_of(change, default="Standard"), "properties": properties}


def _new_prefix(cloud: Cloud, properties: Body) -> str:
    whole = "20.60.0.0/16" if properties["publicIPAddressVersion"] == "IPv4" else "2603:1020:300::/112"
    taken = {prefix.properties["ipPrefix"] for prefix in cloud.of_type("Microsoft.Network/publicIPPrefixes")}
    for network in ipaddress.ip_network(whole).subnets(new_prefix=properties["prefixLength"]):
        if str(network) not in taken:
            return str(network)
    raise ArmError(409, "OperationNotAllowed", "No public IP prefix of that size is left in this region.")


def _render_prefix(prefix: Resource, cloud: Cloud) -> Body:
    users = [{"id": user} for user in cloud.users(str(prefix.id)) if "/publicipaddresses/" in key_of(user)]
    return {**prefix.properties, "publicIPAddresses": users}


def _check_prefix_unused(prefix: Resource, cloud: Cloud) -> None:
    for user in cloud.users(str(prefix.id)):
        raise bad_request(
            "InUsePublicIpPrefixCannotBeDeleted",
            f"Public IP prefix {prefix.id} is in use by {user} and cannot be deleted.",
        )


KINDS: Final = (
    Kind(
        type="Microsoft.Network/publicIPAddresses",
        model="PublicIPAddress",
        noun="PublicIpAddress",
        admit=_admit_address,
        render=_render_address,
        uses=_address_uses,
        release=_check_unattached,
    ),
    Kind(
        type="Microsoft.Network/publicIPPrefixes",
        model="PublicIPPrefix",
        noun="PublicIpPrefix",
        admit=_admit_prefix,
        render=_render_prefix,
        release=_check_prefix_unused,
    ),
)
