"""Which nodes are members of a pool, and what a provider id says about a machine. Pure.

Rules of cloud-provider-azure 7b31c76 (azure_loadbalancer_backendpool.go, azure_vmss.go) on top of the core's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lbctl.driver import World
from lbctl.model.node import has_taint, is_eligible
from lbctl.model.objects import EndpointSlice, Node
from lbctl.model.resource import Scope
from lbctl_azure.account import Account
from lbctl_azure.elements import POOL
from lbctl_azure.ids import last_segment
from lbctl_azure.names import base_of_balancer

CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
MANAGED = "kubernetes.azure.com/managed"
SHUTDOWN = "node.cloudprovider.kubernetes.io/shutdown"
"""Set by the cloud node controller when the machine is stopped or deallocated: no compute call is needed to know."""
RESOURCE_GROUP = "kubernetes.azure.com/resource-group"
SCALE_SET_MACHINE = re.compile(
    r"(?P<set>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Compute/virtualMachineScaleSets/[^/]+)"
    r"/virtualMachines/(?P<instance>[^/]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The virtual machine behind a node; `scale_set` is the id of its uniform scale set, empty without one."""

    id: str
    scale_set: str = ""

    @property
    def instance(self) -> str:
        """Number of the instance in its scale set, or the machine's name."""
        return last_segment(self.id)


def machine_of(node: Node) -> Machine | None:
    """The machine that the provider id names; None while a fresh node has none."""
    text = node.spec.provider_id.removeprefix("azure://")
    if not text.startswith("/"):
        return None
    found = SCALE_SET_MACHINE.fullmatch(text)
    return Machine(text, found["set"] if found else "")


def is_usable(node: Node) -> bool:
    """True once the node has what a pool needs: a machine, or an address."""
    return machine_of(node) is not None or any(entry.type == "InternalIP" for entry in node.status.addresses)


def identity_of_node(node: Node) -> object:
    """Everything of a node that decides about its membership."""
    labels = tuple(sorted(node.metadata.labels.items()))
    addresses = tuple(entry.address for entry in node.status.addresses if entry.type == "InternalIP")
    return (node.spec.provider_id, addresses, labels, has_taint(node, SHUTDOWN))


def is_control_plane(node: Node) -> bool:
    """True for nodes that run the control plane."""
    labels = node.metadata.labels
    return any(label in labels for label in CONTROL_PLANE) or labels.get("kubernetes.io/role") == "master"


def is_managed(node: Node, account: Account) -> bool:
    """False for nodes that another party looks after, or that live in another resource group."""
    labels = node.metadata.labels
    if labels.get(MANAGED, "").lower() == "false":
        return False
    group = labels.get(RESOURCE_GROUP, "")
    return not group or group.lower() == account.config.resource_group.lower()


def takes_traffic(node: Node, account: Account, scope: Scope, world: World) -> bool:
    """True when the node belongs into the pools of this balancer."""
    skips_control_plane = account.config.skip_control_plane or account.config.uses_node_ips
    if not is_eligible(node) or not is_managed(node, account) or has_taint(node, SHUTDOWN):
        return False
    if skips_control_plane and is_control_plane(node):
        return False
    return not account.config.balancers or home_of(node, account, world).lower() == base_of_balancer(scope.name).lower()


def home_of(node: Node, account: Account, world: World) -> str:
    """In multi-SLB mode, the one balancer whose pools the node is in: by machine set, selector, habit, or name."""
    entries = account.config.balancers
    machine = machine_of(node)
    own_set = last_segment(machine.scale_set).lower() if machine and machine.scale_set else ""
    for entry in entries:
        if own_set and entry.primary_set.lower() == own_set:
            return entry.name
    for entry in entries:
        if entry.nodes and entry.nodes.matches(node.metadata.labels):
            return entry.name
    plain = [entry.name for entry in entries if not entry.nodes] or [account.primary]
    settled = next((base for base in plain if _is_member(node, base, account, world)), None)
    # Upstream counts nodes and takes the emptiest; a hash spreads as evenly and never moves a node.
    return settled or plain[sum(node.metadata.name.encode()) % len(plain)]


def _is_member(node: Node, base: str, account: Account, world: World) -> bool:
    for internal in (False, True):
        observed = world.observed.get(account.scope_of(base, internal=internal))
        for pool in observed.of_kind(POOL) if observed is not None else ():
            addresses = pool.resource.fields.get("addresses")
            if isinstance(addresses, frozenset) and any(name == node.metadata.name for name, _ in addresses):
                return True
    return False


def local_nodes(slices: Iterable[EndpointSlice]) -> frozenset[str]:
    """Names of the nodes with an endpoint that serves, worked out from all slices at once."""
    return frozenset(
        endpoint.node_name
        for piece in slices
        for endpoint in piece.endpoints or ()
        if endpoint.node_name and endpoint.conditions.ready is not False
    )
