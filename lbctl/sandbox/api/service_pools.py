"""Hands out cluster addresses and node ports to Services, and takes them back.

Allocating takes nothing by itself: only a write that was accepted settles it, so a Service that is refused costs
nothing. Source of the rules: kube-apiserver 1.36, `registry/core/service/storage/alloc.go`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from lbctl.sandbox.api.objects import Json, Obj, drop_empty
from lbctl.sandbox.api.service_defaults import (
    allocates_node_ports,
    needs_cluster_ip,
    needs_health_port,
    needs_node_ports,
)
from lbctl.sandbox.api.status import internal_error

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from lbctl.sandbox.api.status import Problems

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Taken: TypeAlias = tuple[str, Json]

FAMILIES = {4: "IPv4", 6: "IPv6"}
TAKEN, NO_ADDRESS = "provided IP is already allocated", "the provided network does not match the current range"
TRIES = 64


@dataclass(slots=True)
class Pools:
    """The cluster's ranges and what of them is in use; one per API server."""

    networks: dict[str, Network]
    first_port: int
    last_port: int
    chance: random.Random
    used: set[Taken] = field(default_factory=set)

    @classmethod
    def of(cls, cidrs: Iterable[str], ports: tuple[int, int], chance: random.Random) -> Pools:
        """Pools over the given service CIDRs (the first decides the default family) and node port range."""
        networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
        return cls({FAMILIES[network.version]: network for network in networks}, *ports, chance)

    def claims(self, spec: Obj) -> set[Taken]:
        """Everything that a stored Service holds."""
        addresses = {("ip", address) for address in spec.get("clusterIPs", ()) if address != "None"}
        ports = {("port", port["nodePort"]) for port in spec.get("ports", ()) if "nodePort" in port}
        health = {("port", spec["healthCheckNodePort"])} if "healthCheckNodePort" in spec else set()
        return addresses | ports | health

    def replace(self, old: Obj, new: Obj) -> None:
        """Settle one write: free what only the old spec held, take what only the new one holds."""
        self.used.difference_update(self.claims(old))
        self.used.update(self.claims(new))

    def free_port(self, besides: set[Taken]) -> int:
        """A node port that nobody holds; 0 when the range is used up."""
        size = self.last_port - self.first_port + 1
        first = self.first_port + _chosen_by_hand(size, share=32, most=128)
        for _ in range(TRIES):
            number = self.chance.randint(min(first, self.last_port), self.last_port)
            if ("port", number) not in self.used and ("port", number) not in besides:
                return number
        taken = self.used | besides
        everything = range(self.first_port, self.last_port + 1)
        return next((number for number in everything if ("port", number) not in taken), 0)

    def free_address(self, family: str) -> str:
        """A cluster address that nobody holds; empty when the range is used up."""
        network = self.networks[family]
        # The first address is the network's, the last of IPv4 the broadcast one.
        hosts = min(network.num_addresses - 2, 2**16)
        first = _chosen_by_hand(hosts, share=16, most=256)
        for _ in range(TRIES):
            address = str(network[self.chance.randint(min(first, hosts), hosts)])
            if ("ip", address) not in self.used:
                return address
        candidates = (str(network[index]) for index in range(1, hosts + 1))
        return next((address for address in candidates if ("ip", address) not in self.used), "")

    def address_fault(self, address: str) -> str:
        """Why an address that the client names cannot be had, or the empty string."""
        if ("ip", address) in self.used:
            return TAKEN
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return NO_ADDRESS
        network = self.networks.get(FAMILIES[parsed.version])
        return "" if network is not None and parsed in network else NO_ADDRESS

    def port_fault(self, number: int) -> str:
        """Why a node port that the client names cannot be had, or the empty string."""
        if not self.first_port <= number <= self.last_port:
            ports = f"{self.first_port}-{self.last_port}"
            return f"provided port is not in the valid range. The range of valid ports is {ports}"
        return "provided port is already allocated" if ("port", number) in self.used else ""


def _chosen_by_hand(size: int, *, share: int, most: int) -> int:
    """How many of the lowest numbers are left to those who choose for themselves, while others are free.

    KEP-3070 and KEP-3668: a share of the range, at least 16.
    """
    return min(max(16, size // share), most)


def allocate(pools: Pools, new: Obj, *, old: Obj, problems: Problems) -> None:
    """Fill the spec's addresses and ports; note what cannot be had. Takes nothing: see `Pools.replace`."""
    held = pools.claims(old)
    if needs_cluster_ip(new):
        _allocate_addresses(pools, new, held=held, problems=problems)
    if needs_node_ports(new):
        _allocate_node_ports(pools, new, held=held, problems=problems)
    if needs_health_port(new):
        _allocate_health_port(pools, new, held=held)


def _allocate_addresses(pools: Pools, spec: Obj, *, held: set[Taken], problems: Problems) -> None:
    given = list(spec.get("clusterIPs", ()))
    if given[:1] == ["None"]:
        return
    for address in given:
        fault = "" if ("ip", address) in held else pools.address_fault(address)
        if fault:
            problems.invalid("spec.clusterIPs", given, f"failed to allocate IP {address}: {fault}")
    given += [pools.free_address(family) for family in spec.get("ipFamilies", ())[len(given) :]]
    spec["clusterIPs"] = given
    spec["clusterIP"] = given[0] if given else ""
    drop_empty(spec, "clusterIP", "clusterIPs")


def _allocate_node_ports(pools: Pools, spec: Obj, *, held: set[Taken], problems: Problems) -> None:
    ports = spec.get("ports", ())
    for index, port in enumerate(ports):
        number = port.get("nodePort")
        if number and ("port", number) not in held and (fault := pools.port_fault(number)):
            problems.invalid(f"spec.ports[{index}].nodePort", number, fault)
    if not allocates_node_ports(spec):
        return
    # TCP and UDP of one port number share a node port, so that a client finds both at the same place.
    shared = {port["port"]: port["nodePort"] for port in ports if "nodePort" in port}
    protocols = {(port["protocol"], port["nodePort"]) for port in ports if "nodePort" in port}
    for port in ports:
        if "nodePort" not in port:
            known = shared.get(port["port"], 0)
            usable = known and (port["protocol"], known) not in protocols
            port["nodePort"] = known if usable else pools.free_port(pools.claims(spec))
            shared[port["port"]] = port["nodePort"]


def _allocate_health_port(pools: Pools, spec: Obj, *, held: set[Taken]) -> None:
    number = spec.get("healthCheckNodePort", 0)
    if not number:
        spec["healthCheckNodePort"] = pools.free_port(pools.claims(spec) | held)
    elif ("port", number) not in held and (fault := pools.port_fault(number)):
        raise internal_error(f"failed to allocate requested HealthCheck NodePort {number}: {fault}")
