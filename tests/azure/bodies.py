"""Request bodies that are good, for tests to break in one place."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.clouds.azure.cloud import Body
    from tests.clouds.azure.world import World

PUBLIC_IP: Body = {
    "location": "westeurope",
    "sku": {"name": "Standard"},
    "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"},
}


def public_balancer(world: World, *, name: str = "kubernetes", public_ip: str = "web") -> Body:
    """A balancer with one public frontend, one pool, one probe and one rule."""
    return _balancer(world, name, {"publicIPAddress": {"id": world.put_public_ip(public_ip)}})


def internal_balancer(world: World, *, name: str = "kubernetes-internal") -> Body:
    """The same with a frontend of the node subnet."""
    return _balancer(world, name, {"subnet": {"id": world.subnet}})


def _balancer(world: World, name: str, frontend: Body) -> Body:
    identity = world.id("loadBalancers", name)
    rule = {
        "protocol": "Tcp",
        "frontendPort": 80,
        "backendPort": 80,
        "enableFloatingIP": True,
        "frontendIPConfiguration": {"id": f"{identity}/frontendIPConfigurations/web"},
        "backendAddressPool": {"id": f"{identity}/backendAddressPools/nodes"},
        "probe": {"id": f"{identity}/probes/web"},
    }
    return {
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "properties": {
            "frontendIPConfigurations": [{"name": "web", "properties": frontend}],
            "backendAddressPools": [{"name": "nodes"}],
            "probes": [{"name": "web", "properties": {"protocol": "Tcp", "port": 30080, "intervalInSeconds": 5}}],
            "loadBalancingRules": [{"name": "web", "properties": rule}],
        },
    }


def security_group(**rule: Any) -> Body:
    """A security group with one inbound rule, some of whose members are the given ones."""
    return {"location": "westeurope", "properties": {"securityRules": [security_rule("web", **rule)]}}


def security_rule(name: str, **more: Any) -> Body:
    """An inbound rule for port 80."""
    properties = {
        "protocol": "Tcp",
        "access": "Allow",
        "direction": "Inbound",
        "priority": 500,
        "sourcePortRange": "*",
        "sourceAddressPrefix": "Internet",
        "destinationPortRange": "80",
        "destinationAddressPrefix": "192.0.2.1",
        **more,
    }
    return {"name": name, "properties": {key: value for key, value in properties.items() if value is not None}}


def added(body: Body, collection: str, name: str, **more: Any) -> Body:
    """A copy of the first part of a collection under another name, put beside it."""
    part: Body = copy.deepcopy(body["properties"][collection][0])
    part["name"] = name
    part["properties"] = {**part.get("properties", {}), **more}
    body["properties"][collection].append(part)
    return part


def first(body: Body, collection: str) -> Body:
    """The properties of the first part of a collection."""
    found: Body = body["properties"][collection][0]["properties"]
    return found
