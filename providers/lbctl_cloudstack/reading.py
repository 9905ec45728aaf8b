"""Reads the whole account once: the lists behind `observe.py`.

Three lists a pass where firewall rules are the filter (rules, addresses, firewall rules), one more for ACL entries.
Members have no list across rules: they are read at the start, after doubts and every half hour, by rule or by machine,
whichever takes fewer calls; in between the members that our own writes confirmed are taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from lbctl.clock import Clock
from lbctl.driver import World
from lbctl.model.resource import Observed, Scope
from lbctl_cloudstack.client import Api, Row
from lbctl_cloudstack.facts import FactReader
from lbctl_cloudstack.names import part_key, read_rule_name
from lbctl_cloudstack.networks import UNASSIGNABLE
from lbctl_cloudstack.observe import Reading

MEMBERS_SECONDS = 1800.0
POLICY_LISTS = {
    "stickiness": ("listLBStickinessPolicies", "stickinesspolicies", "stickinesspolicy"),
    "health": ("listLBHealthCheckPolicies", "healthcheckpolicies", "healthcheckpolicy"),
}
OPTIONS = {"stickiness": "stickiness", "health": "health_path"}


class Reader:
    """Reads one account; one snapshot at a time."""

    def __init__(self, api: Api, facts: FactReader, clock: Clock) -> None:
        self._api = api
        self._facts = facts
        self._clock = clock
        self._members_read_at: float | None = None

    def read_all(self, world: World) -> Reading:
        """Everything; costs 3 lists, and the members when they are due."""
        started = self._clock.monotonic()
        rules = self._rules()
        due = self._members_read_at is None or started - self._members_read_at >= MEMBERS_SECONDS
        members = self._all_members(rules) if due else known_members(world.observed.values())
        if due:
            self._members_read_at = started
        return self._reading(rules, members, world, started)

    def read_scope(self, scope: Scope, world: World) -> Reading:
        """The same lists, with the members of the rules of one scope read afresh."""
        started = self._clock.monotonic()
        rules = self._rules()
        names = {str(s.resource.name) for s in _resources(world.observed.get(scope))}
        uids = tuple(identity.uid.replace("-", "") for identity in world.services)
        concerned = [
            row
            for row in rules
            if row["name"] in names or any(str(row["name"])[1:].startswith(uid[:31]) for uid in uids)
        ]
        members = dict(known_members(world.observed.values()))
        members.update((str(row["id"]), self._members_of(str(row["id"]))) for row in concerned)
        return self._reading(rules, members, world, started)

    def _reading(
        self, rules: list[Row], members: Mapping[str, frozenset[str]], world: World, started: float
    ) -> Reading:
        scoped = self._api.scoped()
        networks = self._facts.networks().values()
        firewalls: list[Row] = []
        items: list[Row] = []
        if any(network.has_firewall for network in networks):
            firewalls = self._api.rows("listFirewallRules", "firewallrule", **scoped)
        if any(network.has_own_acl for network in networks):
            items = self._api.rows("listNetworkACLs", "networkacl", **scoped)
        return Reading(
            addresses=tuple(self._api.rows("listPublicIpAddresses", "publicipaddress", **scoped)),
            rules=tuple(rules),
            firewalls=tuple(firewalls),
            acl_items=tuple(items),
            members=members,
            stickiness=self._policies("stickiness", rules, world),
            health=self._policies("health", rules, world),
            read_at=started,
        )

    def _rules(self) -> list[Row]:
        return self._api.rows("listLoadBalancerRules", "loadbalancerrule", **self._api.scoped())

    def _all_members(self, rules: list[Row]) -> dict[str, frozenset[str]]:
        candidates = [row for row in rules if read_rule_name(str(row["name"])) is not None]
        machines = [m for m in self._facts.machines() if m.state not in UNASSIGNABLE]
        if len(candidates) <= len(machines):
            return {str(row["id"]): self._members_of(str(row["id"])) for row in candidates}
        found: dict[str, set[str]] = defaultdict(set)
        for machine in machines:
            mapped = self._api.rows(
                "listLoadBalancerRules", "loadbalancerrule", virtualmachineid=machine.id, **self._api.scoped()
            )
            for row in mapped:
                found[str(row["id"])].add(machine.id)
        return {rule_id: frozenset(ids) for rule_id, ids in found.items()}

    def _members_of(self, rule_id: str) -> frozenset[str]:
        rows = self._api.rows("listLoadBalancerRuleInstances", "loadbalancerruleinstance", id=rule_id)
        return frozenset(str(row["id"]) for row in rows)

    def _policies(self, kind: str, rules: list[Row], world: World) -> dict[str, Row]:
        """Policies of rules whose Service asks for one, or of which one is known; there is no list across rules."""
        asking = {i.uid.replace("-", "")[:31] for i, intent in world.intents.items() if _asks(intent.options, kind)}
        known = {seen.resource.name for observed in world.observed.values() for seen in observed.of_kind(kind)}
        found: dict[str, Row] = {}
        for row in rules:
            name = read_rule_name(str(row["name"]))
            if name is not None and (name.balancer[1:] in asking or row["name"] in known):
                found.update({str(row["id"]): policy for policy in self._policies_of(kind, str(row["id"]))[:1]})
        return found

    def _policies_of(self, kind: str, rule_id: str) -> list[Row]:
        command, holders, rows = POLICY_LISTS[kind]
        answer = self._api.read(command, lbruleid=rule_id)
        every = [row for holder in answer.get(holders) or [] for row in holder.get(rows) or ()]
        return [row for row in every if row.get("state") != "Revoke"]


def known_members(observed: Iterable[Observed]) -> dict[str, frozenset[str]]:
    """The members of each rule as our writes and the last reads left them, by the rule's id."""
    found: dict[str, frozenset[str]] = {}
    for scope in observed:
        for seen in scope.of_kind("rule"):
            members = scope.get(part_key("members", seen.key))
            machines: Any = members.resource.fields["machines"] if members is not None else frozenset()
            found[seen.outputs["id"]] = machines
    return found


def _resources(observed: Observed | None) -> Iterable[Any]:
    return observed.of_kind("rule") if observed is not None else ()


def _asks(options: Mapping[str, object] | None, kind: str) -> bool:
    return bool(options and options.get(OPTIONS[kind]))
