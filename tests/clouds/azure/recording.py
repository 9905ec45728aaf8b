"""Pens for the recorded states: a Service manifest, and parts added to a balancer and a security group.

Used by `recorded` alone. Parts are added beside what stands in the object already, as the upstream controller does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.clouds.azure.cloud import Body
    from tests.clouds.azure.world import World

UID: Final = "01234567-89ab-cdef-0123-456789abcdef"
_PREFIX: Final = "service.beta.kubernetes.io/azure-"
_FIRST_PRIORITY: Final = 500


def service(
    *,
    name: str = "web",
    uid: str = UID,
    annotations: Mapping[str, str] | None = None,
    port: Body | None = None,
    **spec: Any,
) -> Body:
    """A Service manifest; annotation names without their common prefix."""
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": uid,
        "annotations": {f"{_PREFIX}{key}": value for key, value in (annotations or {}).items()},
    }
    ports = [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": 30080, **(port or {})}]
    defaults = {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "sessionAffinity": "None"}
    families = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
    spec = {**defaults, **families, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


@dataclass(frozen=True, slots=True)
class Writer:
    """Adds parts to one balancer and rules to the security group, beside what stands there already."""

    world: World
    balancer: str

    def part_id(self, collection: str, name: str) -> str:
        """The id of a part of the balancer."""
        return f"{self.world.id('loadBalancers', self.balancer)}/{collection}/{name}"

    def add(self, parts: Mapping[str, list[Body]]) -> None:
        """Adds parts to the balancer, which is made when it is not there; a part of the same name is replaced."""
        found = self.world.cloud.find(self.world.id("loadBalancers", self.balancer))
        properties = dict(found.properties) if found else {}
        for collection, added in parts.items():
            names = {part["name"] for part in added}
            kept = [part for part in properties.get(collection, ()) if part["name"] not in names]
            properties[collection] = kept + added
        self.world.put("loadBalancers", self.balancer, {"sku": {"name": "Standard"}, "properties": properties})

    def public(self, name: str, public_ip: str) -> Body:
        """A frontend with a public address."""
        return {"name": name, "properties": {"publicIPAddress": {"id": public_ip}}}

    def internal(self, name: str, subnet: str = "nodes", **more: Any) -> Body:
        """A frontend of a subnet, in all zones of the region."""
        reference = {"id": f"{self.world.network}/subnets/{subnet}"}
        return {"name": name, "zones": ["1", "2", "3"], "properties": {"subnet": reference, **more}}

    def rule(self, name: str, frontend: str, *, pool: str = "", probe: str = "", **more: Any) -> Body:
        """A rule of port 80 with the defaults of the upstream controller, `more` in place of some."""
        properties = {
            "protocol": "Tcp",
            "frontendPort": 80,
            "backendPort": 80,
            "enableFloatingIP": True,
            "enableTcpReset": True,
            "idleTimeoutInMinutes": 4,
            "loadDistribution": "Default",
            "disableOutboundSnat": False,
            "frontendIPConfiguration": {"id": self.part_id("frontendIPConfigurations", frontend)},
            "backendAddressPool": {"id": self.part_id("backendAddressPools", pool or self.world.cluster)},
            **({"probe": {"id": self.part_id("probes", probe)}} if probe else {}),
            **more,
        }
        return {"name": name, "properties": properties}

    def probe(self, name: str, *, port: int = 30080, path: str = "") -> Body:
        """A probe, of HTTP when it has a path."""
        http = {"protocol": "Http", "requestPath": path} if path else {"protocol": "Tcp"}
        return {"name": name, "properties": {**http, "port": port, "intervalInSeconds": 5, "probeThreshold": 2}}

    def allow(self, name: str, destinations: list[str], **more: Any) -> None:
        """Adds an inbound rule to the security group, at the first free priority unless one is given.

        Several destinations are a sorted list, one stands alone.
        """
        one: Body = {"destinationAddressPrefix": destinations[0]}
        found = self.world.cloud.find(self.world.security_group)
        rules = list(found.properties["securityRules"]) if found else []
        taken = {rule["properties"]["priority"] for rule in rules}
        properties = {
            "protocol": "Tcp",
            "access": "Allow",
            "direction": "Inbound",
            "priority": next(number for number in range(_FIRST_PRIORITY, 4096) if number not in taken),
            "sourcePortRange": "*",
            "sourceAddressPrefix": "Internet",
            "destinationPortRanges": ["80"],
            **(one if len(destinations) == 1 else {"destinationAddressPrefixes": sorted(destinations)}),
            **more,
        }
        properties = {key: value for key, value in properties.items() if value is not None}
        rules.append({"name": name, "properties": properties})
        self.world.put("networkSecurityGroups", "nodes-nsg", {"properties": {"securityRules": rules}})

    def pip(self, name: str, *, services: str = "default/web", **more: Any) -> str:
        """A public address that the controller made, with its tags."""
        tags = {"k8s-azure-service": services, "k8s-azure-cluster-name": self.world.cluster}
        return self.world.put_public_ip(name, **{"tags": tags, "zones": ["1", "2", "3"], **more})
