"""Intents, machines and networks -> what one public address should hold. Pure.

A Service has one `rule` a port, with its `members`, its filter (`firewall` or `acl`) and its `stickiness`; the
`address` carries the rules of all Services of the scope.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lbctl.driver import World
from lbctl.model.intent import Intent, Port
from lbctl.model.problem import Problem
from lbctl.model.resource import Desired, Identity, Key, Observed, Ref, Resource, Scope, Seen, nothing
from lbctl.model.status import Notice, Severity
from lbctl_cloudstack.names import (
    ADDRESS,
    ID_ANNOTATION,
    balancer_name,
    is_own,
    is_udp_half,
    part_key,
    rule_key,
    rule_name,
)
from lbctl_cloudstack.networks import (
    Machine,
    Network,
    choose_network,
    network_problems,
    protocol_problems,
)
from lbctl_cloudstack.parse import ALL
from lbctl_cloudstack.targets import moving_away, nodes_with_endpoints, ports_in, rules_of, staying

DNS_PORT = 53
NOBODY = Problem("spec.loadBalancerSourceRanges", "shares no address with the source-cidrs annotation: nobody may come")

NO_TIMEOUT = Problem(
    "metadata.annotations[lbctl.io/cloudstack-timeout]",
    "the server's rules have no idle timeout of their own, only that of all routers (50 s unless it was changed)",
    "leave the annotation out",
)


def no_checks(network: Network) -> Problem:
    """Why a health check path cannot be had there."""
    message = f"the {network.provider} of network {network.name} has no health check policies: it only connects"
    return Problem("metadata.annotations[lbctl.io/cloudstack-health-check-path]", message, "leave the annotation out")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A public address as it was just read, before it belongs to a scope; `is_asked_for` when a Service names it."""

    ip: str
    id: str = ""
    state: str = "Free"
    network: str = ""
    vpc: str = ""
    is_source_nat: bool = False
    is_reserved: bool = False
    is_taken_by_us: bool = False
    is_asked_for: bool = False

    @property
    def is_free(self) -> bool:
        """True when it has to be associated first."""
        return self.state in {"Free", "Reserved"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What modelling needs of the cloud: networks by id, the nodes' machines, and what becomes of the address.

    `candidates` are the addresses that may become the scope's; none when it has one, or when no free one is shown.
    `guests` is what a fresh look found on the address that is not this scope's; None when nobody looked, as releasing
    is out of the question. `gives_up` when somebody was faster on the address that we chose, and another is taken.
    `has_idle_timeout` tells whether the server's rules have one.
    """

    networks: Mapping[str, Network] = field(default_factory=nothing, hash=False)
    machines: tuple[Machine, ...] = ()
    notices: tuple[Notice, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    guests: tuple[str, ...] | None = None
    gives_up: bool = False
    has_idle_timeout: bool = False


def model_scope(scope: Scope, world: World, facts: Facts, *, tags: bool) -> Desired:
    """Everything that the scope should hold; Services that cannot be served there are rejected with the reason."""
    observed = world.observed.get(scope) or Observed(scope)
    if facts.gives_up:
        return Desired.of(scope, [_given_up(observed)])
    kept = dict(_kept(moving_away(scope, world), observed))
    rejected: dict[Identity, tuple[Problem, ...]] = {}
    notices: dict[Identity, tuple[Notice, ...]] = {}
    resources: list[Resource] = []
    taken = {seen.resource.fields["port"]: name_of(seen) for seen in _foreign(observed)}
    network = None
    for intent in staying(scope, world):
        ports, nodes = ports_in(scope, intent, world), nodes_with_endpoints(intent, world)
        view = View(scope, observed, facts, intent, ports, nodes, tags=tags)
        problems = (*view.problems(), *_port_problems(view.ports, taken, scope))
        if problems:
            rejected[intent.identity] = problems
            continue
        taken |= {port.port: f"Service {intent.identity}" for port in view.ports}
        network = network or view.network
        notices[intent.identity] = (*facts.notices, *view.skipped())
        resources += view.resources()
    resources += kept.values()
    address = _address(scope, observed, facts, network, is_needed=bool(resources or rejected), tags=tags)
    resources += [address] if address is not None else []
    return Desired.of(scope, resources, rejected=rejected, notices=notices)


def name_of(seen: Seen) -> str:
    """Whose rule is in the way, for people."""
    return f"rule {seen.resource.name}" + (f" of {seen.owner_hint}" if seen.owner_hint else "")


def _foreign(observed: Observed) -> Iterator[Seen]:
    """Other people's rules on the address."""
    return (seen for seen in observed.of_kind("rule") if not seen.ours and "@" not in seen.key.id)


def _kept(moving: frozenset[Identity], observed: Observed) -> Iterator[tuple[Key, Resource]]:
    for key, seen in observed.resources.items():
        if seen.ours and key != ADDRESS and seen.resource.owners & moving:
            yield key, seen.resource


def _port_problems(ports: tuple[Port, ...], taken: Mapping[Hashable, str], scope: Scope) -> list[Problem]:
    return [
        Problem(f"spec.ports[{port}]", f"{taken[port.port]} holds port {port.port} of {scope.name}", "use another port")
        for port in ports
        if port.port in taken
    ]


def _address(
    scope: Scope, observed: Observed, facts: Facts, network: Network | None, *, is_needed: bool, tags: bool
) -> Resource | None:
    seen = observed.get(ADDRESS)
    if seen is not None:
        return _known_address(seen, facts, is_needed=is_needed, is_shared=not is_own(scope), tags=tags)
    if not is_needed or network is None:
        return None
    candidate = facts.candidates[0] if facts.candidates else Candidate("")
    fields: dict[str, Hashable] = {
        "ip": candidate.ip,
        "network": "" if network.vpc_id else network.id,
        "vpc": network.vpc_id,
        "id": "" if candidate.is_free else candidate.id,
        "stays": candidate.is_asked_for and not (candidate.is_free or candidate.is_taken_by_us),
        "source_nat": "true" if candidate.is_source_nat else "",
    }
    return Resource(ADDRESS, candidate.ip, fields)


def _known_address(seen: Seen, facts: Facts, *, is_needed: bool, is_shared: bool, tags: bool) -> Resource | None:
    fields = dict(seen.resource.fields)
    if is_needed:
        fields |= {"tagged": True} if tags and seen.ours else {}
        return replace(seen.resource, fields=fields)
    if not seen.ours or facts.guests == ():
        return None
    if is_shared:
        return seen.resource
    return replace(seen.resource, fields=fields | {"let_go": True})


def _given_up(observed: Observed) -> Resource:
    """The address without our marks, once no rule of ours is on it: it has a guest, so that it cannot be released."""
    seen = observed[ADDRESS]
    if any(rule.ours for rule in observed.of_kind("rule")):
        return seen.resource
    return replace(seen.resource, fields={**seen.resource.fields, "given_up": True})


def blocked_ports(ports: Iterable[Port], observed: Observed) -> set[int]:
    """Ports on which somebody else's rule is in the way."""
    foreign = {int(str(seen.resource.fields["port"])) for seen in _foreign(observed)}
    return foreign & {port.port for port in ports}


@dataclass(frozen=True, slots=True)
class View:
    """One Service in one scope, with the ports that belong there, seen with its facts.

    `nodes` are the only ones that may be targets; None when all may.
    """

    scope: Scope
    observed: Observed
    facts: Facts
    intent: Intent
    ports: tuple[Port, ...]
    nodes: frozenset[str] | None = None
    tags: bool = True

    @property
    def options(self) -> Mapping[str, Any]:
        """The Service's annotations."""
        return self.intent.options or {}

    @property
    def network(self) -> Network | None:
        """The network that balances for the Service."""
        present = next((str(s.resource.fields["network"]) for s in rules_of(self.intent.identity, self.observed)), "")
        return choose_network(
            self.facts.networks, self.facts.machines, wanted=self.options["network_id"], present=present
        )

    def problems(self) -> tuple[Problem, ...]:
        """Everything that keeps the Service from being served here."""
        network = self.network
        problems = network_problems(network, self.options["network_id"])
        if network is None or problems:
            return tuple(problems)
        problems += protocol_problems(network, ((port.port, port.protocol) for port in self.intent.ports))
        problems += [] if self._rule_cidrs(network) else [NOBODY]
        problems += [] if network.has_health_checks or not self.options["health_path"] else [no_checks(network)]
        problems += [NO_TIMEOUT] if self.options["timeout"] and not self.facts.has_idle_timeout else []
        return (*problems, *self._address_problems(network))

    def _address_problems(self, network: Network) -> Iterator[Problem]:
        seen = self.observed.get(ADDRESS)
        candidates = self.facts.candidates if seen is None else ()
        if seen is None and not is_own(self.scope):
            yield from candidate_problems("spec.loadBalancerIP", f"the text {self.scope.name}", candidates, network)
        elif seen is None and self.options["address_id"] and not is_udp_half(self.scope):
            path, what = f"metadata.annotations[{ID_ANNOTATION}]", f"the id {self.options['address_id']}"
            yield from candidate_problems(path, what, candidates, network)
        outputs = seen.outputs if seen is not None else {}
        if outputs.get("static_nat"):
            yield Problem("spec.loadBalancerIP", f"{outputs['ip']} is a static NAT address", "use another address")
        is_source_nat = outputs.get("source_nat") or any(candidate.is_source_nat for candidate in candidates)
        if is_source_nat and "Dns" in network.services and any(port.port == DNS_PORT for port in self.ports):
            message = "port 53 of the network's source NAT address belongs to its DNS"
            yield Problem("spec.ports", message, "use another address")

    def skipped(self) -> Iterator[Notice]:
        """A notice for each node whose machine is not in the network."""
        network = self.network
        for machine in self.facts.machines:
            if network is not None and network.id not in machine.networks:
                message = f"machine {machine.name} is no target: it has no NIC in network {network.name}"
                yield Notice(Severity.WARNING, "NodeSkipped", message)

    def resources(self) -> Iterator[Resource]:
        """All that belongs to the Service's ports."""
        network = self.network
        assert network is not None
        for port in self.ports:
            rule = self._rule(port, network)
            yield rule
            yield from self._members(rule, network)
            yield from self._filters(rule, port, network)
            yield from self._stickiness(rule, port)
            yield from self._health(rule, port)

    def _rule(self, port: Port, network: Network) -> Resource:
        protocol = self._protocol(port)
        fields: dict[str, Hashable] = {
            "port": port.port,
            "private_port": port.node_port,
            "protocol": protocol,
            "algorithm": self.options["algorithm"] or ("source" if self.intent.affinity_seconds else "roundrobin"),
            "cidrs": self._rule_cidrs(network),
            "network": network.id,
            "address": Ref(ADDRESS),
            "state": "",
            "timeout": self.options["timeout"] or None,
        }
        if self.tags:
            fields["tagged"] = True
        name = rule_name(balancer_name(self.intent.identity.uid), protocol, port.port)
        return Resource(rule_key(port.port), name, fields, self._owners, frozenset({ADDRESS}))

    def _protocol(self, port: Port) -> str:
        if port.protocol == "TCP" and self.options["proxy_protocol"]:
            return "tcp-proxy"
        return port.protocol.lower()

    def _members(self, rule: Resource, network: Network) -> Iterator[Resource]:
        key = part_key("members", rule.key)
        able = [machine for machine in self.facts.machines if network.id in machine.networks]
        machines = frozenset(m.id for m in able if self.nodes is None or m.node in self.nodes)
        seen = self.observed.get(key)
        if seen is None and not machines:
            # No node has an endpoint yet: the router's own check finds the first that has.
            machines = frozenset(machine.id for machine in able)
        if machines:
            yield Resource(key, rule.name, {"machines": machines}, self._owners, frozenset({rule.key}))
        elif seen is not None:
            # No node at all, or none with an endpoint, is rather an outage than a wish: what serves goes on.
            yield seen.resource

    def _filters(self, rule: Resource, port: Port, network: Network) -> Iterator[Resource]:
        ranges = self.intent.source_ranges or frozenset({ALL})
        needs = frozenset({rule.key})
        if network.has_firewall and self.options["firewall"] == "manage":
            fields: dict[str, Hashable] = {"cidrs": ranges, "protocol": port.protocol.lower()}
            yield Resource(part_key("firewall", rule.key), rule.name, fields, self._owners, needs)
        if network.has_own_acl and self.options["acl"] == "manage":
            fields = {"cidrs": ranges, "protocol": port.protocol.lower(), "acl": network.acl_id, "spare": frozenset()}
            yield Resource(part_key("acl", rule.key), rule.name, fields, self._owners, needs)

    def _stickiness(self, rule: Resource, port: Port) -> Iterator[Resource]:
        method = self.options["stickiness"]
        if port.protocol == "TCP" and port.port in self.options["sticky_ports"]:
            fields: dict[str, Hashable] = {"method": method, "params": self.options["stickiness_params"]}
            yield Resource(part_key("stickiness", rule.key), rule.name, fields, self._owners, frozenset({rule.key}))

    def _health(self, rule: Resource, port: Port) -> Iterator[Resource]:
        """A policy names a path and no port: it asks the node port, so the health-check node port cannot be used."""
        path = self.options["health_path"]
        if path and port.protocol == "TCP":
            key = part_key("health", rule.key)
            yield Resource(key, rule.name, {"path": path}, self._owners, frozenset({rule.key}))

    def _rule_cidrs(self, network: Network) -> frozenset[str]:
        """The rule's own sources: the annotation's, and the Service's ranges where no other filter can hold them."""
        cidrs: frozenset[str] = self.options["source_cidrs"]
        if network.has_firewall or network.has_own_acl:
            return cidrs
        return intersection(cidrs, self.intent.source_ranges or frozenset({ALL}))

    @property
    def _owners(self) -> frozenset[Identity]:
        return frozenset({self.intent.identity})


def candidate_problems(path: str, what: str, candidates: tuple[Candidate, ...], network: Network) -> Iterator[Problem]:
    """Why the address that a Service names cannot be used; nothing is torn down then."""
    if len(candidates) != 1:
        count = f"{len(candidates)} public addresses have" if candidates else "no public address of the account has"
        yield Problem(path, f"{count} {what}", "name an address that is free, or allocated to the account")
        return
    (found,) = candidates
    if found.is_reserved:
        yield Problem(path, f"{found.ip} is used for static NAT or by the system", "name another address")
    elif not found.is_free and found.network not in ("", network.id):
        yield Problem(
            path, f"{found.ip} is associated with another network than {network.name}", "name another address"
        )
    elif not found.is_free and found.vpc != network.vpc_id:
        yield Problem(path, f"{found.ip} does not belong to the VPC of network {network.name}", "name another address")


def intersection(ones: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    """The ranges that are in both sets of IPv4 ranges."""
    common = set()
    for one in map(ipaddress.IPv4Network, ones):
        for other in map(ipaddress.IPv4Network, others):
            if one.subnet_of(other):
                common.add(str(one))
            elif other.subnet_of(one):
                common.add(str(other))
    return frozenset(common)
