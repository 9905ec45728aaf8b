"""Findings for `lbctl doctor`: server, identity, each permission, limits, networks, nodes. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lbctl.driver import Finding, Level, Look, look_at_all
from lbctl.errors import PermissionDenied
from lbctl_cloudstack.client import Api, Row
from lbctl_cloudstack.facts import FactReader
from lbctl_cloudstack.names import read_mark, read_rule_name
from lbctl_cloudstack.networks import Network, network_problems
from lbctl_cloudstack.permissions import PERMISSIONS, Permission, When
from lbctl_cloudstack.settings import CloudStackSettings

NEARLY_FULL = 0.9


@dataclass(frozen=True, slots=True)
class Checks:
    """Everything that is looked at; `unknown_keys` is what cloud-config says in vain."""

    api: Api
    facts: FactReader
    settings: CloudStackSettings
    unknown_keys: tuple[str, ...] = ()

    def run(self) -> Iterator[Finding]:
        """All findings; what cannot be looked at is a failed one. Nine calls, and the pages of networks and nodes."""
        looks: tuple[tuple[str, Look], ...] = (
            ("cloud-config", self._file),
            ("server", self._server),
            ("identity", self._identity),
            ("permissions", self._permissions),
            ("networks", self._networks),
            ("machines", self._machines),
            ("rules", self._rules),
            ("addresses", self._addresses),
        )
        return look_at_all(looks)

    def _file(self) -> Iterator[Finding]:
        for sentence in self.unknown_keys:
            yield Finding(Level.FAILED, "cloud-config", sentence, "correct the key, or remove it")
        if self.settings.cloud_config and not self.unknown_keys:
            yield Finding(Level.OK, "cloud-config", "every key is known")

    def _server(self) -> Iterator[Finding]:
        capability = self.api.read("listCapabilities").get("capability", {})
        limit = capability.get("apilimitmax")
        pace = f", {limit} calls in {capability.get('apilimitinterval')} s" if limit else ", no limit on calls"
        yield Finding(Level.OK, "server", f"CloudStack {capability.get('cloudstackversion', 'unknown')}{pace}")

    def _identity(self) -> Iterator[Finding]:
        """Who we are, and how much of what is limited is left; a project has limits of its own."""
        try:
            holders = self.api.rows("listAccounts", "account")
        except PermissionDenied as error:
            yield Finding(Level.WARNING, "identity", error.message, "allow listAccounts to see account and limits")
            return
        for account in holders[:1]:
            role = f"role {account.get('rolename', 'unknown')} of type {account.get('roletype', 'unknown')}"
            message = f"account {account.get('name')} of domain {account.get('domain')}, {role}"
            yield Finding(Level.OK, "identity", message)
        if self.settings.project_id:
            holders = self.api.rows("listProjects", "project", id=self.api.project()["projectid"])
            if not holders:
                hint = "check project-id, and that the account is a member"
                yield Finding(Level.FAILED, "identity", f"there is no project {self.settings.project_id}", hint)
        for holder in holders[:1]:
            yield _quota(holder, "public addresses", "ip")

    def _permissions(self) -> Iterator[Finding]:
        """One call: the server lists what the role may do."""
        try:
            allowed = {str(api["name"]).lower() for api in self.api.read("listApis").get("api") or ()}
        except PermissionDenied as error:
            hint = "allow listApis, so that the role can be examined"
            yield Finding(Level.WARNING, "permissions", error.message, hint)
            return
        for permission in sorted(PERMISSIONS, key=lambda permission: permission.command):
            if permission.when is not When.PROJECT or self.settings.project_id:
                yield _permission(permission, is_allowed=permission.command.lower() in allowed, tags=self.settings.tags)

    def _networks(self) -> Iterator[Finding]:
        networks = self.facts.networks()
        if not networks:
            hint = "check project-id and the keys"
            yield Finding(Level.FAILED, "networks", "the account sees no guest network", hint)
        for network in sorted(networks.values(), key=lambda network: (network.name, network.id)):
            problems = network_problems(network, "")
            if problems:
                yield Finding(Level.WARNING, f"network {network.name}", problems[0].message, problems[0].hint)
            else:
                yield Finding(Level.OK, f"network {network.name}", _abilities(network))

    def _machines(self) -> Iterator[Finding]:
        count = len(self.facts.machines())
        level = Level.OK if count else Level.WARNING
        yield Finding(level, "machines", f"{count} virtual machines are visible", "" if count else "check project-id")
        for notice in self.facts.unmatched():
            hint = "set the node's provider id, or give the machine the node's name"
            yield Finding(Level.WARNING, "machines", notice.message, hint)

    def _rules(self) -> Iterator[Finding]:
        """Rules that nobody but their Service can claim: gc never removes them, as another cluster may own them."""
        rows = self.api.rows("listLoadBalancerRules", "loadbalancerrule", **self.api.scoped())
        names = ((read_rule_name(str(row["name"])), str(row.get("description") or "")) for row in rows)
        balancers = sorted({name.balancer for name, mark in names if name is not None and read_mark(mark) is None})
        if balancers:
            count = "1 balancer has" if len(balancers) == 1 else f"{len(balancers)} balancers have"
            message = f"{count} upstream's name and no cluster's mark: {', '.join(balancers)}"
            hint = "each should be `a` and the uid of a Service of some cluster; the others were left behind"
            yield Finding(Level.OK, "unmarked rules", message, hint)

    def _addresses(self) -> Iterator[Finding]:
        """Addresses that are paid for, bear no mark and serve nothing: somebody may have forgotten them."""
        scoped = self.api.scoped()
        rows = self.api.rows("listPublicIpAddresses", "publicipaddress", **scoped)
        rules = self.api.rows("listLoadBalancerRules", "loadbalancerrule", **scoped)
        forwardings = self.api.rows("listPortForwardingRules", "portforwardingrule", **scoped)
        used = {str(row["publicipid"]) for row in rules} | {str(row["ipaddressid"]) for row in forwardings}
        idle = sorted(str(row["ipaddress"]) for row in rows if str(row["id"]) not in used and _is_idle(row))
        if idle:
            count = "1 address has" if len(idle) == 1 else f"{len(idle)} addresses have"
            message = f"{count} no rule, no mark and no use of the network's own: {', '.join(idle)}"
            yield Finding(Level.OK, "idle addresses", message, "release those that nobody wants to keep")


def _is_idle(address: Row) -> bool:
    """True for an allocated address without tags, of which the server itself tells no use."""
    uses = ("issourcenat", "isstaticnat", "issystem", "hasrules", "tags", "purpose")
    return address.get("state") == "Allocated" and not any(address.get(use) for use in uses)


def _permission(permission: Permission, *, is_allowed: bool, tags: bool) -> Finding:
    subject = f"permission {permission.command}"
    if is_allowed:
        return Finding(Level.OK, subject, permission.purpose)
    if permission.is_needed:
        hint = "allow it in the account's role: nothing is served without it"
        return Finding(Level.FAILED, subject, f"missing, for {permission.purpose}", hint)
    is_wanted = permission.when is not When.TAGS or tags
    level = Level.WARNING if is_wanted else Level.OK
    hint = "allow it in the account's role if that is wanted" if is_wanted else ""
    return Finding(level, subject, f"missing, for {permission.purpose}", hint)


def _quota(holder: Row, what: str, prefix: str) -> Finding:
    """Used of limit; the server writes limits as text, `Unlimited` among them."""
    used, limit = int(holder.get(f"{prefix}total") or 0), str(holder.get(f"{prefix}limit", "Unlimited"))
    message = f"{used} of {limit} {what} are in use"
    if not limit.isdigit() or used < NEARLY_FULL * int(limit):
        return Finding(Level.OK, "limits", message)
    level = Level.WARNING if used < int(limit) else Level.FAILED
    return Finding(level, "limits", message, "release some, or raise the account's or project's limit")


def _abilities(network: Network) -> str:
    """What the offering's services mean for a Service."""
    services = ", ".join(sorted(network.services))
    sources = "firewall rules" if network.has_firewall else "ACL entries" if network.has_own_acl else "the rules alone"
    checks = "health check policies" if network.has_health_checks else "connection checks only"
    offering = network.offering or "unknown"
    return f"{network.provider} balances, sources by {sources}, {checks}; offering {offering} with {services}"
