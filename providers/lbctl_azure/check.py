"""Findings for `lbctl doctor`, and the role that the driver needs. Reads only.

`required_actions` is the one list of permissions: the role file and the documentation are made from it, and the suite
runs under exactly these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lbctl.driver import Finding, Level
from lbctl.errors import CloudError
from lbctl_azure.account import Account
from lbctl_azure.settings import CloudConfig

ALWAYS = (
    "Microsoft.Network/loadBalancers/read",
    "Microsoft.Network/loadBalancers/write",
    "Microsoft.Network/loadBalancers/delete",
    "Microsoft.Network/loadBalancers/backendAddressPools/read",
    "Microsoft.Network/loadBalancers/backendAddressPools/write",
    "Microsoft.Network/loadBalancers/backendAddressPools/delete",
    "Microsoft.Network/loadBalancers/backendAddressPools/join/action",
    "Microsoft.Network/publicIPAddresses/read",
    "Microsoft.Network/publicIPAddresses/write",
    "Microsoft.Network/publicIPAddresses/delete",
    "Microsoft.Network/publicIPAddresses/join/action",
    "Microsoft.Network/networkSecurityGroups/read",
    "Microsoft.Network/networkSecurityGroups/write",
    "Microsoft.Network/virtualNetworks/read",
    "Microsoft.Network/virtualNetworks/joinLoadBalancer/action",
    "Microsoft.Network/virtualNetworks/subnets/read",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
    "Microsoft.Network/locations/operations/read",
    "Microsoft.Resources/subscriptions/providers/read",
)
WHEN_REFERENCED = (
    "Microsoft.Network/publicIPPrefixes/join/action",
    "Microsoft.Network/networkSecurityGroups/join/action",
    "Microsoft.Network/loadBalancers/inboundNatRules/join/action",
    "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action",
)
FOR_INTERFACES = (
    "Microsoft.Network/networkInterfaces/read",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Compute/locations/operations/read",
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachineScaleSets/read",
    "Microsoft.Compute/virtualMachineScaleSets/write",
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/read",
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/write",
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces/read",
)
FOR_PRIVATE_LINKS = (
    "Microsoft.Network/privateLinkServices/read",
    "Microsoft.Network/privateLinkServices/write",
    "Microsoft.Network/privateLinkServices/delete",
    "Microsoft.Network/privateLinkServices/privateEndpointConnections/read",
    "Microsoft.Network/privateLinkServices/privateEndpointConnections/delete",
    "Microsoft.Network/loadBalancers/frontendIPConfigurations/join/action",
    "Microsoft.Network/virtualNetworks/subnets/write",
)


def required_actions(config: CloudConfig) -> tuple[str, ...]:
    """Every action that the driver may need with this configuration; pools of addresses need none of compute."""
    return (
        (*ALWAYS, *WHEN_REFERENCED)
        if config.uses_node_ips
        else (*ALWAYS, *WHEN_REFERENCED, *FOR_INTERFACES, *FOR_PRIVATE_LINKS)
    )


class Reads(Protocol):
    """The reads that checking is made of."""

    def find(self, path: str) -> Mapping[str, Any] | None:
        """One object; None when it does not exist."""

    def list(self, path: str) -> list[dict[str, Any]]:
        """All objects of a collection."""


@dataclass(frozen=True, slots=True)
class Look:
    """One thing to look at: where it is, and what to do when it is not there."""

    subject: str
    path: str
    hint: str
    is_list: bool = False


def findings(account: Account, reads: Reads) -> Iterator[Finding]:
    """One finding for each object that the driver reads; all are looked at, whatever fails."""
    for look in _looks(account):
        yield _finding(look, reads)
    if account.config.security_group == "":
        text = "no network security group is named, so no way in is opened for Services"
        yield Finding(Level.WARNING, "network security group", text, "set securityGroupName in azure.json")
    actions = required_actions(account.config)
    yield Finding(Level.OK, "role", f"needs {len(actions)} actions: {', '.join(actions)}")


def _looks(account: Account) -> Iterator[Look]:
    config = account.config
    role = "give the identity the role that `lbctl permissions` prints"
    yield Look("load balancers", config.balancers_group.network("loadBalancers"), role, is_list=True)
    yield Look("public addresses", config.group.network("publicIPAddresses"), role, is_list=True)
    if config.security_group:
        yield Look("network security group", config.security_group_id, "set securityGroupName to one that exists")
    if config.vnet_name:
        yield Look("virtual network", config.vnet_id, "set vnetName and vnetResourceGroup")
    if config.subnet_name:
        yield Look("subnet", config.subnet_id(), "set subnetName to a subnet of the virtual network")
    if not config.uses_node_ips:
        yield Look("scale sets", config.group.compute("virtualMachineScaleSets"), role, is_list=True)
        yield Look("interfaces", config.group.network("networkInterfaces"), role, is_list=True)


def _finding(look: Look, reads: Reads) -> Finding:
    ask: Callable[[str], object] = reads.list if look.is_list else reads.find
    try:
        found = ask(look.path)
    except CloudError as error:
        return Finding(Level.FAILED, look.subject, error.message, error.hint or look.hint)
    if found is None:
        return Finding(Level.FAILED, look.subject, f"{look.path} does not exist", look.hint)
    return Finding(Level.OK, look.subject, f"{look.path} can be read")
