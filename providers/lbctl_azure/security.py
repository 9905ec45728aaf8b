"""The network security group: who may come in, as a pure function over all Services and the rules that are there.

A rule is shared by all Services that let in the same sources to the same ports, so it is modelled as a shell (what it
lets in, at which priority) and one opening for each destination, owned by the Services behind that address. Foreign
rules and destinations that cannot be proven ours are never touched; `lbctl_azure.groups` writes the document.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbctl.driver import World
from lbctl.model.node import internal_ip
from lbctl.model.problem import Problem
from lbctl.model.ranges import family_of
from lbctl.model.resource import Desired, Identity, Key, Observed, Resource, Scope
from lbctl_azure import names
from lbctl_azure.account import SECURITY_RULE, Account
from lbctl_azure.addresses import addresses_of
from lbctl_azure.nodes import takes_traffic
from lbctl_azure.placement import scope_of
from lbctl_azure.wish import Wish, wishes

OPENING = "opening"
INTERNET = "Internet"
ANY = "*"
FIRST_ALLOW = 500
LAST_DENY = 4095
MOST_RULES = 1000
MOST_ENTRIES = 4000
PROTOCOLS = {"TCP": "Tcp", "UDP": "Udp", "SCTP": "*"}


@dataclass(frozen=True, slots=True)
class Entrance:
    """One rule that a Service wants, and the addresses that it wants it for."""

    name: str
    access: str
    protocol: str
    sources: frozenset[str]
    ports: frozenset[str]
    destinations: frozenset[str]
    owner: Identity


def rule_key(name: str) -> Key:
    """Key of a rule's shell."""
    return Key(SECURITY_RULE, name.lower())


def opening_key(rule: str, address: str) -> Key:
    """Key of one destination of a rule."""
    return Key(OPENING, f"{rule.lower()}/{address.lower()}")


def model_security(scope: Scope, world: World, account: Account) -> Desired:
    """Every rule that the Services need, with priorities that are there kept and new ones given out."""
    observed = world.observed.get(scope, Observed(scope))
    entrances = [entrance for wish in wishes(world) for entrance in entrances_of(wish, world, account)]
    entrances, rejected = _within_limits(entrances, observed)
    priorities = _priorities(entrances, observed)
    kept = _kept_openings(entrances, observed)
    resources = [*_shells(entrances, priorities), *_openings(entrances), *kept]
    return Desired.of(scope, [*resources, *_shells_of_kept(kept, resources, observed)], rejected=rejected)


# -- what one Service wants ------------------------------------------------------------------------------------------


def entrances_of(wish: Wish, world: World, account: Account) -> Iterator[Entrance]:
    """The rules that one Service needs; none while its addresses are unknown."""
    if not wish.access.open:
        return
    for front in wish.fronts:
        destinations = _destinations(wish, front.family, world, account)
        if not destinations:
            continue
        for sources in _sources(wish, front.family):
            yield from _allow(wish, front.family, sources, destinations)
        if wish.access.sealed:
            yield _deny(wish, front.family, destinations)


def _sources(wish: Wish, family: str) -> Iterator[frozenset[str]]:
    """One set of sources a rule: all ranges together, and each service tag alone."""
    access = wish.access
    if not (access.ranges or access.tags or access.broken or wish.internal):
        yield frozenset({INTERNET})
    ranges = frozenset(cidr for cidr in access.ranges if family_of(cidr) == family)
    if ranges:
        yield ranges
    for tag in access.tags:
        yield frozenset({tag})


def _destinations(wish: Wish, family: str, world: World, account: Account) -> frozenset[str]:
    more = frozenset(ip for ip in wish.more_addresses if (":" in ip) == (family == "IPv6"))
    balancer = addresses_of(wish, world, account).get(family, frozenset())
    if wish.floats(family):
        return balancer | more
    scope = scope_of(wish, world, account)
    nodes = (internal_ip(node, family) for node in world.nodes if takes_traffic(node, account, scope, world))
    return frozenset(ip for ip in nodes if ip) if balancer else frozenset()


def _allow(wish: Wish, family: str, sources: frozenset[str], destinations: frozenset[str]) -> Iterator[Entrance]:
    by_protocol: dict[str, set[int]] = defaultdict(set)
    for forward in wish.forwards:
        ports = [forward.port] if not forward.everything else list(wish.ports)
        for port in ports:
            number = port.port if wish.floats(family) else port.node_port
            by_protocol[PROTOCOLS[port.protocol]].add(number)
    for protocol, numbers in by_protocol.items():
        name = names.allow_rule_name(family, protocol, sources, numbers)
        ports_text = frozenset(str(number) for number in numbers)
        yield Entrance(name, "Allow", protocol, sources, ports_text, destinations, wish.identity)


def _deny(wish: Wish, family: str, destinations: frozenset[str]) -> Entrance:
    name = names.deny_rule_name(family)
    return Entrance(name, "Deny", ANY, frozenset({ANY}), frozenset({ANY}), destinations, wish.identity)


# -- all Services together ------------------------------------------------------------------------------------------


def _within_limits(
    entrances: list[Entrance], observed: Observed
) -> tuple[list[Entrance], Mapping[Identity, tuple[Problem, ...]]]:
    """Without the Services that would take the group over its limits; those that are in already come first."""
    old = observed.owners()
    served = sorted(entrances, key=lambda entrance: entrance.owner not in old)
    foreign = _foreign_rules(observed)
    rejected: dict[Identity, tuple[Problem, ...]] = {}
    filling = _Filling(foreign)
    for entrance in served:
        problem = filling.problem_with(entrance)
        if problem is not None:
            rejected[entrance.owner] = (problem,)
        if entrance.owner not in rejected:
            filling.take(entrance)
    return [entrance for entrance in entrances if entrance.owner not in rejected], rejected


class _Filling:
    """How full the security group is while Services are let in one after another."""

    def __init__(self, foreign_rules: int) -> None:
        self._rules: dict[str, frozenset[str]] = {}
        self._openings: set[Key] = set()
        self._foreign_rules = foreign_rules
        self._sources = 0

    def take(self, entrance: Entrance) -> None:
        """Count one more entrance."""
        if entrance.name not in self._rules:
            self._rules[entrance.name] = entrance.sources
            self._sources += len(entrance.sources)
        self._openings |= _keys_of(entrance)

    def problem_with(self, entrance: Entrance) -> Problem | None:
        """What would not fit any more."""
        is_new = entrance.name not in self._rules
        if is_new and len(self._rules) + self._foreign_rules >= MOST_RULES:
            return Problem(
                "the security group", f"is full: {MOST_RULES} rules", "share ports and sources, or drop rules"
            )
        if is_new and self._sources + len(entrance.sources) > MOST_ENTRIES:
            text = f"is full: {MOST_ENTRIES} sources, and {len(entrance.sources)} more are wanted"
            return Problem("the security group", text, "name fewer ranges")
        if len(self._openings) + len(_keys_of(entrance) - self._openings) > MOST_ENTRIES:
            return Problem("the security group", f"is full: {MOST_ENTRIES} destinations")
        return None


def _keys_of(entrance: Entrance) -> set[Key]:
    return {opening_key(entrance.name, address) for address in entrance.destinations}


def _foreign_rules(observed: Observed) -> int:
    return sum(1 for seen in observed.of_kind(SECURITY_RULE) if not seen.ours)


def _priorities(entrances: Iterable[Entrance], observed: Observed) -> dict[str, int]:
    """A rule keeps the number it has; new ones get the first free: allowing from 500 up, denying from 4095 down."""
    taken = {
        int(str(seen.resource.fields["priority"]))
        for seen in observed.of_kind(SECURITY_RULE)
        if seen.resource.fields.get("direction") == "Inbound" or not seen.ours
    }
    result: dict[str, int] = {}
    for entrance in sorted(entrances, key=lambda entrance: entrance.name):
        if entrance.name in result:
            continue
        seen = observed.get(rule_key(entrance.name))
        result[entrance.name] = (
            int(str(seen.resource.fields["priority"])) if seen is not None else _free(taken, entrance.access)
        )
        taken.add(result[entrance.name])
    return result


def _free(taken: set[int], access: str) -> int:
    numbers = range(FIRST_ALLOW, LAST_DENY + 1) if access == "Allow" else range(LAST_DENY, FIRST_ALLOW - 1, -1)
    return next(number for number in numbers if number not in taken)


def _shells(entrances: Iterable[Entrance], priorities: Mapping[str, int]) -> Iterator[Resource]:
    """Shells belong to nobody: whoever has an opening in a rule owns that alone."""
    for entrance in entrances:
        fields: dict[str, Hashable] = {
            "access": entrance.access,
            "direction": "Inbound",
            "protocol": entrance.protocol,
            "sources": entrance.sources,
            "ports": entrance.ports,
            "priority": priorities[entrance.name],
        }
        yield Resource(rule_key(entrance.name), entrance.name, fields)


def _openings(entrances: Iterable[Entrance]) -> Iterator[Resource]:
    for entrance in entrances:
        for address in entrance.destinations:
            yield _opening(entrance.name, address, frozenset({entrance.owner}))


def _opening(rule: str, address: str, owners: frozenset[Identity]) -> Resource:
    return Resource(opening_key(rule, address), f"{rule} to {address}", {}, owners, frozenset({rule_key(rule)}))


def _kept_openings(entrances: Iterable[Entrance], observed: Observed) -> list[Resource]:
    """Destinations that are not provably ours stay as they are, also in a rule that we share."""
    wanted = {opening_key(e.name, address) for e in entrances for address in e.destinations}
    return [seen.resource for seen in observed.of_kind(OPENING) if not seen.ours and seen.key not in wanted]


def _shells_of_kept(kept: Iterable[Resource], resources: Iterable[Resource], observed: Observed) -> Iterator[Resource]:
    present = {resource.key for resource in resources}
    for key in {need for resource in kept for need in resource.needs} - present:
        seen = observed.get(key)
        if seen is not None:
            yield seen.resource
