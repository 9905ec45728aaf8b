"""Nodes as Compute Engine knows them: instance, zone and project from the provider id, never from a list. Pure.

A node's name may be a full domain name; the instance is the part before the first dot. Comparing anything else with
instance names made upstream remove and add every node at each pass (kubernetes/kubernetes#69362).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lbctl.errors import MissingFact
from lbctl.model.node import internal_ip, zone
from lbctl.model.objects import Node

PROVIDER_ID = re.compile(r"gce://(?P<project>[^/]*)/(?P<zone>[^/]*)/(?P<name>[^/]+)")
OLD_ZONE_LABEL = "failure-domain.beta.kubernetes.io/zone"
SUBNET_LABEL = "cloud.google.com/gke-node-pool-subnet"
OPERATION_LABEL = "operation.gke.io/type"
MASTER_LABEL = "node-role.kubernetes.io/master"
ALPHA_EXCLUDE_LABEL = "alpha.service-controller.kubernetes.io/exclude-balancer"
MOST_IN_GROUP = 1000


@dataclass(frozen=True, slots=True, order=True)
class Machine:
    """One instance; `node` is the node's own name, which may be longer."""

    name: str
    zone: str
    address: str = ""
    subnet: str = ""
    draining: bool = False
    node: str = ""

    @property
    def path(self) -> str:
        """Path of the instance within its project."""
        return f"zones/{self.zone}/instances/{self.name}"


def machine_of(node: Node) -> Machine | None:
    """The node's instance; None while its zone or id is not known."""
    found = PROVIDER_ID.fullmatch(node.spec.provider_id)
    place = (found["zone"] if found else "") or zone(node) or node.metadata.labels.get(OLD_ZONE_LABEL, "")
    if not place or found is None:
        return None
    subnet = node.metadata.labels.get(SUBNET_LABEL, "")
    draining = node.metadata.labels.get(OPERATION_LABEL) == "drain"
    return Machine(canonical(found["name"]), place, internal_ip(node) or "", subnet, draining, node.metadata.name)


def canonical(name: str) -> str:
    """The instance's name of a node's name."""
    return name.partition(".")[0]


def is_machine(node: Node) -> bool:
    """True unless a label keeps the node out; one whose zone is not known yet stays where it is."""
    return MASTER_LABEL not in node.metadata.labels and ALPHA_EXCLUDE_LABEL not in node.metadata.labels


def machines_of(nodes: tuple[Node, ...]) -> tuple[Machine, ...]:
    """All instances, sorted by name; a projection of a `NodeSet`."""
    return tuple(sorted(machine for node in nodes if (machine := machine_of(node)) is not None))


def in_subnet(machines: Iterable[Machine], subnet: str) -> tuple[Machine, ...]:
    """Those of the cluster's own subnet, which is what instance groups take."""
    name = subnet.rpartition("/")[2]
    return tuple(machine for machine in machines if machine.subnet in ("", name))


def by_zone(machines: Iterable[Machine]) -> Mapping[str, tuple[str, ...]]:
    """Names of the instances of each zone; the first 1000 by name, as many as a group takes."""
    zones: dict[str, list[str]] = {}
    for machine in sorted(machines):
        zones.setdefault(machine.zone, []).append(machine.name)
    return {place: tuple(names[:MOST_IN_GROUP]) for place, names in sorted(zones.items())}


def tags_of_nodes(machines: tuple[Machine, ...], tags: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """Tags that reach the nodes; None while there is no node, and `MissingFact` when nodes have none.

    A rule without target tags would open every instance of the network, so there is never one.
    """
    found, _ = target_tags(machines, tags)
    if not found and machines:
        hint = "tag the nodes' instances with a prefix of their names, or set node-tags"
        raise MissingFact("no node tags supplied and none found on the instances", hint=hint)
    return found or None


def target_tags(machines: Iterable[Machine], tags: Mapping[str, frozenset[str]]) -> tuple[frozenset[str], list[str]]:
    """Tags that reach all instances: of each the longest that its name starts with, and who has none.

    `tags` holds the network tags of instances by name (cloud-provider-gcp, GetNodeTags: computeHostTags).
    """
    chosen: set[str] = set()
    without: list[str] = []
    for machine in machines:
        fitting = [tag for tag in tags.get(machine.name, frozenset()) if machine.name.startswith(tag)]
        if fitting:
            chosen.add(max(fitting, key=len))
        else:
            without.append(machine.name)
    return frozenset(chosen), without
