"""Guest networks and machines as values: which network balances for a Service, which machine a Node is. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from lbctl.model.objects import Node
from lbctl.model.problem import Problem
from lbctl.model.resource import nothing
from lbctl.model.status import Notice, Severity

ROUTERS = frozenset({"VirtualRouter", "VpcVirtualRouter"})
UNASSIGNABLE = frozenset({"Destroyed", "Expunging", "Error", "Unknown"})
# `external-cloudstack://ID` is upstream's; `cloudstack:///ID` is what other providers of the same cloud write.
PROVIDER_ID = re.compile(r"(?:external-)?cloudstack:/{2,3}(?P<id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")
DEFAULT_ACLS = {"default_allow": True, "default_deny": False}


@dataclass(frozen=True, slots=True)
class Network:
    """A guest network; `provider` is who balances there, empty when nobody does."""

    id: str
    name: str = ""
    offering: str = ""
    kind: str = "Isolated"
    zone_id: str = ""
    vpc_id: str = ""
    acl_id: str = ""
    acl_name: str = ""
    provider: str = ""
    services: frozenset[str] = frozenset()
    capabilities: Mapping[str, str] = field(default_factory=nothing, hash=False)
    is_routed: bool = False

    @property
    def has_firewall(self) -> bool:
        """True where firewall rules of the address are a filter; in tiers of a VPC from CloudStack 4.23 on."""
        return "Firewall" in self.services

    @property
    def has_health_checks(self) -> bool:
        """True where the provider takes health check policies; virtual routers do not."""
        return self.capabilities.get("HealthCheckPolicy", "").lower() == "true"

    @property
    def has_own_acl(self) -> bool:
        """True where entries of a network ACL are the filter and may be written."""
        return bool(self.acl_id) and self.acl_name not in DEFAULT_ACLS


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine with the networks of its NICs, and the name of the Node that it is, once that is known."""

    id: str
    name: str = ""
    display_name: str = ""
    state: str = "Running"
    networks: frozenset[str] = frozenset()
    node: str = ""


@dataclass(frozen=True, slots=True)
class Matched:
    """The machine of each Node, and a notice for each Node that has none."""

    machines: tuple[Machine, ...] = ()
    notices: tuple[Notice, ...] = ()


def match_nodes(nodes: Iterable[Node], machines: Iterable[Machine]) -> Matched:
    """Each Node's machine: by provider id, else by exact name, else by the first label of its name, if unique."""
    index = _index(machines)
    found: list[Machine] = []
    notices: list[Notice] = []
    for node in nodes:
        candidates = _candidates(node, index)
        if len(candidates) == 1:
            found.append(replace(candidates[0], node=node.metadata.name))
        else:
            notices.append(_skipped(node, candidates))
    return Matched(tuple(m for m in found if m.state not in UNASSIGNABLE), tuple(notices))


def _index(machines: Iterable[Machine]) -> dict[str, dict[str, list[Machine]]]:
    index: dict[str, dict[str, list[Machine]]] = {kind: defaultdict(list) for kind in ("id", "name", "label")}
    for machine in machines:
        index["id"][machine.id.lower()].append(machine)
        index["name"][machine.name].append(machine)
        for label in {machine.name.lower(), machine.display_name.lower()} - {""}:
            index["label"][label].append(machine)
    return index


def _candidates(node: Node, index: dict[str, dict[str, list[Machine]]]) -> list[Machine]:
    named = PROVIDER_ID.fullmatch(node.spec.provider_id)
    if named is not None:
        return index["id"].get(named["id"].lower(), [])
    name = node.metadata.name
    return index["name"].get(name) or index["label"].get(name.lower().partition(".")[0], [])


def _skipped(node: Node, candidates: list[Machine]) -> Notice:
    ids = ", ".join(sorted(machine.id for machine in candidates))
    why = f"several machines have its name: {ids}" if ids else "no machine has its provider id or name"
    return Notice(Severity.WARNING, "NodeSkipped", f"node {node.metadata.name} is no target: {why}")


def choose_network(
    networks: Mapping[str, Network], machines: Iterable[Machine], *, wanted: str = "", present: str = ""
) -> Network | None:
    """The network that balances: the one asked for, else that of the rules there are, else the one with most nodes.

    Of equal ones, a network that can balance goes before one that cannot; the last resort is the lowest id.
    """
    for network_id in (wanted, present):
        if network_id:
            return networks.get(network_id)
    counts = Counter(network for machine in machines for network in machine.networks if network in networks)
    able = {network_id: n for network_id, n in counts.items() if networks[network_id].provider}
    best = able or dict(counts)
    return networks[min(best, key=lambda network_id: (-best[network_id], network_id))] if best else None


def network_problems(network: Network | None, wanted: str) -> list[Problem]:
    """Why a network cannot balance; empty when it can."""
    if network is None and wanted:
        return [Problem("metadata.annotations", f"there is no network {wanted}", "name a guest network of the account")]
    if network is None:
        return [Problem("status", "no node has a machine in a guest network", "check the nodes' provider ids")]
    what = f"network {network.name} (offering {network.offering or 'unknown'})"
    if network.is_routed:
        return [Problem("status", f"{what} is routed: no router translates addresses there", "use a NAT network")]
    if not network.provider:
        hint = "use an offering with the service Lb, or name another network by annotation"
        return [Problem("status", f"{what} has no service Lb", hint)]
    if DEFAULT_ACLS.get(network.acl_name) is False:
        hint = "replace the tier's ACL list by one of your own"
        return [Problem("status", f"{what} has the ACL list default_deny, which lets nobody in", hint)]
    return []


def protocol_problems(network: Network, ports: Iterable[tuple[int, str]]) -> list[Problem]:
    """Ports that the network's balancer refuses.

    Virtual routers take no UDP (cloudstack pull request 4501); older ones accept it and never serve it.
    """
    return [
        Problem(
            f"spec.ports[{port}/UDP]", f"the {network.provider} of network {network.name} balances no UDP", "use TCP"
        )
        for port, protocol in ports
        if protocol == "UDP" and network.provider in ROUTERS
    ]
