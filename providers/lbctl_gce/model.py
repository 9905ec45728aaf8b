"""Intent, nodes and facts -> everything that one Service's balancer should hold. Pure.

Instance groups, shared health checks and their firewall rules are the cluster's (`shared.py`); resources here refer to
them by `Ref`, and wait until they exist.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Mapping
from dataclasses import dataclass

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.problem import Problem
from lbctl.model.ranges import ALLOW_ALL, family_of
from lbctl.model.resource import Desired, Identity, Key, Observed, Ref, Resource, Scope
from lbctl.model.status import Notice, Severity
from lbctl_gce import names, ports
from lbctl_gce.checks import (
    DENY,
    L4_LOCAL,
    SHARED,
    check_firewall,
    check_key,
    check_resource,
    check_sources,
    priority_of,
    shared_check,
    shared_firewall,
)
from lbctl_gce.facts import Facts
from lbctl_gce.frontends import Frontend
from lbctl_gce.kinds import (
    BACKEND,
    CLUSTER,
    ENDPOINT_GROUP,
    ENDPOINTS,
    FIREWALL,
    FIRST,
    GROUP,
    POOL,
    POOL_MEMBERS,
    link_of,
    shared_ref,
)
from lbctl_gce.machines import Machine, by_zone, in_subnet, machines_of, tags_of_nodes, target_tags
from lbctl_gce.modes import Mode
from lbctl_gce.parse import mode_of, option
from lbctl_gce.place import Labels, Place
from lbctl_gce.subsets import choose_endpoints

MOST_FIREWALL_ENTRIES = 100
TCP_DRAINING_SECONDS = 30
AFFINITIES = {"None": "NONE", "ClientIP": "CLIENT_IP"}

Behind = Generator[Resource, None, tuple[Hashable, frozenset[Key]]]
"""Resources behind the forwarding rules; returns the path that these point at, and the keys that they need."""


def model_balancer(scope: Scope, world: World, facts: Facts, place: Place) -> Desired:
    """What the scope's Service should have; problems that only facts show go into `rejected`."""
    resources: list[Resource] = []
    rejected: dict[Identity, tuple[Problem, ...]] = {}
    notices: dict[Identity, tuple[Notice, ...]] = {}
    seen = world.observed.get(scope) or Observed(scope)
    machines = world.nodes.project(machines_of)
    for identity, intent in sorted(world.intents.items()):
        balancer = Balancer(intent, place, facts, seen, machines)
        problems = tuple(balancer.problems())
        if problems:
            rejected[identity] = problems
        else:
            resources.extend(balancer.resources())
            notices[identity] = tuple(balancer.notices())
    return Desired.of(scope, resources, rejected=rejected, notices=notices)


def affinity_word(intent: Intent) -> str:
    """Session affinity in the Service's word."""
    return "None" if intent.affinity_seconds is None else "ClientIP"


def shares_backend(intent: Intent) -> bool:
    """True for internal balancers with groups whose Service asks for it; its own health check rules it out."""
    asked = "true" in (option(intent, "share"), option(intent, "alpha_share"))
    return asked and mode_of(intent) is Mode.INTERNAL_GROUPS and not intent.local


def shared_backend(intent: Intent) -> tuple[str, str]:
    """Protocol and affinity, which the name of a shared backend service is made of."""
    (protocol,) = intent.protocols
    return protocol, affinity_word(intent)


def backend_fields(
    mode: Mode, *, protocol: str, affinity: str, backends: frozenset[Hashable] | None, check: Hashable
) -> dict[str, Hashable]:
    """A backend service without what only some kinds have."""
    return {
        "scheme": mode.scheme,
        "protocol": protocol,
        "affinity": affinity,
        "backends": backends,
        "check": check,
        "draining": TCP_DRAINING_SECONDS if protocol == "TCP" and not mode.is_legacy else 0,
        "locality": "",
        "strong_seconds": 0,
        "same_zone": None,
        "description": "",
    }


@dataclass(frozen=True, slots=True)
class Balancer:
    """One Service's wish together with everything that decides its objects."""

    intent: Intent
    place: Place
    facts: Facts
    seen: Observed
    machines: tuple[Machine, ...]

    @property
    def mode(self) -> Mode:
        """Kind of the balancer."""
        return mode_of(self.intent)

    @property
    def labels(self) -> Labels:
        """Names of its objects."""
        return self.place.labels(self.intent.identity, self.mode)

    @property
    def owners(self) -> frozenset[Identity]:
        """The Service."""
        return frozenset({self.intent.identity})

    @property
    def frontends(self) -> tuple[Frontend, ...]:
        """One for each address family."""
        return tuple(Frontend(self.intent, f, self.place, self.facts, self.seen) for f in self.intent.families)

    def problems(self) -> Iterator[Problem]:
        """What facts and limits say against the wish."""
        for frontend in self.frontends:
            yield from frontend.problems()
        yield from self._collisions()
        if len(self.allowed()) > MOST_FIREWALL_ENTRIES:
            text = f"{len(self.allowed())} single ports and ranges, and a firewall rule takes {MOST_FIREWALL_ENTRIES}"
            yield Problem("spec.ports", text, "use neighbouring ports, or several Services")

    def _collisions(self) -> Iterator[Problem]:
        has = {seen.resource.name for seen in self.seen.resources.values() if seen.ours}
        for name, other in sorted(self.facts.collisions.items()):
            if name not in has:
                text = f"its object {name} would have the same name as that of {other}"
                yield Problem("metadata.name", text, "give one of the two Services another name")

    def notices(self) -> Iterator[Notice]:
        """What the author should know."""
        for family in self.intent.families:
            if self.intent.source_ranges and not self.sources(family):
                text = f"no {family} source range is given, so nobody may come by {family}"
                yield Notice(Severity.WARNING, "LimitedByDriver", text)
        untagged = self.untagged()
        if untagged:
            shown = ", ".join(untagged[:5])
            yield Notice(Severity.WARNING, "NodesWithoutTag", f"no network tag reaches {shown}: tag these instances")

    def resources(self) -> Iterator[Resource]:
        """Everything, in no particular order."""
        yield from self.checks()
        if self.mode is Mode.TARGET_POOL:
            backend, needs = yield from self.pool()
        else:
            backend, needs = yield from self.backend_service()
        for frontend in self.frontends:
            yield frontend.resource(backend, needs)
            if self.place.config.settings.firewalls and self.sources(frontend.family):
                allowing = self.firewall(frontend)
                yield allowing
                if self.place.config.settings.deny_firewalls:
                    yield self.deny_firewall(frontend, allowing)

    # -- behind the balancer ----------------------------------------------------------------------------------------

    def own_check(self) -> Key | None:
        """Key of the Service's own health check, which traffic policy Local needs."""
        return check_key(self.mode, self.labels.backend) if self.intent.local else None

    def checks(self) -> Iterator[Resource]:
        """The Service's own health check and what lets it in."""
        key = self.own_check()
        if key is None:
            return
        numbers = SHARED if self.mode.is_legacy else L4_LOCAL
        text = (
            names.legacy_description(self.labels.balancer) if self.mode is Mode.TARGET_POOL else self.labels.description
        )
        firewalls = tuple(self._check_firewalls())
        yield from firewalls
        yield check_resource(
            key,
            port=self.intent.health_port,
            numbers=numbers,
            description=text,
            needs=frozenset(firewall.key for firewall in firewalls),
            owners=self.owners,
        )

    def _check_firewalls(self) -> Iterator[Resource]:
        for family in self.intent.families:
            yield check_firewall(
                self.labels.check_firewall(family),
                port=self.intent.health_port,
                sources=check_sources(self.place, family, internal=self.mode.is_internal),
                tags=self.tags(),
                description="" if self.mode is Mode.INTERNAL_GROUPS else self.labels.description,
                place=self.place,
                priority=priority_of(self.place),
                owners=self.owners,
            )

    def check(self) -> tuple[Hashable, frozenset[Key]]:
        """Path of the health check, or a reference to the shared one; and the key that has to exist before."""
        own = self.own_check()
        if own is None:
            return shared_ref(shared_check(self.mode, self.place).key), frozenset()
        return link_of(own, self.place.config.region), frozenset({own})

    def pool(self) -> Behind:
        """Target pool and its instances."""
        check, needs = self.check()
        key, members = Key(POOL, self.labels.balancer), Key(POOL_MEMBERS, self.labels.balancer)
        fields = {"affinity": self.affinity(), "check": check, "description": self.labels.description}
        yield Resource(key, self.labels.balancer, fields, self.owners, needs)
        instances = frozenset(machine.path for machine in self.machines) or None
        yield Resource(members, self.labels.balancer, {"instances": instances}, self.owners, frozenset({key}))
        return link_of(key, self.place.config.region), frozenset({key, members})

    def backend_service(self) -> Behind:
        """Backend service, with its own endpoint groups where the mode has them."""
        if shares_backend(self.intent):
            protocol, affinity = shared_backend(self.intent)
            return shared_ref(Key(BACKEND, self.place.legacy.shared_backend(protocol, affinity))), frozenset()
        check, needs = self.check()
        groups: frozenset[Hashable]
        if self.mode.uses_endpoints:
            endpoint_groups = tuple(self.endpoint_groups())
            yield from endpoint_groups
            owned = frozenset(group.key for group in endpoint_groups if group.key.kind == ENDPOINT_GROUP)
            groups = frozenset(link_of(key, self.place.config.region) for key in owned)
            needs = needs | owned
        else:
            zones = by_zone(in_subnet(self.machines, self.place.config.subnetwork))
            groups = frozenset(shared_ref(Key(GROUP, f"{zone}/{self.place.legacy.group}")) for zone in zones)
        key = Key(BACKEND, self.labels.backend)
        yield Resource(key, key.id, self._backend_fields(check, groups or None), self.owners, needs)
        return link_of(key, self.place.config.region), frozenset({key})

    def _backend_fields(self, check: Hashable, groups: frozenset[Hashable] | None) -> Mapping[str, Hashable]:
        protocols = sorted(self.intent.protocols)
        strong = self.intent.affinity_seconds if option(self.intent, "strong_affinity") else 0
        fields = backend_fields(
            self.mode,
            protocol=protocols[0] if len(protocols) == 1 else "UNSPECIFIED",
            affinity=self.affinity(),
            backends=groups,
            check=check,
        )
        return {
            **fields,
            "locality": self._locality(),
            "strong_seconds": strong or 0,
            "same_zone": option(self.intent, "same_zone") if self.mode is Mode.INTERNAL_ENDPOINTS else None,
            "description": self.labels.description,
        }

    def _locality(self) -> str:
        if option(self.intent, "weighted") != "pods-per-node" or not self.intent.local or self.mode.is_legacy:
            return ""
        return "WEIGHTED_GCP_RENDEZVOUS" if self.mode.is_internal else "WEIGHTED_MAGLEV"

    def affinity(self) -> str:
        """Session affinity in the API's word."""
        return AFFINITIES[affinity_word(self.intent)]

    def endpoint_groups(self) -> Iterator[Resource]:
        """A group for each zone with nodes, and the endpoints chosen for it."""
        # Only internal balancers with endpoint groups drain a node before it goes (ingress-gce, zonegetter).
        machines = [machine for machine in self.machines if not (machine.draining and self.mode.is_internal)]
        chosen = choose_endpoints(machines, self.current_endpoints(), intent=self.intent)
        for zone, endpoints in chosen.items():
            group = Key(ENDPOINT_GROUP, f"{zone}/{self.labels.backend}")
            fields = {
                "network": self.place.config.network,
                "subnet": self.place.config.subnetwork,
                "description": self.labels.description,
            }
            yield Resource(group, self.labels.backend, fields, self.owners)
            key = Key(ENDPOINTS, group.id)
            yield Resource(key, self.labels.backend, {"endpoints": endpoints}, self.owners, frozenset({group}))

    def current_endpoints(self) -> frozenset[str]:
        """Instances that are endpoints now."""
        found: set[str] = set()
        for seen in self.seen.of_kind(ENDPOINTS):
            endpoints = seen.resource.fields["endpoints"]
            assert isinstance(endpoints, frozenset)
            found |= {text.split(" ", maxsplit=1)[0].rpartition("/")[2] for text in endpoints}
        return frozenset(found)

    # -- who may come -----------------------------------------------------------------------------------------------

    def sources(self, family: str) -> frozenset[str]:
        """Ranges of this family; none at all when ranges are given but none of this family."""
        if not self.intent.source_ranges:
            return frozenset({ALLOW_ALL[family]})
        return frozenset(cidr for cidr in self.intent.source_ranges if family_of(cidr) == family)

    def allowed(self) -> frozenset[str]:
        """Protocols and ports."""
        grouped: dict[str, list[int]] = {}
        for port in self.intent.ports:
            grouped.setdefault(port.protocol, []).append(port.port)
        return ports.entries(grouped)

    def tags(self) -> frozenset[str] | None:
        """Network tags that reach the nodes."""
        return self.place.config.node_tags or tags_of_nodes(self.machines, self.facts.tags or {})

    def untagged(self) -> list[str]:
        """Instances that no rule reaches."""
        return [] if self.place.config.node_tags else target_tags(self.machines, self.facts.tags or {})[1]

    def firewall(self, frontend: Frontend) -> Resource:
        """The traffic rule of one family, for the balancer's own address alone."""
        destination = Ref(frontend.key, "address")
        seen = self.seen.get(frontend.key)
        name = self.labels.firewall(frontend.family)
        fields: Mapping[str, Hashable] = {
            "sources": self.sources(frontend.family),
            "destinations": frozenset({destination}),
            "tags": self.tags(),
            "allowed": self.allowed(),
            "denied": frozenset(),
            "priority": priority_of(self.place),
            "network": self.place.config.network,
            "description": self._firewall_description(seen.outputs["address"] if seen else ""),
        }
        return Resource(Key(FIREWALL, name), name, fields, self.owners, frozenset({frontend.key}))

    def deny_firewall(self, frontend: Frontend, allowing: Resource) -> Resource:
        """The rule that shuts the balancer's address to whatever the traffic rule does not let through.

        It comes after every rule that has to win against it, also the cluster's rule for shared health checks.
        """
        name = self.labels.deny_firewall(frontend.family)
        shared = Ref(Key(FIREWALL, shared_firewall(self.mode, self.place, frontend.family)), FIRST, CLUSTER)
        own = {Key(FIREWALL, self.labels.check_firewall(family)) for family in self.intent.families}
        fields: Mapping[str, Hashable] = {
            **allowing.fields,
            "sources": frozenset({ALLOW_ALL[frontend.family]}),
            "allowed": frozenset(),
            "denied": frozenset({"all"}),
            "priority": DENY,
            "waits_for": frozenset() if self.intent.local else frozenset({shared}),
        }
        needs = frozenset({frontend.key, allowing.key, *(own if self.intent.local else ())})
        return Resource(Key(FIREWALL, name), name, fields, self.owners, needs)

    def _firewall_description(self, address: str) -> str:
        key = self.intent.identity.key
        if self.mode.is_legacy:
            return names.legacy_firewall_description(key, address)
        return names.l4_description(key, ip=self.intent.requested_address)
