"""At which of its addresses a balancer reaches a node. Pure.

Upstream takes the first InternalIP, then the first ExternalIP, of the Service's first family; a node of several
networks may have a better one, which `lbctl.io/node-address-cidr` picks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import ip_address, ip_network

from lbctl.model.objects import Node

ADDRESS_TYPES = ("InternalIP", "ExternalIP")

Addressed = tuple[tuple[Node, str], ...]


def node_addresses(node: Node) -> Iterator[str]:
    """All addresses of a node in canonical text, in the order in which they are preferred."""
    for kind in ADDRESS_TYPES:
        yield from (str(ip_address(entry.address)) for entry in node.status.addresses if entry.type == kind)


def node_address(node: Node, family: str, ranges: tuple[str, ...] = ()) -> str:
    """The node's first address of the family that is in one of the ranges; empty without one.

    Ranges of the other family alone do not restrict this one.
    """
    networks = [network for text in ranges if family == f"IPv{(network := ip_network(text)).version}"]
    for text in node_addresses(node):
        address = ip_address(text)
        fits = not networks or any(address in network for network in networks)
        if fits and family == f"IPv{address.version}":
            return text
    return ""


@lru_cache(maxsize=256)
def addressed(family: str, ranges: tuple[str, ...] = ()) -> Callable[[tuple[Node, ...]], Addressed]:
    """A projection of a node set: each node that has such an address, with it.

    One function object for the same question: the node set remembers what it derived by function.
    """

    def derive(nodes: tuple[Node, ...]) -> Addressed:
        return tuple((node, address) for node in nodes if (address := node_address(node, family, ranges)))

    return derive
