"""Firewall rules of one Service: who may come to its balancer's address, and who is kept out. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

from lbctl.model.problem import Problem
from lbctl.model.ranges import ALLOW_ALL, family_of
from lbctl.model.resource import Key, Ref, Resource
from lbctl.model.status import Notice, Severity
from lbctl_gce import names, ports
from lbctl_gce.checks import DENY, priority_of, shared_firewall
from lbctl_gce.frontends import Frontend
from lbctl_gce.kinds import CLUSTER, FIREWALL, FIRST
from lbctl_gce.wish import Wish

MOST_ENTRIES = 100
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Access:
    """One Service's rules of traffic."""

    wish: Wish

    def problems(self) -> Iterator[Problem]:
        """More ports than a rule takes."""
        if len(self.allowed()) > MOST_ENTRIES:
            text = f"{len(self.allowed())} single ports and ranges, and a firewall rule takes {MOST_ENTRIES}"
            yield Problem("spec.ports", text, "use neighbouring ports, or several Services")

    def notices(self) -> Iterator[Notice]:
        """Who cannot come although the author may think so."""
        for family in self.wish.intent.families:
            if self.wish.intent.source_ranges and not self.sources(family):
                text = f"no {family} source range is given, so nobody may come by {family}"
                yield Notice(Severity.WARNING, "LimitedByDriver", text)
        untagged = self.wish.untagged()
        if untagged:
            shown = ", ".join(untagged[:MOST_NAMED])
            yield Notice(Severity.WARNING, "NodesWithoutTag", f"no network tag reaches {shown}: tag these instances")

    def resources(self, frontends: tuple[Frontend, ...]) -> Iterator[Resource]:
        """The rules for one family's forwarding rules, which have one address."""
        settings, family = self.wish.place.config.settings, frontends[0].family
        if settings.firewalls and self.sources(family):
            allowing = self.firewall(frontends)
            yield allowing
            if settings.deny_firewalls:
                yield self.deny_firewall(frontends[0], allowing)

    def sources(self, family: str) -> frozenset[str]:
        """Ranges of this family; none at all when ranges are given but none of this family."""
        if not self.wish.intent.source_ranges:
            return frozenset({ALLOW_ALL[family]})
        return frozenset(cidr for cidr in self.wish.intent.source_ranges if family_of(cidr) == family)

    def allowed(self) -> frozenset[str]:
        """Protocols and ports."""
        grouped: dict[str, list[int]] = {}
        for port in self.wish.intent.ports:
            grouped.setdefault(port.protocol, []).append(port.port)
        return ports.entries(grouped)

    def firewall(self, frontends: tuple[Frontend, ...]) -> Resource:
        """The traffic rule of one family, for the balancer's own address alone."""
        frontend, place = frontends[0], self.wish.place
        seen = self.wish.seen.get(frontend.key)
        name = self.wish.labels.firewall(frontend.family)
        fields: Mapping[str, Hashable] = {
            "sources": self.sources(frontend.family),
            "destinations": frozenset({Ref(frontend.key, "address")}),
            "tags": self.wish.tags(),
            "allowed": self.allowed(),
            "denied": frozenset(),
            "priority": priority_of(place),
            "network": place.config.network,
            "description": self._description(seen.outputs["address"] if seen else ""),
        }
        return Resource(Key(FIREWALL, name), name, fields, self.wish.owners, frozenset(f.key for f in frontends))

    def deny_firewall(self, frontend: Frontend, allowing: Resource) -> Resource:
        """The rule that shuts the balancer's address to whatever the traffic rule does not let through.

        It comes after every rule that has to win against it, also the cluster's rule for shared health checks.
        """
        intent, labels = self.wish.intent, self.wish.labels
        name = labels.deny_firewall(frontend.family)
        shared_name = shared_firewall(self.wish.mode, self.wish.place, frontend.family)
        shared = Ref(Key(FIREWALL, shared_name), FIRST, CLUSTER)
        own = {Key(FIREWALL, labels.check_firewall(family)) for family in intent.families}
        fields: Mapping[str, Hashable] = {
            **allowing.fields,
            "sources": frozenset({ALLOW_ALL[frontend.family]}),
            "allowed": frozenset(),
            "denied": frozenset({"all"}),
            "priority": DENY,
            "waits_for": frozenset() if intent.local else frozenset({shared}),
        }
        needs = frozenset({*allowing.needs, allowing.key, *(own if intent.local else ())})
        return Resource(Key(FIREWALL, name), name, fields, self.wish.owners, needs)

    def _description(self, address: str) -> str:
        key = self.wish.intent.identity.key
        if self.wish.mode.is_legacy:
            return names.legacy_firewall_description(key, address)
        return names.l4_description(key, ip=self.wish.intent.requested_address)
