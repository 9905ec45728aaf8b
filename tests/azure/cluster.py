"""A cluster on the Azure endpoint: one running lbctl with the Azure driver, on one clock with the cloud."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lbctl.model.objects import NodeAddress
from lbctl_azure import DRIVER
from lbctl_azure.azure_json import read_cloud_config
from lbctl_azure.connect import Sovereign, connection
from lbctl_azure.driver import AzureDriver
from lbctl_azure.settings import Settings
from lbctl_azure.sources import Source
from tests.clouds.azure.client import StaticCredential
from tests.clouds.azure.cloud import SUBSCRIPTION
from tests.clouds.azure.limits import UNLIMITED, Limits
from tests.clouds.azure.server import TOKEN, ArmServer
from tests.clouds.azure.world import GROUP
from tests.clouds.azure.world import World as Azure
from tests.world import World, change, node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lbctl.driver import Setup
    from tests.clouds.azure.world import Node as Machine

AZURE_JSON: Mapping[str, Any] = {
    "cloud": "AzurePublicCloud",
    "tenantId": "22222222-3333-4444-5555-666666666666",
    "subscriptionId": SUBSCRIPTION,
    "resourceGroup": GROUP,
    "location": "westeurope",
    "vnetName": "cluster-vnet",
    "subnetName": "nodes",
    "securityGroupName": "nodes-nsg",
    "loadBalancerSku": "standard",
    "loadBalancerBackendPoolConfigurationType": "nodeIP",
}
BALANCERS = "Microsoft.Network/loadBalancers"
ADDRESSES = "Microsoft.Network/publicIPAddresses"
GROUPS = "Microsoft.Network/networkSecurityGroups"


class Time:
    """The seconds of whichever clock the present process uses."""

    def __init__(self) -> None:
        self.read = lambda: 0.0

    def __call__(self) -> float:
        return self.read()


class Cluster(World):
    """lbctl on Azure. `azure` is the cloud's side, `server` the endpoint with faults and journal."""

    def __init__(self, server: ArmServer, azure: Azure, **options: Any) -> None:
        self.server = server
        self.azure = azure
        config = {**AZURE_JSON, **options.pop("config", {}), "resourceManagerEndpoint": server.url}
        self.config, faults, unknown = read_cloud_config(str(config))
        assert not faults, faults
        options.setdefault("settings", Settings())
        verify = options.pop("verify", True)
        options.setdefault("nodes", ())
        source, cloud = Source(self.config, unknown), Sovereign(server.url, server.url)

        def connect(setup: Setup) -> AzureDriver:
            made = connection(setup, source, StaticCredential(TOKEN), cloud=cloud, verify=verify)
            return AzureDriver(DRIVER, setup, made)

        info = replace(DRIVER, connect=connect)
        super().__init__(info, **options)

    crashed = False

    def add_nodes(self, *names: str) -> None:
        """Let Nodes join and lbctl take note."""
        for name in names:
            self.see_node(node(name))
        self.settle()

    def add_machines(self, machines: Iterable[Machine], **labels: str) -> None:
        """Let machines of the cloud join as Nodes."""
        for machine in machines:
            addresses = tuple(NodeAddress(type="InternalIP", address=address) for address in machine.addresses)
            plain = node(machine.name, labels=labels, provider_id=machine.provider_id)
            self.see_node(change(plain, status=change(plain.status, addresses=addresses)))
        self.settle()

    def members(self, pool: str = "kubernetes", name: str = "kubernetes") -> list[str]:
        """Machines in a pool through their interfaces, by the end of their id."""
        found = self.parts("backendAddressPools", name)[pool].get("backendIPConfigurations", [])
        return sorted(
            entry["id"].partition("/ipConfigurations/")[0].partition(".Network/")[2]
            or entry["id"].partition("virtualMachineScaleSets/")[2].partition("/networkInterfaces/")[0]
            for entry in found
        )

    def balancer(self, name: str = "kubernetes") -> dict[str, Any] | None:
        """A load balancer's properties as ARM shows them; None when there is none."""
        found = self.azure.state().get(self.azure.id("loadBalancers", name))
        return found["properties"] if found else None

    def parts(self, collection: str, name: str = "kubernetes") -> dict[str, dict[str, Any]]:
        """One collection of a load balancer, by name."""
        found = self.balancer(name) or {}
        return {part["name"]: part["properties"] for part in found.get(collection, [])}

    def lb_rules(self, name: str = "kubernetes") -> dict[str, dict[str, Any]]:
        """Load-balancing rules by name."""
        return self.parts("loadBalancingRules", name)

    def probes(self, name: str = "kubernetes") -> dict[str, dict[str, Any]]:
        """Probes by name."""
        return self.parts("probes", name)

    def public_ips(self) -> dict[str, dict[str, Any]]:
        """Public addresses of the cluster's group, by name."""
        prefix = self.azure.id("publicIPAddresses", "")
        return {body["name"]: body for key, body in self.azure.state().items() if key.startswith(prefix)}

    def security_rules(self) -> dict[str, dict[str, Any]]:
        """Rules of the security group by name."""
        group = self.azure.state()[self.azure.security_group]
        return {rule["name"]: rule["properties"] for rule in group["properties"]["securityRules"]}

    def writes(self) -> dict[str, int]:
        """Writes since the journal was cleared, by action; none is an empty dict."""
        found: dict[str, int] = {}
        for call in self.server.journal.calls:
            if call.counted.value in ("write", "delete"):
                found[call.action] = found.get(call.action, 0) + 1
        return found


@contextmanager
def cluster(*, limits: Limits = UNLIMITED, started: bool = True, **options: Any) -> Iterator[Cluster]:
    """A cluster on an endpoint of its own; no test may leave a bug behind."""
    time = Time()
    with ArmServer(now=time, limits=limits) as server:
        built = Cluster(server, Azure(server.cloud), **options)
        time.read = built.clock.monotonic
        if started:
            built.settle()
        yield built
        built.driver.close()
    assert not built.bugs
