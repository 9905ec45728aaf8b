"""Network interfaces: their addresses, and the pools that they join.

Called through `Kind`; the rules about pools and addresses are shared with the instances of scale sets, whose interfaces
are described by the instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.clouds.azure.cloud import Body, Change, Cloud, Kind, Part, Resource, Use
from tests.clouds.azure.errors import bad_request, missing_reference
from tests.clouds.azure.frontends import is_internal
from tests.clouds.azure.ids import ResourceId, key_of, top_key
from tests.clouds.azure.naming import check_envelope, check_part_names
from tests.clouds.azure.networks import SUBNET_JOIN, Addresses, AddressRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

POOL_JOIN: Final = "Microsoft.Network/loadBalancers/backendAddressPools/join/action"


def check_pools(cloud: Cloud, configuration: Body, *, by: str) -> None:
    """Refuses pools that are not there, and more than one public or more than one internal balancer."""
    balancers: dict[bool, str] = {}
    for pool in configuration["properties"].get("loadBalancerBackendAddressPools", ()):
        if not cloud.has_part(pool["id"]):
            raise missing_reference(pool["id"], by)
        balancer = cloud.find(top_key(key_of(pool["id"])))
        if balancer is None or not balancer.properties.get("frontendIPConfigurations"):
            continue
        internal = is_internal(balancer.properties["frontendIPConfigurations"][0])
        if balancers.setdefault(internal, balancer.id.key) != balancer.id.key:
            raise bad_request(
                "NetworkInterfaceUsesMultipleLoadBalancersOfSameType",
                f"IP configuration {by} is referencing backend address pools of more than one "
                f"{'internal' if internal else 'public'} load balancer.",
            )


def _admit_interface(change: Change) -> Body:
    check_envelope(change)
    configurations = change.properties.get("ipConfigurations", [])
    if not configurations:
        raise bad_request(
            "NetworkInterfaceMustHaveIpConfiguration",
            f"Network interface {change.id} must have one or more IP configurations.",
        )
    check_part_names(change, "ipConfigurations", configurations)
    for item in configurations:
        _check_configuration(change, item)
    filled = with_addresses(change, _with_primary(change, configurations))
    return {**change.body, "properties": {**change.properties, "ipConfigurations": filled}}


def _with_primary(change: Change, configurations: list[Body]) -> list[Body]:
    marked = sum(1 for item in configurations if item["properties"].get("primary"))
    if marked > 1 or (len(configurations) > 1 and not marked):
        raise bad_request(
            "NetworkInterfaceMustHaveOnePrimaryIPConfiguration",
            f"Network interface {change.id} must have exactly one primary IP configuration.",
        )
    alone = len(configurations) == 1
    return [
        {**item, "properties": {"primary": alone, "privateIPAddressVersion": "IPv4", **item["properties"]}}
        for item in configurations
    ]


def _check_configuration(change: Change, configuration: Body) -> None:
    identity = change.child("ipConfigurations", configuration["name"])
    if "subnet" not in configuration["properties"]:
        raise bad_request("SubnetIsRequired", f"IP configuration {identity} must reference a subnet.")
    check_pools(change.cloud, configuration, by=identity)


def with_addresses(change: Change, configurations: list[Body]) -> list[Body]:
    """The IP configurations with an address of their subnet each, the one they had where they may keep it."""
    earlier = {item["name"].lower(): item["properties"] for item in change.earlier.get("ipConfigurations", ())}
    requests = [_address_request(change, item, earlier.get(item["name"].lower(), {})) for item in configurations]
    given = Addresses(change).take(requests)
    return [
        {
            **item,
            "properties": {
                "privateIPAllocationMethod": "Dynamic",
                **item["properties"],
                "privateIPAddress": given[change.child("ipConfigurations", item["name"])],
            },
        }
        for item in configurations
    ]


def _address_request(change: Change, configuration: Body, before: Body) -> AddressRequest:
    properties = configuration["properties"]
    static = properties.get("privateIPAllocationMethod") == "Static"
    return AddressRequest(
        subnet=properties["subnet"]["id"],
        holder=change.child("ipConfigurations", configuration["name"]),
        version=properties.get("privateIPAddressVersion", "IPv4"),
        static=properties.get("privateIPAddress", "") if static else "",
        earlier=before.get("privateIPAddress", ""),
    )


def _uses(identity: ResourceId, body: Body) -> Iterator[Use]:
    properties = body.get("properties", {})
    if (group := properties.get("networkSecurityGroup")) is not None:
        yield Use(group["id"], str(identity), "Microsoft.Network/networkSecurityGroups/join/action")
    for configuration in properties.get("ipConfigurations", ()):
        user, held = f"{identity}/ipConfigurations/{configuration['name']}", configuration["properties"]
        yield Use(held["subnet"]["id"], user, SUBNET_JOIN, held["privateIPAddress"])
        if (public_ip := held.get("publicIPAddress")) is not None:
            yield Use(public_ip["id"], user, "Microsoft.Network/publicIPAddresses/join/action")
        for pool in held.get("loadBalancerBackendAddressPools", ()):
            yield Use(pool["id"], user, POOL_JOIN)


def _render_interface(interface: Resource, cloud: Cloud) -> Body:
    machines = [
        machine.id
        for machine in cloud.of_type("Microsoft.Compute/virtualMachines")
        for reference in machine.properties.get("networkProfile", {}).get("networkInterfaces", ())
        if key_of(reference["id"]) == interface.id.key
    ]
    owner = {"virtualMachine": {"id": str(machines[0])}} if machines else {}
    return {**interface.properties, **owner}


KINDS: Final = (
    Kind(
        type="Microsoft.Network/networkInterfaces",
        model="NetworkInterface",
        noun="NetworkInterface",
        admit=_admit_interface,
        render=_render_interface,
        uses=_uses,
        parts={"ipConfigurations": Part("NetworkInterfaceIPConfiguration", writable=False)},
        supersedes=False,
    ),
)
