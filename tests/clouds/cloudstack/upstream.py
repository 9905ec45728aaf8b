"""What apache/cloudstack-kubernetes-provider 1.2.0 leaves in the cloud: states to adopt, and what it would change.

Written from its call sequence: rules without description or tags, firewall rules and ACL entries without marks.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.clouds.cloudstack.balancing import tell_router
from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.objects import AclItem, Address, Firewall, Network, Rule
from tests.clouds.cloudstack.topology import add_address


def provision(
    cloud: Cloud,
    network: Network,
    uid: str,
    *,
    ports: Iterable[tuple[int, int]],
    ip: str = "203.0.113.50",
    sources: tuple[str, ...] = ("0.0.0.0/0",),
    cidrs: str = "0.0.0.0/0",
    name: str = "{balancer}-tcp-{port}",
) -> Address:
    """A balancer as upstream makes it: `ports` are public and node ports."""
    address = next((a for a in cloud.addresses.values() if a.ip == ip), None) or add_address(cloud, ip)
    address.state, address.network_id, address.vpc_id = "Allocated", network.id, network.vpc_id
    balancer = ("a" + uid.replace("-", ""))[:32]
    for port, node_port in ports:
        rule_name = name.format(balancer=balancer, port=port)
        rule = Rule(
            cloud.new_id(), rule_name, address.id, network.id, port, node_port, "roundrobin", "tcp", cidrs=cidrs
        )
        rule.members = [m.id for m in cloud.machines.values() if network.id in m.networks]
        rule.state = "Active"
        cloud.rules[rule.id] = rule
        tell_router(cloud, rule)
        _filter(cloud, network, address, port, sources)
    return address


def _filter(cloud: Cloud, network: Network, address: Address, port: int, sources: tuple[str, ...]) -> None:
    if "Firewall" in network.services:
        firewall = Firewall(cloud.new_id(), address.id, "tcp", port, port, sources)
        cloud.firewalls[firewall.id] = firewall
    elif network.acl_id and not cloud.acl_lists[network.acl_id].name.startswith("default_"):
        number = 100 + len(cloud.acl_items)
        everybody = ("0.0.0.0/0",)
        item = AclItem(cloud.new_id(), network.acl_id, number, "tcp", port, port, "Allow", "Ingress", everybody)
        cloud.acl_items[item.id] = item
