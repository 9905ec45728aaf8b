"""What apache/cloudstack-kubernetes-provider 1.2.0 leaves in the cloud: states to adopt, and what it would change.

Written from its call sequence: rules without description or tags, firewall rules and ACL entries without marks. What
it would change is what its EnsureLoadBalancer and UpdateLoadBalancer would send for what the cloud holds now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Wish:
    """A Service as upstream looks at it: `ports` are public and node ports, `hosts` the ids of the nodes' machines."""

    uid: str
    ports: tuple[tuple[int, int], ...]
    hosts: frozenset[str]
    algorithm: str = "roundrobin"
    protocol: str = "tcp"
    cidrs: tuple[str, ...] = ("0.0.0.0/0",)
    ranges: tuple[str, ...] = ("0.0.0.0/0",)

    @property
    def balancer(self) -> str:
        """The name that upstream searches for."""
        return ("a" + self.uid.replace("-", ""))[:32]


def mutations(cloud: Cloud, network: Network, wish: Wish) -> list[str]:
    """The writes with which upstream 1.2.0 would answer a Service that it meets for the first time after a start."""
    found = {r.name: r for r in cloud.rules.values() if wish.balancer in f"{r.name} {r.description}".lower()}
    return [*_ensured(cloud, network, wish, found), *_updated(wish, found.values())]


def _ensured(cloud: Cloud, network: Network, wish: Wish, found: dict[str, Rule]) -> Iterator[str]:
    if not found:
        yield "associateIpAddress"
    left = dict(found)
    for port, node_port in wish.ports:
        rule = left.pop(f"{wish.balancer}-{wish.protocol}-{port}", None)
        yield from _checked(cloud, wish, rule, (port, node_port))
        if rule is not None:
            yield from _filtered(cloud, network, wish, rule)
    for _ in left:
        yield "deleteLoadBalancerRule"


def _checked(cloud: Cloud, wish: Wish, rule: Rule | None, ports: tuple[int, int]) -> Iterator[str]:
    if rule is None:
        yield from ("createLoadBalancerRule", "assignToLoadBalancerRule")
        return
    # 1.2.0 takes the text apart at blanks only, and an empty one is no list at all.
    cidrs = rule.cidrs.split(" ") if rule.cidrs else []
    changes_cidrs = sorted(cidrs) != sorted(wish.cidrs)
    moves = (rule.public_port, rule.private_port) != ports
    if moves or (changes_cidrs and cloud.release in {"4.17", "4.18"}):
        yield from ("deleteLoadBalancerRule", "createLoadBalancerRule", "assignToLoadBalancerRule")
    elif changes_cidrs or (rule.algorithm, rule.protocol) != (wish.algorithm, wish.protocol):
        yield "updateLoadBalancerRule"


def _filtered(cloud: Cloud, network: Network, wish: Wish, rule: Rule) -> Iterator[str]:
    port = rule.public_port
    if "Firewall" in network.services:
        here = [f for f in cloud.firewalls.values() if f.address_id == rule.address_id and f.start == f.end == port]
        fitting = [f for f in here if sorted(f.cidrs) == sorted(wish.ranges)]
        yield from ["createFirewallRule"] * (not fitting) + ["deleteFirewallRule"] * (len(here) - len(fitting))
    elif "NetworkACL" in network.services and not cloud.acl_lists[network.acl_id].name.startswith("default_"):
        items = [i for i in cloud.acl_items.values() if i.acl_id == network.acl_id and i.start == i.end == port]
        yield from ["createNetworkACL"] * (not items)


def _updated(wish: Wish, rules: Iterable[Rule]) -> Iterator[str]:
    for rule in rules:
        yield from ["assignToLoadBalancerRule"] * bool(wish.hosts - set(rule.members))
        yield from ["removeFromLoadBalancerRule"] * bool(set(rule.members) - wish.hosts)
