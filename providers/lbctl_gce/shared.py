"""What the whole cluster shares: instance groups with their members, shared health checks, their firewall rules. Pure.

Planned once for all Services. A shared object stays while any Service wants it or any balancer that was seen still
refers to it, whatever the Services say; references are looked up, never tried out by a delete.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.node import NodeSet
from lbctl.model.objects import Node
from lbctl.model.resource import Desired, Identity, Key, Observed, Ref, Resource, Seen
from lbctl.model.status import Notice, Severity
from lbctl_gce.backends import AFFINITIES, backend_fields, group_links, group_zones, shared_backend, shares_backend
from lbctl_gce.checks import (
    BEFORE_DENY,
    KUBE_PROXY_PORT,
    SHARED,
    check_firewall,
    check_resource,
    check_sources,
    priority_of,
    shared_check,
    shared_firewall,
)
from lbctl_gce.facts import Facts
from lbctl_gce.kinds import (
    BACKEND,
    BALANCER,
    CLUSTER,
    FIREWALL,
    GROUP,
    MEMBERS,
    POOL,
    RULE,
    balancer_scope,
    link_of,
    shared_ref,
)
from lbctl_gce.machines import MOST_IN_GROUP, canonical, machine_of, machines_of, tags_of_nodes
from lbctl_gce.model import Balancer
from lbctl_gce.modes import Mode
from lbctl_gce.parse import mode_of
from lbctl_gce.place import Place
from lbctl_gce.wish import Wish

SHARED_BACKENDS = tuple((protocol, affinity) for protocol in ("TCP", "UDP") for affinity in AFFINITIES)


def model_cluster(world: World, facts: Facts, place: Place) -> Desired:
    """Everything that Services share."""
    sound = {identity: intent for identity, intent in world.intents.items() if _is_sound(intent, world, facts, place)}
    shared = Shared(replace(world, intents=sound), facts, place, world.observed.get(CLUSTER) or Observed(CLUSTER))
    resources = [*shared.groups(), *shared.checks(), *shared.backends()]
    return Desired.of(CLUSTER, resources, notices=shared.notices())


def _is_sound(intent: Intent, world: World, facts: Facts, place: Place) -> bool:
    """False for a Service that its own scope refuses and that has nothing yet: nothing is made for it here either."""
    seen = world.observed.get(balancer_scope(intent.identity))
    if seen is not None and seen.resources:
        return True
    machines = world.nodes.project(machines_of)
    return not any(Balancer(Wish(intent, place, facts, Observed(CLUSTER), machines)).problems())


def undetermined(nodes: tuple[Node, ...]) -> frozenset[str]:
    """Names of nodes whose zone is not known: they neither join nor leave; a projection of a `NodeSet`."""
    return frozenset(canonical(node.metadata.name) for node in nodes if machine_of(node) is None)


@dataclass(frozen=True, slots=True)
class Shared:
    """All Services, all nodes and what is there now."""

    world: World
    facts: Facts
    place: Place
    seen: Observed

    def references(self) -> frozenset[str]:
        """Paths that balancers and shared backend services refer to now."""
        found: set[str] = set()
        for seen in (*self._everywhere(BACKEND), *self._everywhere(POOL), *self.seen.of_kind(BACKEND)):
            fields = seen.resource.fields
            backends = fields.get("backends") or frozenset()
            assert isinstance(backends, frozenset)
            found |= {str(fields["check"]), *backends}
        return frozenset(found)

    def _everywhere(self, kind: str) -> Iterator[Seen]:
        """What all balancers have of a kind."""
        for scope, observed in self.world.observed.items():
            if scope.kind == BALANCER:
                yield from observed.of_kind(kind)

    # -- instance groups --------------------------------------------------------------------------------------------

    def groups(self) -> Iterator[Resource]:
        """An instance group with its members for each zone that has nodes or is referred to."""
        if not self.place.config.fills_groups:
            return
        zones = self.zones() if any(mode_of(i).uses_groups for i in self.world.intents.values()) else {}
        kept = self._referred_zones()
        members = {**dict.fromkeys(kept, ()), **self.zones()}
        for zone in sorted({*zones, *kept}):
            group = Key(GROUP, f"{zone}/{self.place.legacy.group}")
            yield Resource(group, self.place.legacy.group)
            fields = {"instances": self._members(zone, members.get(zone, ()))}
            yield Resource(Key(MEMBERS, group.id), group.id, fields, needs=frozenset({group}))

    def zones(self) -> dict[str, tuple[str, ...]]:
        """Names of the instances of each zone."""
        return dict(group_zones(self.world.nodes.project(machines_of), self.place))

    def _members(self, zone: str, names: tuple[str, ...]) -> frozenset[str] | None:
        """Members to have; None keeps them as they are: without any node a look-up has failed, not the cluster."""
        if len(self.world.nodes) == 0:
            return None
        present = self.seen.get(Key(MEMBERS, f"{zone}/{self.place.legacy.group}"))
        now = present.resource.fields["instances"] if present else frozenset()
        assert isinstance(now, frozenset)
        return frozenset(names) | (now & self.world.nodes.project(undetermined))

    def _referred_zones(self) -> frozenset[str]:
        references = self.references()
        region = self.place.config.region
        foreign = {seen.key for seen in self.seen.of_kind(GROUP) if seen.outputs.get("foreign_users")}
        return frozenset(
            seen.key.id.partition("/")[0]
            for seen in self.seen.of_kind(GROUP)
            if seen.key in foreign or link_of(seen.key, region) in references
        )

    # -- health checks ----------------------------------------------------------------------------------------------

    def checks(self) -> Iterator[Resource]:
        """Shared checks that are wanted or referred to, each with its firewall rule."""
        references = self.references()
        intents = [intent for intent in self.world.intents.values() if not intent.local]
        for mode in filter(lambda mode: mode.has_balancer, Mode):
            check = shared_check(mode, self.place)
            wanted = [intent for intent in intents if mode_of(intent) is mode]
            if not wanted and link_of(check.key, self.place.config.region) not in references:
                continue
            families = {family for intent in wanted for family in intent.families} | self._present_families(mode)
            firewalls = tuple(self._firewalls(mode, families))
            yield from firewalls
            yield check_resource(
                check.key,
                port=KUBE_PROXY_PORT,
                numbers=SHARED,
                description=check.description,
                needs=frozenset(firewall.key for firewall in firewalls),
                owners=frozenset(),
            )

    def _present_families(self, mode: Mode) -> set[str]:
        ipv6 = Key("firewall", self.place.l4.shared_check_firewall("IPv6"))
        return {"IPv4", "IPv6"} if not mode.is_legacy and self.seen.get(ipv6) else {"IPv4"}

    def _firewalls(self, mode: Mode, families: set[str]) -> Iterator[Resource]:
        check = shared_check(mode, self.place)
        for family in sorted(families):
            name = shared_firewall(mode, self.place, family)
            both = check_sources(self.place, family, internal=True) | check_sources(self.place, family, internal=False)
            yield check_firewall(
                name,
                port=KUBE_PROXY_PORT,
                sources=both,
                tags=self.tags(),
                description=check.firewall_description,
                place=self.place,
                priority=self._priority(),
            )

    def _priority(self) -> int:
        """Before every rule that denies, as long as there is one."""
        denies = any(seen.resource.fields["denied"] for seen in self._everywhere(FIREWALL))
        return BEFORE_DENY if denies else priority_of(self.place)

    def tags(self) -> frozenset[str] | None:
        """Network tags that reach the nodes."""
        machines = self.world.nodes.project(machines_of)
        return self.place.config.node_tags or tags_of_nodes(machines, self.facts.tags or {})

    # -- backend services -------------------------------------------------------------------------------------------

    def backends(self) -> Iterator[Resource]:
        """Backend services that internal balancers share because their Services ask for it (alpha upstream)."""
        pointed = {str(seen.resource.fields["backend"]) for seen in self._everywhere(RULE)}
        wanted = {shared_backend(intent): None for intent in self.world.intents.values() if shares_backend(intent)}
        check = shared_check(Mode.INTERNAL_GROUPS, self.place).key
        links = group_links(self.world.nodes.project(machines_of), self.place, self.facts) if wanted else frozenset()
        groups = frozenset(link.key for link in links if isinstance(link, Ref))
        for protocol, affinity in SHARED_BACKENDS:
            key = Key(BACKEND, self.place.legacy.shared_backend(protocol, affinity))
            if (protocol, affinity) in wanted or link_of(key, self.place.config.region) in pointed:
                fields = backend_fields(
                    Mode.INTERNAL_GROUPS,
                    protocol=protocol,
                    affinity=AFFINITIES[affinity],
                    backends=links or None,
                    check=shared_ref(check),
                )
                yield Resource(key, key.id, fields, needs=frozenset({check, *groups}))

    # -- what to tell -----------------------------------------------------------------------------------------------

    def notices(self) -> dict[Identity, tuple[Notice, ...]]:
        """For every Service that uses groups: zones with more nodes than a group takes."""
        crowded = _crowded(self.world.nodes) if self.place.config.fills_groups else ()
        users = [identity for identity, intent in self.world.intents.items() if mode_of(intent).uses_groups]
        return dict.fromkeys(users, crowded) if crowded else {}


def _crowded(nodes: NodeSet) -> tuple[Notice, ...]:
    counts: dict[str, int] = {}
    for machine in nodes.project(machines_of):
        counts[machine.zone] = counts.get(machine.zone, 0) + 1
    return tuple(
        Notice(
            Severity.WARNING,
            "LimitedByDriver",
            f"zone {zone} has {count} nodes and an instance group takes {MOST_IN_GROUP}: the first by name are used",
        )
        for zone, count in sorted(counts.items())
        if count > MOST_IN_GROUP
    )
