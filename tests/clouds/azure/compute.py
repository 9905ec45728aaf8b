"""Scale sets with their instances, and single machines: only as far as pool membership goes.

Kept here: what a model and an instance hold on to, what an upgrade of the model does to instances, and how the
interfaces of instances are shown. Bodies carry two members of our own, `_addresses` and `_power`, which are not shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.clouds.azure.cloud import Body, Change, Cloud, Kind, Resource, Use
from tests.clouds.azure.errors import ArmError, bad_request
from tests.clouds.azure.ids import ResourceId, key_of
from tests.clouds.azure.interfaces import POOL_JOIN, check_pools
from tests.clouds.azure.naming import check_envelope
from tests.clouds.azure.networks import SUBNET_JOIN, Addresses, AddressRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALE_SET: Final = "Microsoft.Compute/virtualMachineScaleSets"
INSTANCE: Final = f"{SCALE_SET}/virtualMachines"
MACHINE: Final = "Microsoft.Compute/virtualMachines"


def _admit_scale_set(change: Change) -> Body:
    check_envelope(change)
    for configuration in model_configurations(change.body):
        check_pools(change.cloud, configuration, by=str(change.id))
    return change.body


def model_configurations(scale_set: Body) -> Iterator[Body]:
    """The IP configurations of a scale set's model."""
    profile = scale_set.get("properties", {}).get("virtualMachineProfile", {}).get("networkProfile", {})
    yield from _configurations(profile)


def _configurations(profile: Body) -> Iterator[Body]:
    for interface in profile.get("networkInterfaceConfigurations", ()):
        yield from interface["properties"].get("ipConfigurations", ())


def _scale_set_uses(identity: ResourceId, body: Body) -> Iterator[Use]:
    for configuration in model_configurations(body):
        properties = configuration["properties"]
        if (subnet := properties.get("subnet")) is not None:
            yield Use(subnet["id"], str(identity), SUBNET_JOIN)
        for pool in properties.get("loadBalancerBackendAddressPools", ()):
            yield Use(pool["id"], str(identity), POOL_JOIN)
    profile = body.get("properties", {}).get("virtualMachineProfile", {}).get("networkProfile", {})
    if (probe := profile.get("healthProbe")) is not None:
        yield Use(probe["id"], str(identity), "Microsoft.Network/loadBalancers/probes/join/action")


def _upgrade_instances(scale_set: Resource, cloud: Cloud) -> None:
    """With upgrade policy Automatic a new model reaches every instance, and undoes what was done to it alone."""
    if scale_set.properties.get("upgradePolicy", {}).get("mode") == "Automatic":
        for instance in instances_of(cloud, scale_set):
            cloud.replace_properties(instance, {**instance.properties, **_network_of_model(scale_set)})


def _network_of_model(scale_set: Resource) -> Body:
    profile = scale_set.properties.get("virtualMachineProfile", {}).get("networkProfile", {})
    interfaces = profile.get("networkInterfaceConfigurations", [])
    return {"networkProfileConfiguration": {"networkInterfaceConfigurations": interfaces}}


def instances_of(cloud: Cloud, scale_set: Resource) -> list[Resource]:
    """The instances of a uniform scale set."""
    return [instance for instance in cloud.of_type(INSTANCE) if instance.id.parent.key == scale_set.id.key]


def _admit_instance(change: Change) -> Body:
    if change.before is None:
        raise bad_request(
            "InvalidParameter",
            f"The provided instanceId {change.id.name} is not an active Virtual Machine Scale Set VM instanceId.",
        )
    if change.before.state == "Deleting":
        raise ArmError(
            409,
            "OperationNotAllowed",
            "'Put on Virtual Machine Scale Set VM Instance' is not allowed on Virtual Machine Scale Set "
            f"{change.id.parent.name} instance {change.id.name} since it is marked for deletion.",
        )
    for configuration in instance_configurations(change.body):
        check_pools(change.cloud, configuration, by=str(change.id))
    return admit_new_instance(change)


def admit_new_instance(change: Change) -> Body:
    """The body of an instance with an address for each of its IP configurations."""
    before = change.before.body if change.before else {}
    earlier = before.get("_addresses", {})
    requests = [
        AddressRequest(
            subnet=configuration["properties"]["subnet"]["id"],
            holder=identity,
            version=configuration["properties"].get("privateIPAddressVersion", "IPv4"),
            earlier=earlier.get(identity, ""),
        )
        for identity, configuration in _named_configurations(change.id, change.body)
    ]
    given = Addresses(change).take(requests)
    return {**change.body, "_addresses": given, "_power": before.get("_power", "running")}


def instance_configurations(instance: Body) -> Iterator[Body]:
    """The IP configurations of an instance."""
    yield from _configurations(instance.get("properties", {}).get("networkProfileConfiguration", {}))


def _named_configurations(identity: ResourceId, body: Body) -> Iterator[tuple[str, Body]]:
    profile = body.get("properties", {}).get("networkProfileConfiguration", {})
    for interface in profile.get("networkInterfaceConfigurations", ()):
        for configuration in interface["properties"].get("ipConfigurations", ()):
            path = f"networkInterfaces/{interface['name']}/ipConfigurations/{configuration['name']}"
            yield f"{identity}/{path}", configuration


def _instance_uses(identity: ResourceId, body: Body) -> Iterator[Use]:
    for user, configuration in _named_configurations(identity, body):
        properties = configuration["properties"]
        yield Use(properties["subnet"]["id"], user, SUBNET_JOIN, body["_addresses"].get(user, ""))
        for pool in properties.get("loadBalancerBackendAddressPools", ()):
            yield Use(pool["id"], user, POOL_JOIN)


def _render_instance(instance: Resource, cloud: Cloud) -> Body:
    scale_set = cloud.find(instance.id.parent)
    profile = instance.properties.get("networkProfileConfiguration", {})
    interfaces = profile.get("networkInterfaceConfigurations", ())
    return {
        **instance.properties,
        "latestModelApplied": scale_set is not None
        and instance.properties.get("networkProfileConfiguration")
        == _network_of_model(scale_set)["networkProfileConfiguration"],
        "networkProfile": {
            "networkInterfaces": [{"id": f"{instance.id}/networkInterfaces/{item['name']}"} for item in interfaces]
        },
    }


def instance_view(machine: Resource) -> Body:
    """The power and provisioning states of a machine or an instance."""
    power = machine.body.get("_power", "running")
    return {
        "statuses": [
            {"code": f"ProvisioningState/{machine.state.lower()}", "level": "Info"},
            {"code": f"PowerState/{power}", "level": "Info", "displayStatus": f"VM {power}"},
        ]
    }


def interfaces_of(instance: Resource) -> list[Body]:
    """The interfaces of an instance, as the network provider shows them."""
    addresses = instance.body.get("_addresses", {})
    profile = instance.properties.get("networkProfileConfiguration", {})
    return [
        _interface(instance, interface, addresses) for interface in profile.get("networkInterfaceConfigurations", ())
    ]


def _interface(instance: Resource, interface: Body, addresses: Body) -> Body:
    identity = f"{instance.id}/networkInterfaces/{interface['name']}"
    configurations = [
        {
            "id": f"{identity}/ipConfigurations/{item['name']}",
            "name": item["name"],
            "etag": instance.etag,
            "properties": {
                "privateIPAllocationMethod": "Dynamic",
                "privateIPAddressVersion": "IPv4",
                **item["properties"],
                "privateIPAddress": addresses.get(f"{identity}/ipConfigurations/{item['name']}"),
                "provisioningState": "Succeeded",
            },
        }
        for item in interface["properties"].get("ipConfigurations", ())
    ]
    return {
        "id": identity,
        "name": interface["name"],
        "type": f"{INSTANCE}/networkInterfaces",
        "etag": instance.etag,
        "properties": {
            "provisioningState": "Succeeded",
            "primary": interface["properties"].get("primary", False),
            "ipConfigurations": configurations,
            "virtualMachine": {"id": str(instance.id)},
        },
    }


def _admit_machine(change: Change) -> Body:
    check_envelope(change)
    for reference in change.properties.get("networkProfile", {}).get("networkInterfaces", ()):
        change.cloud.need(reference, by=change.id)
    hidden = change.before.body if change.before else {}
    return {**change.body, "_power": hidden.get("_power", "running")}


def _check_no_machines(scale_set: Resource, cloud: Cloud) -> None:
    for instance in instances_of(cloud, scale_set):
        cloud.remove(instance)


def machines_of_flex_set(cloud: Cloud, scale_set: str) -> list[Resource]:
    """The machines that belong to a flexible scale set."""
    return [
        machine
        for machine in cloud.of_type(MACHINE)
        if key_of(machine.properties.get("virtualMachineScaleSet", {}).get("id", "")) == key_of(scale_set)
    ]


def _properties(resource: Resource, _cloud: Cloud) -> Body:
    return resource.properties


KINDS: Final = (
    Kind(
        type=SCALE_SET,
        model="VirtualMachineScaleSet",
        noun="VirtualMachineScaleSet",
        admit=_admit_scale_set,
        render=_properties,
        uses=_scale_set_uses,
        release=_check_no_machines,
        committed=_upgrade_instances,
        patch_model="VirtualMachineScaleSetUpdate",
        supersedes=False,
    ),
    Kind(
        type=INSTANCE,
        model="VirtualMachineScaleSetVM",
        noun="VirtualMachineScaleSetVM",
        admit=_admit_instance,
        render=_render_instance,
        uses=_instance_uses,
        patch_model="VirtualMachineScaleSetVM",
        supersedes=False,
    ),
    Kind(
        type=MACHINE,
        model="VirtualMachine",
        noun="VirtualMachine",
        admit=_admit_machine,
        render=_properties,
        patch_model="VirtualMachineUpdate",
        supersedes=False,
    ),
    Kind(
        type="Microsoft.Compute/availabilitySets",
        model="AvailabilitySet",
        noun="AvailabilitySet",
        admit=_admit_machine,
        render=_properties,
    ),
)
