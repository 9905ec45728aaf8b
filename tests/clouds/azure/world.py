"""Worlds to test in: a cluster with its network and nodes, bystanders of each kind, and the whole state as plain data.

Everything is put there through the same rules that writes meet, so no test starts from a state that Azure would refuse.
Names are literal; nothing is computed as a driver computes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.clouds.azure.cloud import Body, Change, Cloud, Resource
from tests.clouds.azure.compute import INSTANCE, admit_new_instance
from tests.clouds.azure.ids import ResourceId
from tests.clouds.azure.kinds import KINDS
from tests.clouds.azure.schema import check_body
from tests.clouds.azure.views import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GROUP: Final = "cluster-rg"
USER_GROUP: Final = "user-rg"
_COMPUTE: Final = frozenset({"virtualMachines", "virtualMachineScaleSets", "availabilitySets"})
# These change with every write, or by themselves, and say nothing about what was asked for.
_VOLATILE: Final = frozenset({"etag", "resourceGuid"})


@dataclass(frozen=True, slots=True)
class Node:
    """A machine as Kubernetes sees it."""

    name: str
    provider_id: str
    addresses: tuple[str, ...]


class World:
    """A cluster's part of a cloud; made empty but for its groups, network and security group."""

    def __init__(
        self, cloud: Cloud, *, cluster: str = "kubernetes", group: str = GROUP, machines_subscription: str = ""
    ) -> None:
        self.cloud: Final = cloud
        self.machines_subscription: Final = machines_subscription or cloud.subscription
        self.cluster: Final = cluster
        self.group: Final = group
        for name in (group, USER_GROUP):
            cloud.add_group(name)
        cloud.add_group(group, subscription=self.machines_subscription)
        self.security_group: Final = self.put("networkSecurityGroups", "nodes-nsg", {"properties": {}})
        self.network: Final = self.put("virtualNetworks", "cluster-vnet", _network(self.security_group))
        self.subnet: Final = f"{self.network}/subnets/nodes"

    # Putting things there

    def id(self, kind: str, name: str, *, group: str = "") -> str:
        """The id of a top-level resource."""
        namespace = "Microsoft.Compute" if kind in _COMPUTE else "Microsoft.Network"
        is_machine = kind in _COMPUTE or kind == "networkInterfaces"
        subscription = self.machines_subscription if is_machine else self.cloud.subscription
        scope = f"/subscriptions/{subscription}/resourceGroups/{group or self.group}"
        return f"{scope}/providers/{namespace}/{kind}/{name}"

    def put(self, kind: str, name: str, body: Mapping[str, Any], *, group: str = "") -> str:
        """Puts a resource there, in the cluster's region; the id. Raises ArmError when a rule refuses it."""
        identity = ResourceId.parse(self.id(kind, name, group=group))
        known = KINDS[identity.type.lower()]
        checked = check_body({"location": self.cloud.region, **body}, known.model)
        with self.cloud.lock:
            return str(self.cloud.seed(known, identity, checked).id)

    def put_public_ip(self, name: str, *, group: str = "", version: str = "IPv4", **more: Any) -> str:
        """Puts a Standard address there; `more` are members of the envelope, such as tags or zones."""
        properties = {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": version}
        properties |= more.pop("properties", {})
        body = {"sku": {"name": "Standard"}, "properties": properties, **more}
        return self.put("publicIPAddresses", name, body, group=group)

    def address(self, public_ip: str) -> str:
        """The address that a public IP resource has."""
        resource = self.cloud.find(public_ip)
        assert resource is not None
        found: str = resource.properties["ipAddress"]
        return found

    # Nodes

    def uniform_set(
        self, name: str = "nodes", *, count: int = 3, pools: Sequence[str] = (), upgrade: str = "Manual"
    ) -> list[Node]:
        """A uniform scale set whose model and instances are in the pools; its nodes."""
        model = {
            "networkProfile": {
                "networkInterfaceConfigurations": [
                    {
                        "name": name,
                        "properties": {"primary": True, "ipConfigurations": self._configurations(pools)},
                    }
                ]
            }
        }
        properties = {
            "orchestrationMode": "Uniform",
            "upgradePolicy": {"mode": upgrade},
            "virtualMachineProfile": model,
        }
        self.put("virtualMachineScaleSets", name, {"sku": {"capacity": count}, "properties": properties})
        return self.scale_out(name, by=count)

    def scale_out(self, name: str, *, by: int = 1) -> list[Node]:
        """New instances of a uniform scale set, made from its model; their nodes."""
        scale_set = self.cloud.find(self.id("virtualMachineScaleSets", name))
        assert scale_set is not None
        first = sum(1 for item in self.cloud.of_type(INSTANCE) if item.id.parent.key == scale_set.id.key)
        return [self._new_instance(scale_set, str(first + index)) for index in range(by)]

    def _new_instance(self, scale_set: Resource, number: str) -> Node:
        profile = scale_set.properties["virtualMachineProfile"]["networkProfile"]
        interfaces = profile["networkInterfaceConfigurations"]
        identity = scale_set.id.child("virtualMachines", number)
        body = {
            "location": self.cloud.region,
            "properties": {"networkProfileConfiguration": {"networkInterfaceConfigurations": interfaces}},
        }
        change = Change(identity, body, None, self.cloud)
        with self.cloud.lock:
            instance = self.cloud.store(change, KINDS[identity.type.lower()], admit_new_instance(change))
        addresses = tuple(instance.body["_addresses"].values())
        return Node(f"{scale_set.id.name}-{number}", f"azure://{identity}", addresses)

    def flex_set(self, name: str = "flex", *, count: int = 3, pools: Sequence[str] = ()) -> list[Node]:
        """A flexible scale set: machines with interfaces of their own; its nodes."""
        owner = self.put("virtualMachineScaleSets", name, {"properties": {"orchestrationMode": "Flexible"}})
        member = {"virtualMachineScaleSet": {"id": owner}}
        return [self.machine(f"{name}-{index}", pools=pools, properties=member) for index in range(count)]

    def availability_set(self, name: str = "avset", *, count: int = 3, pools: Sequence[str] = ()) -> list[Node]:
        """Machines of an availability set; its nodes."""
        owner = self.put("availabilitySets", name, {"properties": {}})
        member = {"availabilitySet": {"id": owner}}
        return [self.machine(f"{name}-{index}", pools=pools, properties=member) for index in range(count)]

    def machine(self, name: str, *, pools: Sequence[str] = (), properties: Body | None = None) -> Node:
        """One machine with one interface, whose configurations are in the pools; its node."""
        configurations = self._configurations(pools)
        interface = self.put("networkInterfaces", f"{name}-nic", {"properties": {"ipConfigurations": configurations}})
        profile = {"networkInterfaces": [{"id": interface, "properties": {"primary": True}}]}
        machine = self.put("virtualMachines", name, {"properties": {"networkProfile": profile, **(properties or {})}})
        stored = self.cloud.find(interface)
        assert stored is not None
        addresses = tuple(item["properties"]["privateIPAddress"] for item in stored.properties["ipConfigurations"])
        return Node(name, f"azure://{machine}", addresses)

    def _configurations(self, pools: Sequence[str]) -> list[Body]:
        """One configuration a family; a pool whose name ends in -ipv6 is joined by the second."""
        return [
            {
                "name": f"ipconfig-{version.lower()}",
                "properties": {
                    "primary": version == "IPv4",
                    "privateIPAddressVersion": version,
                    "subnet": {"id": self.subnet},
                    "loadBalancerBackendAddressPools": [
                        {"id": pool} for pool in pools if pool.lower().endswith("-ipv6") == (version == "IPv6")
                    ],
                },
            }
            for version in ("IPv4", "IPv6")
        ]

    # Others

    def connect(self, private_link: str, name: str) -> None:
        """Lets somebody's private endpoint connect to a private link service."""
        with self.cloud.lock:
            service = self.cloud.find(private_link)
            assert service is not None
            state = {"status": "Approved", "description": "Approved", "actionsRequired": "None"}
            connection = {"name": name, "properties": {"privateLinkServiceConnectionState": state}}
            connections = [*service.properties["privateEndpointConnections"], connection]
            properties = {**service.properties, "privateEndpointConnections": connections}
            self.cloud.replace_properties(service, properties)

    # The whole

    def state(self) -> dict[str, Body]:
        """Every resource by its id, as reads show it less what changes by itself; equal states are equal data."""
        with self.cloud.lock:
            self.cloud.settle()
            shown = {str(resource.id): show(resource, self.cloud) for resource in self.cloud.all()}
        return {identity: _settled(body) for identity, body in sorted(shown.items())}


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _settled(item) for name, item in sorted(value.items()) if name not in _VOLATILE}
    if isinstance(value, list):
        return [_settled(item) for item in value]
    return value


def _network(security_group: str) -> Body:
    def subnet(name: str, *prefixes: str) -> Body:
        properties = {"addressPrefixes": list(prefixes), "networkSecurityGroup": {"id": security_group}}
        return {"name": name, "properties": properties}

    return {
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/8", "fd00:10::/48"]},
            "subnets": [
                subnet("nodes", "10.1.0.0/16", "fd00:10:0:1::/64"),
                subnet("internal", "10.2.0.0/24", "fd00:10:0:2::/64"),
                subnet("links", "10.3.0.0/24"),
            ],
        }
    }
