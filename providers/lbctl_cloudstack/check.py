"""Findings for `lbctl doctor`: does the API answer, which commands the role has, which networks can balance. Reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lbctl.driver import Finding, Level
from lbctl.errors import CloudError, PermissionDenied
from lbctl_cloudstack.client import Api
from lbctl_cloudstack.facts import FactReader
from lbctl_cloudstack.networks import network_problems
from lbctl_cloudstack.settings import CloudStackSettings

# Every command that the driver may send: what the least-privilege role has to allow.
NEEDED = (
    "assignToLoadBalancerRule",
    "associateIpAddress",
    "createFirewallRule",
    "createLoadBalancerRule",
    "deleteFirewallRule",
    "deleteLoadBalancerRule",
    "disassociateIpAddress",
    "listFirewallRules",
    "listLoadBalancerRuleInstances",
    "listLoadBalancerRules",
    "listNetworks",
    "listPortForwardingRules",
    "listPublicIpAddresses",
    "listVirtualMachines",
    "queryAsyncJobResult",
    "removeFromLoadBalancerRule",
    "updateLoadBalancerRule",
)
OPTIONAL = {
    "createLBHealthCheckPolicy": "health check paths",
    "createLBStickinessPolicy": "stickiness",
    "createNetworkACL": "VPC tiers",
    "createTags": "marks on addresses; without it set tags = false",
    "deleteLBHealthCheckPolicy": "health check paths",
    "deleteLBStickinessPolicy": "stickiness",
    "deleteNetworkACL": "VPC tiers",
    "deleteTags": "handing an address over",
    "listApis": "finding out what the server can do",
    "listAsyncJobs": "one poll for all jobs",
    "listCapabilities": "the server's release and API limit",
    "listLBHealthCheckPolicies": "health check paths",
    "listLBStickinessPolicies": "stickiness",
    "listNetworkACLs": "VPC tiers",
}


@dataclass(frozen=True, slots=True)
class Checks:
    """Everything that is looked at."""

    api: Api
    facts: FactReader
    settings: CloudStackSettings

    def run(self) -> Iterator[Finding]:
        """All findings; one that cannot be looked at is a failed one."""
        checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
            ("server", self._server),
            ("permissions", self._permissions),
            ("networks", self._networks),
            ("machines", self._machines),
        )
        for subject, check in checks:
            try:
                yield from check()
            except CloudError as error:
                yield Finding(Level.FAILED, subject, error.message, error.hint)

    def _server(self) -> Iterator[Finding]:
        capability = self.api.read("listCapabilities").get("capability", {})
        limit = capability.get("apilimitmax")
        pace = f", {limit} calls in {capability.get('apilimitinterval')} s" if limit else ", no limit on calls"
        yield Finding(Level.OK, "server", f"CloudStack {capability.get('cloudstackversion', 'unknown')}{pace}")

    def _permissions(self) -> Iterator[Finding]:
        """One call a command; a role that lacks listApis cannot be examined."""
        missing = [name for name in NEEDED if not self._has(name)]
        lacking = [f"{name} ({why})" for name, why in sorted(OPTIONAL.items()) if not self._has(name)]
        if missing:
            hint = "allow them in the account's role"
            yield Finding(Level.FAILED, "permissions", f"the role lacks {', '.join(missing)}", hint)
        if lacking:
            yield Finding(Level.WARNING, "permissions", f"without {', '.join(lacking)}", "allow them in the role")
        if not missing and not lacking:
            yield Finding(Level.OK, "permissions", f"all {len(NEEDED) + len(OPTIONAL)} commands are allowed")

    def _has(self, command: str) -> bool:
        try:
            return bool(self.api.read("listApis", name=command).get("api"))
        except PermissionDenied:
            return False

    def _networks(self) -> Iterator[Finding]:
        networks = self.facts.networks()
        if not networks:
            yield Finding(
                Level.FAILED, "networks", "the account sees no guest network", "check project-id and the keys"
            )
        for network in networks.values():
            problems = network_problems(network, "")
            if problems:
                yield Finding(Level.WARNING, "networks", problems[0].message, problems[0].hint)
            else:
                yield Finding(Level.OK, "networks", f"{network.name} balances by {network.provider}")

    def _machines(self) -> Iterator[Finding]:
        count = len(self.facts.machines())
        level = Level.OK if count else Level.WARNING
        yield Finding(level, "machines", f"{count} virtual machines are visible", "" if count else "check project-id")
