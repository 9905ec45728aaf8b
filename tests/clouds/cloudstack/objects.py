"""What the cloud holds, as plain records with the fields that its rules look at, and how each is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Tags = dict[str, str]
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Network:
    """A guest network; `services` maps a service's name to its provider."""

    id: str
    name: str
    services: dict[str, str]
    kind: str = "Isolated"
    vpc_id: str = ""
    acl_id: str = ""
    zone_id: str = ""
    project_id: str = ""
    offering: str = "DefaultIsolatedNetworkOfferingWithSourceNatService"
    routed: bool = False
    capabilities: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Address:
    """A public address."""

    id: str
    ip: str
    state: str = "Free"
    network_id: str = ""
    vpc_id: str = ""
    zone_id: str = ""
    is_source_nat: bool = False
    is_static_nat: bool = False
    is_system: bool = False
    allocated: float = 0.0
    project_id: str = ""
    account: str = "lbctl"
    tags: Tags = field(default_factory=dict)


@dataclass
class Rule:
    """A load balancer rule; `cidrs` is the stored text, `served` what the router was last told."""

    id: str
    name: str
    address_id: str
    network_id: str
    public_port: int
    private_port: int
    algorithm: str
    protocol: str
    cidrs: str = ""
    description: str = ""
    idle_timeout: int = 0
    state: str = "Add"
    project_id: str = ""
    members: list[str] = field(default_factory=list)
    stickiness: dict[str, Any] | None = None
    health: dict[str, Any] | None = None
    served: dict[str, Any] | None = None
    tags: Tags = field(default_factory=dict)


@dataclass
class Firewall:
    """An ingress firewall rule of an address."""

    id: str
    address_id: str
    protocol: str
    start: int
    end: int
    cidrs: tuple[str, ...]
    rule_id: str = ""
    state: str = "Active"
    project_id: str = ""
    tags: Tags = field(default_factory=dict)


@dataclass
class AclList:
    """A network ACL list; the two built in ones cannot be changed."""

    id: str
    name: str
    vpc_id: str = ""


@dataclass
class AclItem:
    """One entry of a network ACL list."""

    id: str
    acl_id: str
    number: int
    protocol: str
    start: int | None
    end: int | None
    action: str
    direction: str
    cidrs: tuple[str, ...]
    reason: str = ""
    tags: Tags = field(default_factory=dict)


@dataclass
class Forwarding:
    """A port-forwarding rule: a foreign user of an address."""

    id: str
    address_id: str
    public_port: int
    protocol: str = "tcp"


@dataclass
class Machine:
    """A virtual machine with the networks of its NICs, the default one first."""

    id: str
    name: str
    networks: list[str]
    state: str = "Running"
    ip: str = ""
    display_name: str = ""
    project_id: str = ""


def answer_tags(tags: Tags, kind: str) -> list[dict[str, str]]:
    """Tags as list answers carry them."""
    return [{"key": key, "value": value, "resourcetype": kind} for key, value in sorted(tags.items())]


def answer_address(address: Address) -> dict[str, Any]:
    """A row of `listPublicIpAddresses`."""
    row: dict[str, Any] = {
        "id": address.id,
        "ipaddress": address.ip,
        "state": address.state,
        "issourcenat": address.is_source_nat,
        "isstaticnat": address.is_static_nat,
        "issystem": address.is_system,
        "zoneid": address.zone_id,
        "forvirtualnetwork": True,
        "tags": answer_tags(address.tags, "PublicIpAddress"),
    }
    optional = {"associatednetworkid": address.network_id, "vpcid": address.vpc_id, "projectid": address.project_id}
    if address.allocated:
        row["allocated"] = (BEGINNING + timedelta(seconds=address.allocated)).strftime("%Y-%m-%dT%H:%M:%S%z")
    return row | {name: value for name, value in optional.items() if value}


def answer_rule(rule: Rule, address: Address) -> dict[str, Any]:
    """A row of `listLoadBalancerRules`: ports are text."""
    row: dict[str, Any] = {
        "id": rule.id,
        "name": rule.name,
        "description": rule.description,
        "publicipid": rule.address_id,
        "publicip": address.ip,
        "publicport": str(rule.public_port),
        "privateport": str(rule.private_port),
        "algorithm": rule.algorithm,
        "protocol": rule.protocol,
        "cidrlist": rule.cidrs,
        "networkid": rule.network_id,
        "state": rule.state,
        "tags": answer_tags(rule.tags, "LoadBalancer"),
    }
    row |= {"idletimeout": rule.idle_timeout} if rule.idle_timeout else {}
    return row | ({"projectid": rule.project_id} if rule.project_id else {})


def answer_firewall(rule: Firewall, address: Address) -> dict[str, Any]:
    """A row of `listFirewallRules`: ports are numbers."""
    return {
        "id": rule.id,
        "ipaddressid": rule.address_id,
        "ipaddress": address.ip,
        "networkid": address.network_id,
        "protocol": rule.protocol,
        "startport": rule.start,
        "endport": rule.end,
        "cidrlist": ",".join(rule.cidrs),
        "state": rule.state,
        "tags": answer_tags(rule.tags, "FirewallRule"),
    }


def answer_item(item: AclItem) -> dict[str, Any]:
    """A row of `listNetworkACLs`: ports are text."""
    row: dict[str, Any] = {
        "id": item.id,
        "aclid": item.acl_id,
        "number": item.number,
        "protocol": item.protocol,
        "action": item.action,
        "traffictype": item.direction,
        "cidrlist": ",".join(item.cidrs),
        "reason": item.reason,
        "state": "Active",
        "tags": answer_tags(item.tags, "NetworkACL"),
    }
    ports = {"startport": item.start, "endport": item.end}
    return row | {name: str(port) for name, port in ports.items() if port is not None}


def answer_network(network: Network, acl_name: str) -> dict[str, Any]:
    """A row of `listNetworks`."""
    services = [
        {
            "name": name,
            "provider": [{"name": provider}],
            "capability": [{"name": n, "value": v} for n, v in network.capabilities.get(name, {}).items()],
        }
        for name, provider in network.services.items()
    ]
    row: dict[str, Any] = {
        "id": network.id,
        "name": network.name,
        "type": network.kind,
        "zoneid": network.zone_id,
        "networkofferingname": network.offering,
        "networkofferingconservemode": True,
        "service": services,
    }
    optional = {"vpcid": network.vpc_id, "aclid": network.acl_id, "aclname": acl_name, "projectid": network.project_id}
    optional["ip4routing"] = "Static" if network.routed else ""
    return row | {name: value for name, value in optional.items() if value}


def answer_machine(machine: Machine) -> dict[str, Any]:
    """A row of `listVirtualMachines` with `details=min,nics`."""
    nics = [
        {"id": f"{machine.id[:-2]}{n:02d}", "networkid": network, "isdefault": n == 0, "ipaddress": machine.ip}
        for n, network in enumerate(machine.networks)
    ]
    row: dict[str, Any] = {"id": machine.id, "name": machine.name, "state": machine.state, "nic": nics}
    optional = {"displayname": machine.display_name, "projectid": machine.project_id}
    return row | {name: value for name, value in optional.items() if value}
