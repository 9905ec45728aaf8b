"""The document of a network security group, read into shells and openings and written back. Pure.

`observe` reads with it, `apply` writes: rules that a step names are rebuilt from what is wanted, all others keep every
byte and their place.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lbctl.driver import World
from lbctl.model.node import internal_ip
from lbctl.model.resource import Identity, Key, Observed, Resource, Seen, State
from lbctl.plan.actions import Step, Verb
from lbctl_azure.account import BALANCER_SCOPE, PUBLIC_IP, SECURITY_RULE, Account
from lbctl_azure.addresses import address_of
from lbctl_azure.elements import FRONTEND
from lbctl_azure.names import MANAGED_RULE_PREFIX
from lbctl_azure.owners import NOBODY
from lbctl_azure.reading import Document, settled, state_of
from lbctl_azure.security import FIRST_ALLOW, OPENING, entrances_of, opening_key, rule_key
from lbctl_azure.wish import wishes

GROUP = "security-group"
LAST_MANAGED = 4096
LISTS = {
    "sources": ("sourceAddressPrefix", "sourceAddressPrefixes"),
    "destinations": ("destinationAddressPrefix", "destinationAddressPrefixes"),
}
READ_ONLY = ("etag", "provisioningState", "resourceGuid", "defaultSecurityRules", "networkInterfaces", "subnets")


class Evidence:
    """Says whose a destination is: addresses of our frontends, Services and nodes, and of the cluster's own subnet.

    Without proof a destination is somebody else's, for instance another cluster's that uses the same group.
    """

    def __init__(self, world: World, account: Account, ranges: Callable[[], Iterable[str]] = tuple) -> None:
        self._ranges = ranges
        self._exclusive = account.settings.nsg_exclusive
        self._nodes = {internal_ip(node, family) for node in world.nodes for family in ("IPv4", "IPv6")}
        self._owners: dict[str, set[Identity]] = {}
        self._wanted: dict[Key, set[Identity]] = {}
        self._rules: set[str] = set()
        for observed in world.observed.values():
            if observed.scope.kind == BALANCER_SCOPE:
                self._note_balancer(observed)
        for identity, service in world.services.items():
            for entry in service.status.load_balancer.ingress:
                self._note(entry.ip or "", frozenset({identity}))
        for wish in wishes(world):
            for entrance in entrances_of(wish, world, account):
                self._rules.add(entrance.name.lower())
                for address in entrance.destinations:
                    self._wanted.setdefault(opening_key(entrance.name, address), set()).add(wish.identity)

    def _note_balancer(self, observed: Observed) -> None:
        for frontend in observed.of_kind(FRONTEND):
            self._note(address_of(frontend, observed), frontend.resource.owners)
        for public_ip in observed.of_kind(PUBLIC_IP):
            if public_ip.ours:
                self._note(public_ip.outputs.get("address", ""), public_ip.resource.owners)

    def _note(self, address: str, owners: frozenset[Identity]) -> None:
        if address and owners:
            self._owners.setdefault(address, set()).update(owners)

    def owners(self, rule: str, address: str) -> frozenset[Identity]:
        """The Services that want this opening, else all that are behind the address."""
        return frozenset(self._wanted.get(opening_key(rule, address)) or self._owners.get(address) or ())

    def wants(self, rule: str) -> bool:
        """True when some Service wants this rule, whatever its destinations are now."""
        return rule.lower() in self._rules

    def is_ours(self, address: str) -> bool:
        """True when the address is proven to be this cluster's."""
        return self._exclusive or address in self._owners or address in self._nodes or self._is_inside(address)

    def _is_inside(self, address: str) -> bool:
        try:
            value = ipaddress.ip_address(address)
        except ValueError:
            return False
        # Public addresses are in no subnet, so the usual case needs no read of it.
        return value.is_private and any(value in ipaddress.ip_network(cidr) for cidr in self._ranges())


def read_group(document: Document, evidence: Evidence) -> list[Seen]:
    """The group, a shell for every rule, and openings for the rules that we manage."""
    rules = (document.get("properties") or {}).get("securityRules") or []
    header = Resource(Key(GROUP, ""), document["name"], {"provisioning": settled(document)})
    outputs = {"id": document["id"], "etag": document.get("etag", "")}
    return [
        Seen(header, outputs, state_of(document), ours=False),
        *(seen for rule in rules for seen in _read_rule(rule, evidence)),
    ]


def _read_rule(rule: Document, evidence: Evidence) -> Iterable[Seen]:
    name, managed = rule["name"], is_managed(rule)
    openings = [_read_opening(name, address, evidence) for address in _entries(rule, "destinations")] if managed else []
    # A rule with nothing but strangers' destinations is theirs, whatever it is called.
    ours = managed and (not openings or evidence.wants(name) or any(opening.ours for opening in openings))
    yield Seen(Resource(rule_key(name), name, _rule_fields(rule)), {"id": rule.get("id", "")}, State.ACTIVE, ours=ours)
    yield from openings


def _read_opening(rule: str, address: str, evidence: Evidence) -> Seen:
    ours = evidence.is_ours(address)
    owners = evidence.owners(rule, address) if ours else NOBODY
    resource = Resource(opening_key(rule, address), f"{rule} to {address}", {}, owners, frozenset({rule_key(rule)}))
    return Seen(resource, {"address": address}, ours=ours)


def is_managed(rule: Document) -> bool:
    """True for rules that this driver may change: by name and priority, and without application security groups."""
    properties = rule.get("properties") or {}
    by_groups = properties.get("destinationApplicationSecurityGroups") or properties.get(
        "sourceApplicationSecurityGroups"
    )
    in_range = FIRST_ALLOW <= properties.get("priority", 0) <= LAST_MANAGED
    return rule["name"].lower().startswith(MANAGED_RULE_PREFIX) and in_range and not by_groups


def _rule_fields(rule: Document) -> dict[str, Any]:
    properties = rule.get("properties") or {}
    ports = properties.get("destinationPortRanges") or [properties.get("destinationPortRange")]
    return {
        "access": properties.get("access"),
        "direction": properties.get("direction"),
        "protocol": properties.get("protocol"),
        "sources": frozenset(_entries(rule, "sources")),
        "ports": frozenset(port for port in ports if port),
        "priority": properties.get("priority", 0),
    }


def _entries(rule: Document, which: str) -> list[str]:
    properties = rule.get("properties") or {}
    single, several = LISTS[which]
    return list(properties.get(several) or ([properties[single]] if properties.get(single) else []))


def next_group(document: Document, steps: Iterable[Step]) -> dict[str, Any]:
    """The document to write: the server's own with the steps worked in."""
    shells, openings = _by_rule(steps)
    properties = dict(document.get("properties") or {})
    rules = [
        _next_rule(rule, shells.get(rule["name"].lower()), openings.get(rule["name"].lower(), []))
        for rule in properties.get("securityRules") or []
    ]
    present = {rule["name"].lower() for rule in properties.get("securityRules") or []}
    born = [
        _next_rule({"name": step.name}, step, openings.get(name, []))
        for name, step in sorted(shells.items())
        if name not in present and step.verb is not Verb.DELETE
    ]
    properties["securityRules"] = [rule for rule in (*rules, *born) if rule is not None]
    return {
        **{name: value for name, value in document.items() if name not in READ_ONLY},
        "properties": {name: value for name, value in properties.items() if name not in READ_ONLY},
    }


def _by_rule(steps: Iterable[Step]) -> tuple[dict[str, Step], dict[str, list[Step]]]:
    shells: dict[str, Step] = {}
    openings: dict[str, list[Step]] = {}
    for step in steps:
        rule, _, _ = step.key.id.partition("/")
        if step.key.kind == SECURITY_RULE:
            shells[step.key.id] = step
        elif step.key.kind == OPENING:
            openings.setdefault(rule, []).append(step)
    return shells, openings


def _next_rule(rule: Document, shell: Step | None, openings: list[Step]) -> dict[str, Any] | None:
    if shell is None and not openings:
        return dict(rule)
    if shell is not None and shell.verb is Verb.DELETE:
        return None
    addresses = {address.lower(): address for address in _entries(rule, "destinations")}
    for step in openings:
        address = step.name.rpartition(" to ")[2]
        if step.verb is Verb.DELETE:
            addresses.pop(address.lower(), None)
        else:
            addresses[address.lower()] = address
    if not addresses:
        # A rule without a destination is one that ARM refuses, also where its shell belongs to nobody in the plan.
        return None
    properties = dict(rule.get("properties") or {})
    if shell is not None and shell.desired is not None:
        properties.update(_shell_properties(shell.desired.fields))
    properties.update(_list_property("destinations", sorted(addresses.values())))
    return {**rule, "properties": {name: value for name, value in properties.items() if value is not None}}


def _shell_properties(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "access": fields["access"],
        "direction": fields["direction"],
        "protocol": fields["protocol"],
        "priority": fields["priority"],
        "sourcePortRange": "*",
        **({"destinationPortRange": "*"} if fields["ports"] == frozenset({"*"}) else _port_list(fields["ports"])),
        **_list_property("sources", sorted(fields["sources"])),
    }


def _port_list(ports: Iterable[str]) -> dict[str, Any]:
    return {"destinationPortRange": None, "destinationPortRanges": sorted(ports)}


def _list_property(which: str, values: list[str]) -> dict[str, Any]:
    """One value in the singular form, several in the plural one; the other form goes."""
    single, several = LISTS[which]
    return {single: values[0] if len(values) == 1 else None, several: values if len(values) > 1 else None}
