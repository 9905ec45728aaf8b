"""Ready made worlds: networks of each kind, machines, a pool of free addresses, and bystanders that must survive."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.objects import AclItem, AclList, Address, Firewall, Forwarding, Machine, Network, Rule

ISOLATED = dict.fromkeys(("Dhcp", "Dns", "Firewall", "Lb", "PortForwarding", "SourceNat", "Vpn"), "VirtualRouter")
TIER = dict.fromkeys(("Dhcp", "Dns", "Lb", "NetworkACL", "PortForwarding", "SourceNat"), "VpcVirtualRouter")
VPC_ID = "0000000a-0000-4000-8000-000000000001"
ZONE_ID = "0000000b-0000-4000-8000-000000000001"


def add_network(cloud: Cloud, name: str = "k8s", *, services: dict[str, str] = ISOLATED, **fields: Any) -> Network:
    """A guest network."""
    network = Network(cloud.new_id(), name, dict(services), zone_id=ZONE_ID, **fields)
    cloud.networks[network.id] = network
    return network


def add_shared(cloud: Cloud, name: str = "lan") -> Network:
    """A shared network, whose balancer is an appliance with health checks and which has no filter."""
    services = {"Dhcp": "VirtualRouter", "Dns": "VirtualRouter", "Lb": "Netscaler"}
    checks = {"Lb": {"HealthCheckPolicy": "true"}}
    return add_network(
        cloud, name, services=services, kind="Shared", offering="SharedNetworkWithLb", capabilities=checks
    )


def add_tier(cloud: Cloud, name: str = "tier", *, acl: str = "k8s-acl", services: dict[str, str] = TIER) -> Network:
    """A tier of the VPC with an ACL list of this name; `default_allow` and `default_deny` are the built in ones."""
    entry = AclList(cloud.new_id(), acl, "" if acl.startswith("default_") else VPC_ID)
    cloud.acl_lists[entry.id] = entry
    return add_network(
        cloud, name, services=services, vpc_id=VPC_ID, acl_id=entry.id, offering="DefaultNetworkOfferingForVpcNetworks"
    )


def add_guarded_tier(cloud: Cloud, name: str = "tier") -> Network:
    """A tier of a VPC whose addresses have a firewall besides the tier's ACL, as newer servers offer it."""
    return add_tier(cloud, name, services=TIER | {"Firewall": "VpcVirtualRouter"})


def add_machine(cloud: Cloud, name: str, *networks: Network, **fields: Any) -> Machine:
    """A running machine with a NIC in each network."""
    ip = f"10.1.1.{len(cloud.machines) + 10}"
    machine = Machine(cloud.new_id(), name, [network.id for network in networks], ip=ip, **fields)
    cloud.machines[machine.id] = machine
    return machine


def add_address(cloud: Cloud, ip: str, **fields: Any) -> Address:
    """A public address, free unless fields say otherwise."""
    address = Address(cloud.new_id(), ip, zone_id=ZONE_ID, **fields)
    cloud.addresses[address.id] = address
    return address


def add_pool(cloud: Cloud, count: int = 8) -> None:
    """Free addresses 203.0.113.10 and up, beyond a hundred in 198.18.0.0/15."""
    for number in range(count):
        is_near = number < 100
        add_address(cloud, f"203.0.113.{10 + number}" if is_near else f"198.18.{number // 200}.{number % 200 + 1}")


OTHER_UID = "0000000f-0000-4000-8002-000000000000"
OTHER_MARK = f"lbctl.io cluster=another service=shop/web uid={OTHER_UID}"
OTHER_RULE = "a0000000f00004000800200000000000-tcp-80"
ABANDONED_RULE = "a0000000f00004000800300000000000-tcp-80"
BYSTANDING_ADDRESSES = 5
BYSTANDING_RULES = frozenset({"shop-frontend", OTHER_RULE, ABANDONED_RULE})
BYSTANDING_REASONS = frozenset({"ssh", OTHER_MARK})


def _add_other_cluster(cloud: Cloud, network: Network) -> None:
    """A balancer with the marks of another cluster, and one of upstream's whose Service nobody here knows."""
    tags = {"lbctl.io/cluster": "another", "lbctl.io/service": "shop/web", "lbctl.io/uid": OTHER_UID}
    tags["lbctl.io/ip-owner"] = OTHER_UID
    marked = ((OTHER_RULE, "203.0.113.4", OTHER_MARK, tags), (ABANDONED_RULE, "203.0.113.6", "", {}))
    for name, ip, description, marks in marked:
        address = add_address(
            cloud, ip, state="Allocated", network_id=network.id, vpc_id=network.vpc_id, tags=dict(marks)
        )
        rule = Rule(cloud.new_id(), name, address.id, network.id, 80, 30080, "roundrobin", "tcp")
        rule.description = description
        cloud.rules[rule.id] = rule


def add_bystanders(cloud: Cloud, network: Network) -> None:
    """One foreign object of each kind, on addresses of their own and in the shared lists."""
    source_nat = add_address(
        cloud,
        "203.0.113.2",
        state="Allocated",
        network_id=network.id if not network.vpc_id else "",
        vpc_id=network.vpc_id,
        is_source_nat=True,
    )
    other = add_address(cloud, "203.0.113.3", state="Allocated", network_id=network.id, vpc_id=network.vpc_id)
    rule = Rule(cloud.new_id(), "shop-frontend", other.id, network.id, 80, 8080, "roundrobin", "tcp")
    cloud.rules[rule.id] = rule
    cloud.forwardings[f"{rule.id[:-1]}f"] = Forwarding(f"{rule.id[:-1]}f", source_nat.id, 2222)
    _add_other_cluster(cloud, network)
    where = {"network_id": "" if network.vpc_id else network.id, "vpc_id": network.vpc_id}
    add_address(cloud, "203.0.113.5", state="Allocated", is_static_nat=True, **where)
    if network.acl_id:
        for number, port, reason in ((7, 22, "ssh"), (8, 8081, OTHER_MARK)):
            sources = ("198.51.100.0/24",)
            item = AclItem(
                cloud.new_id(), network.acl_id, number, "tcp", port, port, "Allow", "Ingress", sources, reason
            )
            cloud.acl_items[item.id] = item
    else:
        firewall = Firewall(cloud.new_id(), other.id, "tcp", 80, 80, ("0.0.0.0/0",))
        cloud.firewalls[firewall.id] = firewall


def picture(cloud: Cloud) -> dict[str, list[Any]]:
    """The whole cloud without ids and times, in a stable order."""
    names = {a.id: a.ip for a in cloud.addresses.values()} | {n.id: n.name for n in cloud.networks.values()}
    names |= {m.id: m.name for m in cloud.machines.values()} | {r.id: r.name for r in cloud.rules.values()}
    kinds = ("addresses", "rules", "firewalls", "acl_items", "forwardings")
    return {kind: sorted(_plain(asdict(thing), names) for thing in getattr(cloud, kind).values()) for kind in kinds}


def _plain(fields: dict[str, Any], names: dict[str, str]) -> str:
    kept = {k: v for k, v in fields.items() if k not in {"id", "allocated", "number"}}
    return str(sorted((k, _named(v, names)) for k, v in kept.items()))


def _named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return sorted(names.get(item, str(item)) for item in value)
    if isinstance(value, dict):
        return sorted((k, _named(v, names)) for k, v in value.items() if k != "id")
    return names.get(value, value) if isinstance(value, str) else value


def served(cloud: Cloud, ip: str) -> dict[int, dict[str, Any]]:
    """What clients of an address reach: by port, as the router has it, with the sources that the filters admit."""
    address = next(a for a in cloud.addresses.values() if a.ip == ip)
    listening = {r.public_port: r for r in cloud.rules_of(address.id) if r.served is not None}
    return {port: (r.served or {}) | {"admits": _admitted(cloud, r)} for port, r in sorted(listening.items())}


def _admitted(cloud: Cloud, rule: Rule) -> list[str]:
    """CIDRs of the filter in front of the rule, before the rule's own sources."""
    network = cloud.networks[rule.network_id]
    opened = sorted(
        cidr
        for f in cloud.firewalls.values()
        if f.address_id == rule.address_id and f.start <= rule.public_port <= f.end
        for cidr in f.cidrs
    )
    if "Firewall" in network.services and (not network.acl_id or not opened):
        return opened
    if not network.acl_id:
        return ["0.0.0.0/0"]
    if cloud.acl_lists[network.acl_id].name.startswith("default_"):
        return ["0.0.0.0/0"] if cloud.acl_lists[network.acl_id].name == "default_allow" else []
    items = [
        i
        for i in cloud.acl_items.values()
        if i.acl_id == network.acl_id and i.action == "Allow" and i.direction == "Ingress"
    ]
    allowed = sorted(cidr for i in items if (i.start or 0) <= rule.public_port <= (i.end or 65535) for cidr in i.cidrs)
    return [cidr for cidr in allowed if cidr in opened] if "Firewall" in network.services else allowed
