"""Findings for `lbctl doctor`: identity, rights, limits, and what azure.json names. Reads only.

Everything is looked at whatever fails before, but for the identity: without a token no answer would mean anything.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol

from lbctl.driver import Finding, Level
from lbctl.errors import CloudError, Unreachable
from lbctl.model.node import NodeSet
from lbctl_azure import seats, security
from lbctl_azure.account import Account
from lbctl_azure.ids import Group, group_of, last_segment
from lbctl_azure.nodes import is_usable, machine_of
from lbctl_azure.permissions import Need, actions_for, needs_of_config, possible_needs
from lbctl_azure.settings import CloudConfig
from lbctl_azure.sources import Source

ROLE = "give the identity the role that `lbctl permissions` prints"
SHORT_MINUTES = 5
NEARLY_FULL = 0.9
NAMED_NODES = 3
QUOTAS = {
    "StandardSkuPublicIpAddresses": "Standard public addresses of the region",
    "PublicIPAddresses": "public addresses of the region",
    "StandardSkuLoadBalancers": "Standard load balancers of the region",
}
OPTIONAL = {Need.PREFIX: "addresses out of a prefix", Need.LINK: "private link services"}


class Reads(Protocol):
    """The reads that checking is made of."""

    def token(self) -> tuple[str, float]:
        """A token of the identity, and the seconds until it ends."""

    def find(self, path: str) -> Mapping[str, Any] | None:
        """One object; None when it does not exist."""

    def list(self, path: str) -> list[dict[str, Any]]:
        """All objects of a collection."""

    def provider(self, namespace: str) -> dict[str, Any]:
        """What a resource provider says about itself."""


@dataclass(frozen=True, slots=True)
class Look:
    """One thing to look at: where it is, and what to do when it is not there."""

    subject: str
    path: str
    hint: str
    is_list: bool = False


def findings(account: Account, reads: Reads, source: Source, nodes: NodeSet) -> Iterator[Finding]:
    """One finding for each thing that serving needs, with what to do where it is missing."""
    for problem in source.unknown:
        yield Finding(Level.FAILED, problem.path, problem.message, problem.hint or "remove it")
    identity = _identity(account.config, reads)
    yield identity
    if identity.level is Level.FAILED:
        return
    yield from _rights(account.config, reads)
    for look in _looks(account):
        yield _finding(look, reads)
    if account.config.security_group == "":
        text = "no network security group is named, so no way in is opened for Services"
        yield Finding(Level.WARNING, "network security group", text, "set securityGroupName in azure.json")
    yield _registration(reads)
    yield from _quotas(account.config, reads)
    yield from _own_limits(account, reads)
    yield from _nodes(account.config, nodes)


# -- who we are, and what we may do ------------------------------------------------------------------------------------


def _identity(config: CloudConfig, reads: Reads) -> Finding:
    try:
        token, seconds = reads.token()
    except CloudError as error:
        return Finding(Level.FAILED, "identity", error.message, error.hint)
    claims = claims_of(token)
    tenant, name = str(claims.get("tid", "")), claims.get("appid") or claims.get("oid") or "an identity"
    left = f"its token lasts {seconds / 60:.0f} minutes more"
    text = f"{name} of tenant {tenant or 'unknown'}; {left}"
    if tenant and tenant.lower() != config.tenant_id.lower():
        hint = "set tenantId in azure.json to the tenant of the identity"
        return Finding(Level.FAILED, "identity", f"{text}, and tenantId is {config.tenant_id}", hint)
    if seconds < SHORT_MINUTES * 60:
        return Finding(Level.WARNING, "identity", text, "look why the token endpoint gives out tokens about to end")
    return Finding(Level.OK, "identity", text)


def claims_of(token: str) -> Mapping[str, Any]:
    """What a token says about itself, unverified; nothing when it is no JSON web token."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _rights(config: CloudConfig, reads: Reads) -> Iterator[Finding]:
    """One finding for each action that is missing, one for each group where none is."""
    required = set(actions_for(needs_of_config(config) | {Need.PUBLIC, Need.ADDRESS, Need.PRIVATE}))
    by_group: dict[Group, list[str]] = {}
    for action in actions_for(possible_needs(config)):
        if (group := group_of_action(action, config)) is not None:
            by_group.setdefault(group, []).append(action)
    for group, actions in by_group.items():
        subject = f"rights in {group.name}"
        try:
            granted = reads.list(f"{group.id()}/providers/Microsoft.Authorization/permissions")
        except CloudError as error:
            if isinstance(error, Unreachable) and error.endpoint:
                # Everything that follows is asked of the same address.
                raise
            yield Finding(Level.WARNING, subject, f"cannot be read: {error.message}", error.hint or ROLE)
            continue
        missing = [action for action in actions if not is_granted(action, granted)]
        yield from (_missing(action, group, required) for action in missing)
        if not missing:
            yield Finding(Level.OK, subject, f"all {len(actions)} actions are granted")


def _missing(action: str, group: Group, required: set[str]) -> Finding:
    subject, where = f"right {action}", f"is not granted in {group.name}"
    if action in required:
        return Finding(Level.FAILED, subject, where, ROLE)
    use = next(use for need, use in OPTIONAL.items() if action in actions_for({need}))
    return Finding(Level.WARNING, subject, f"{where}; {use} need it", ROLE)


def is_granted(action: str, granted: list[dict[str, Any]]) -> bool:
    """True when an assignment's actions cover this one and its exceptions do not."""
    return any(
        _covers(entry.get("actions"), action) and not _covers(entry.get("notActions"), action) for entry in granted
    )


def _covers(patterns: list[str] | None, action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns or ())


def group_of_action(action: str, config: CloudConfig) -> Group | None:
    """The group whose objects the action is for; None for those of the subscription or of objects of others."""
    network = {
        "loadBalancers": config.balancers_group,
        "publicIPAddresses": config.group,
        "virtualNetworks": group_of(config.vnet_id),
        "networkSecurityGroups": group_of(config.security_group_id) if config.security_group else None,
        "networkInterfaces": config.machines_group,
        "privateLinkServices": replace(config.group, name=config.private_link_group or config.group.name),
    }
    provider, kind, *rest = action.split("/")
    if provider == "Microsoft.Compute" and kind != "locations":
        return config.machines_group
    return network.get(kind) if rest else None


# -- what azure.json names ---------------------------------------------------------------------------------------------


def _looks(account: Account) -> Iterator[Look]:
    config = account.config
    yield Look("load balancers", config.balancers_group.network("loadBalancers"), ROLE, is_list=True)
    yield Look("public addresses", config.group.network("publicIPAddresses"), ROLE, is_list=True)
    if config.security_group:
        yield Look("network security group", config.security_group_id, "set securityGroupName to one that exists")
    if config.vnet_name:
        yield Look("virtual network", config.vnet_id, "set vnetName and vnetResourceGroup")
    if config.subnet_name:
        yield Look("subnet", config.subnet_id(), "set subnetName to a subnet of the virtual network")
    if not config.uses_node_ips:
        yield Look("scale sets", config.machines_group.compute("virtualMachineScaleSets"), ROLE, is_list=True)
        yield Look("interfaces", config.machines_group.network("networkInterfaces"), ROLE, is_list=True)


def _finding(look: Look, reads: Reads) -> Finding:
    ask: Callable[[str], object] = reads.list if look.is_list else reads.find
    try:
        found = ask(look.path)
    except CloudError as error:
        return Finding(Level.FAILED, look.subject, error.message, error.hint or look.hint)
    if found is None:
        return Finding(Level.FAILED, look.subject, f"{look.path} does not exist", look.hint)
    where = group_of(look.path).name
    what = f"those of group {where}" if look.is_list else f"{last_segment(look.path)} of group {where}"
    return Finding(Level.OK, look.subject, f"{what} can be read")


def _registration(reads: Reads) -> Finding:
    subject = "provider Microsoft.Network"
    try:
        state = str(reads.provider("Microsoft.Network").get("registrationState", ""))
    except CloudError as error:
        return Finding(Level.WARNING, subject, error.message, error.hint or ROLE)
    if state.lower() == "registered":
        return Finding(Level.OK, subject, "is registered")
    hint = "az provider register --namespace Microsoft.Network"
    return Finding(Level.FAILED, subject, f"is {state or 'unknown'} in the subscription", hint)


# -- limits ------------------------------------------------------------------------------------------------------------


def _quotas(config: CloudConfig, reads: Reads) -> Iterator[Finding]:
    location = config.location.replace(" ", "").lower()
    subscription = config.group.subscription
    path = f"/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/usages"
    try:
        usages = reads.list(path) if location else []
    except CloudError as error:
        yield Finding(Level.WARNING, "quotas", f"cannot be read: {error.message}", error.hint or ROLE)
        return
    for usage in usages:
        if (name := QUOTAS.get(str((usage.get("name") or {}).get("value")))) is not None:
            yield _usage(name, int(usage["currentValue"]), int(usage["limit"]), "ask for a higher limit, or free some")


def _own_limits(account: Account, reads: Reads) -> Iterator[Finding]:
    """How full each load balancer and the security group are; silent where they cannot be read: others say so."""
    config = account.config
    try:
        balancers = reads.list(config.balancers_group.network("loadBalancers"))
        group = reads.find(config.security_group_id) if config.security_group else None
    except CloudError:
        return
    most = config.max_rules or seats.MOST_RULES
    for balancer in balancers:
        if account.is_ours(balancer["name"]):
            used = len(balancer["properties"].get("loadBalancingRules") or ())
            yield _usage(f"rules of load balancer {balancer['name']}", used, most, "use several load balancers")
    if group is not None:
        used = len(group["properties"].get("securityRules") or ())
        hint = "let Services share ports and sources, or drop rules"
        yield _usage(f"rules of security group {config.security_group}", used, security.MOST_RULES, hint)


def _usage(name: str, used: int, limit: int, hint: str) -> Finding:
    text = f"{used} of {limit} used"
    if used >= limit:
        return Finding(Level.FAILED, name, text, hint)
    return Finding(Level.WARNING, name, text, hint) if used >= NEARLY_FULL * limit else Finding(Level.OK, name, text)


# -- nodes -------------------------------------------------------------------------------------------------------------


def _nodes(config: CloudConfig, nodes: NodeSet) -> Iterator[Finding]:
    """Whether the nodes name machines of Azure; silent where no Node has been read."""
    every = list(nodes)
    if not every:
        return
    lost = [
        node.metadata.name
        for node in every
        if (not is_usable(node) if config.uses_node_ips else machine_of(node) is None)
    ]
    if not lost:
        yield Finding(Level.OK, "nodes", f"all {len(every)} can be members of pools")
        return
    named = ", ".join(sorted(lost)[:NAMED_NODES])
    text = f"{len(lost)} of {len(every)} have neither a machine of Azure nor an address, among them {named}"
    if not config.uses_node_ips:
        text = f"{len(lost)} of {len(every)} have no provider id of an Azure machine, among them {named}"
    yield Finding(Level.FAILED, "nodes", text, "let Azure's cloud node manager set their provider ids")
