"""What forwarding rules point at: target pool or backend service with endpoints, and own health checks. Pure.

Instance groups, shared health checks and their firewall rules are the cluster's (`shared.py`); resources here refer to
them by `Ref`, and wait until they exist.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbctl.errors import MissingFact
from lbctl.model.intent import Intent
from lbctl.model.resource import Key, Resource
from lbctl.model.status import Notice, Severity
from lbctl_gce import names
from lbctl_gce.checks import (
    L4_LOCAL,
    SHARED,
    check_firewall,
    check_key,
    check_resource,
    check_sources,
    priority_of,
    shared_check,
)
from lbctl_gce.facts import Facts
from lbctl_gce.flowlogs import UNMANAGED
from lbctl_gce.kinds import BACKEND, ENDPOINT_GROUP, ENDPOINTS, GROUP, POOL, POOL_MEMBERS, link_of, shared_ref
from lbctl_gce.machines import Machine, by_zone, in_subnet
from lbctl_gce.modes import STRONG_AFFINITY_MODES, Mode
from lbctl_gce.parse import mode_of, option
from lbctl_gce.place import Place
from lbctl_gce.settings import SKIP_GROUPS
from lbctl_gce.subsets import choose_endpoints
from lbctl_gce.wish import Wish

TCP_DRAINING_SECONDS = 30
AFFINITIES = {"None": "NONE", "ClientIP": "CLIENT_IP"}

Behind = Generator[Resource, None, tuple[Hashable, frozenset[Key]]]
"""Resources behind the forwarding rules; returns the path that these point at, and the keys that they need."""


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
        **UNMANAGED,
    }


def group_zones(machines: Iterable[Machine], place: Place) -> Mapping[str, tuple[str, ...]]:
    """Names of the instances in instance groups, by zone."""
    return by_zone(in_subnet(machines, place.config.subnetwork))


def group_links(machines: Iterable[Machine], place: Place, facts: Facts) -> frozenset[Hashable]:
    """The instance groups of all zones with nodes: of each the one that is ours, or all that somebody else fills."""
    zones = group_zones(machines, place)
    if place.config.fills_groups:
        return frozenset(shared_ref(Key(GROUP, f"{zone}/{place.legacy.group}")) for zone in zones)
    return frozenset(path for zone in zones for path in facts.groups.get(zone, ()))


@dataclass(frozen=True, slots=True)
class Backends:
    """Everything behind one Service's forwarding rules."""

    wish: Wish

    def resources(self) -> Behind:
        """Health check, and pool or backend service, in no particular order."""
        yield from self.checks()
        if self.wish.mode is Mode.TARGET_POOL:
            return (yield from self.pool())
        return (yield from self.backend_service())

    def bare_zones(self) -> list[str]:
        """Zones with nodes in which nobody has made the instance group that is not ours to make."""
        if self.wish.place.config.fills_groups or not self.wish.mode.uses_groups:
            return []
        zones = group_zones(self.wish.machines, self.wish.place)
        return [zone for zone in zones if zone not in self.wish.facts.groups]

    def notices(self) -> Iterator[Notice]:
        """Nodes that get no traffic, and settings of logging that cannot be followed."""
        yield from () if self.wish.mode.is_legacy else self.wish.flowlogs.notices
        bare = self.bare_zones()
        if bare:
            text = f"nodes in {', '.join(bare)} get no traffic: fill an instance group there whose name begins with"
            yield Notice(Severity.WARNING, "ZoneWithoutGroup", f"{text} {self.wish.place.legacy.group}")

    def _require_groups(self) -> None:
        """Without any instance group there would be no backends at all (cloud-provider-gcp makes such a balancer)."""
        bare = self.bare_zones()
        if bare and not group_links(self.wish.machines, self.wish.place, self.wish.facts):
            text = f"no instance group in {', '.join(bare)} has a name that begins with {self.wish.place.legacy.group}"
            raise MissingFact(text, hint=f"fill one in each zone, or take {SKIP_GROUPS} out of gce.conf")

    def own_check(self) -> Key | None:
        """Key of the Service's own health check, which traffic policy Local needs."""
        return check_key(self.wish.mode, self.wish.labels.backend) if self.wish.intent.local else None

    def checks(self) -> Iterator[Resource]:
        """The Service's own health check and what lets it in."""
        key = self.own_check()
        if key is None:
            return
        numbers = SHARED if self.wish.mode.is_legacy else L4_LOCAL
        text = (
            names.legacy_description(self.wish.labels.balancer)
            if self.wish.mode is Mode.TARGET_POOL
            else self.wish.labels.description
        )
        firewalls = tuple(self._check_firewalls())
        yield from firewalls
        yield check_resource(
            key,
            port=self.wish.intent.health_port,
            numbers=numbers,
            description=text,
            needs=frozenset(firewall.key for firewall in firewalls),
            owners=self.wish.owners,
        )

    def _check_firewalls(self) -> Iterator[Resource]:
        for family in self.wish.intent.families:
            yield check_firewall(
                self.wish.labels.check_firewall(family),
                port=self.wish.intent.health_port,
                sources=check_sources(self.wish.place, family, internal=self.wish.mode.is_internal),
                tags=self.wish.tags(),
                description="" if self.wish.mode is Mode.INTERNAL_GROUPS else self.wish.labels.description,
                place=self.wish.place,
                priority=priority_of(self.wish.place),
                owners=self.wish.owners,
            )

    def check(self) -> tuple[Hashable, frozenset[Key]]:
        """Path of the health check, or a reference to the shared one; and the key that has to exist before."""
        own = self.own_check()
        if own is None:
            return shared_ref(shared_check(self.wish.mode, self.wish.place).key), frozenset()
        return link_of(own, self.wish.place.config.region), frozenset({own})

    def pool(self) -> Behind:
        """Target pool and its instances."""
        check, needs = self.check()
        key, members = Key(POOL, self.wish.labels.balancer), Key(POOL_MEMBERS, self.wish.labels.balancer)
        fields = {"affinity": self.affinity(), "check": check, "description": self.wish.labels.description}
        yield Resource(key, self.wish.labels.balancer, fields, self.wish.owners, needs)
        instances = frozenset(machine.path for machine in self.wish.machines) or None
        yield Resource(members, self.wish.labels.balancer, {"instances": instances}, self.wish.owners, frozenset({key}))
        return link_of(key, self.wish.place.config.region), frozenset({key, members})

    def backend_service(self) -> Behind:
        """Backend service, with its own endpoint groups where the mode has them."""
        self._require_groups()
        if shares_backend(self.wish.intent):
            protocol, affinity = shared_backend(self.wish.intent)
            return shared_ref(Key(BACKEND, self.wish.place.legacy.shared_backend(protocol, affinity))), frozenset()
        check, needs = self.check()
        groups: frozenset[Hashable]
        if self.wish.mode.uses_endpoints:
            endpoint_groups = tuple(self.endpoint_groups())
            yield from endpoint_groups
            owned = frozenset(group.key for group in endpoint_groups if group.key.kind == ENDPOINT_GROUP)
            groups = frozenset(link_of(key, self.wish.place.config.region) for key in owned)
            needs = needs | owned
        else:
            groups = group_links(self.wish.machines, self.wish.place, self.wish.facts)
        key = Key(BACKEND, self.wish.labels.backend)
        yield Resource(key, key.id, self._backend_fields(check, groups or None), self.wish.owners, needs)
        return link_of(key, self.wish.place.config.region), frozenset({key})

    def _backend_fields(self, check: Hashable, groups: frozenset[Hashable] | None) -> Mapping[str, Hashable]:
        protocols = sorted(self.wish.intent.protocols)
        asks = option(self.wish.intent, "strong_affinity") and self.wish.mode in STRONG_AFFINITY_MODES
        strong = self.wish.intent.affinity_seconds if asks else 0
        fields = backend_fields(
            self.wish.mode,
            protocol=protocols[0] if len(protocols) == 1 else "UNSPECIFIED",
            affinity=self.affinity(),
            backends=groups,
            check=check,
        )
        return {
            **fields,
            "locality": self._locality(),
            "strong_seconds": strong or 0,
            "same_zone": option(self.wish.intent, "same_zone") if self.wish.mode is Mode.INTERNAL_ENDPOINTS else None,
            "description": self.wish.labels.description,
            **(UNMANAGED if self.wish.mode.is_legacy else self.wish.flowlogs.fields),
        }

    def _locality(self) -> str:
        if (
            option(self.wish.intent, "weighted") != "pods-per-node"
            or not self.wish.intent.local
            or self.wish.mode.is_legacy
        ):
            return ""
        return "WEIGHTED_GCP_RENDEZVOUS" if self.wish.mode.is_internal else "WEIGHTED_MAGLEV"

    def affinity(self) -> str:
        """Session affinity in the API's word."""
        return AFFINITIES[affinity_word(self.wish.intent)]

    def endpoint_groups(self) -> Iterator[Resource]:
        """A group for each zone with nodes, and the endpoints chosen for it."""
        for zone, endpoints in self._endpoints().items():
            group = Key(ENDPOINT_GROUP, f"{zone}/{self.wish.labels.backend}")
            fields = {
                "network": self.wish.place.config.network,
                "subnet": self.wish.place.config.subnetwork,
                "description": self.wish.labels.description,
            }
            yield Resource(group, self.wish.labels.backend, fields, self.wish.owners)
            key = Key(ENDPOINTS, group.id)
            yield Resource(
                key, self.wish.labels.backend, {"endpoints": endpoints}, self.wish.owners, frozenset({group})
            )

    def _endpoints(self) -> Mapping[str, Hashable]:
        """Endpoints by zone; as they are while there is no node at all: a look-up has failed, not the cluster.

        A group before which somebody else has put a balancer stays in a zone without nodes, because it may be in use.
        """
        present = (seen for seen in self.wish.seen.of_kind(ENDPOINTS) if self.wish.has(seen))
        now = {seen.key.id.partition("/")[0]: seen.resource.fields["endpoints"] for seen in present}
        if not self.wish.machines:
            return now
        # Only internal balancers with endpoint groups drain a node before it goes (ingress-gce, zonegetter).
        machines = [machine for machine in self.wish.machines if not (machine.draining and self.wish.mode.is_internal)]
        chosen = choose_endpoints(machines, self.current_endpoints(), intent=self.wish.intent)
        return chosen if self.wish.mode.has_balancer else {**dict.fromkeys(now, frozenset()), **chosen}

    def current_endpoints(self) -> frozenset[str]:
        """Instances that are endpoints now."""
        found: set[str] = set()
        for seen in self.wish.seen.of_kind(ENDPOINTS):
            endpoints = seen.resource.fields["endpoints"]
            assert isinstance(endpoints, frozenset)
            found |= {text.split(" ", maxsplit=1)[0].rpartition("/")[2] for text in endpoints}
        return frozenset(found)
