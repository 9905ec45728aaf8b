"""Where we work and how a Service's objects are called there, by the kind of balancer. Pure.

`Place` joins configuration and name schemes; `Labels` are all names of one Service. Model and reads use the same, so
that what is read is recognised by the names under which it would be made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lbctl.model.resource import Identity
from lbctl_gce import names
from lbctl_gce.modes import Mode
from lbctl_gce.names import L4Names, LegacyNames
from lbctl_gce.settings import Config
from lbctl_gce.shapes import Links

PROTOCOLS = ("TCP", "UDP", "L3_DEFAULT")
FAMILIES = ("IPv4", "IPv6")


@dataclass(frozen=True, slots=True)
class Place:
    """Configuration, and the names of one cluster."""

    config: Config
    l4: L4Names
    legacy: LegacyNames

    @property
    def links(self) -> Links:
        """Makes links of paths."""
        return Links(self.config.project, self.config.network_project)

    def labels(self, identity: Identity, mode: Mode) -> Labels:
        """The names of a Service's objects."""
        return Labels(self.l4, identity, mode)


@dataclass(frozen=True, slots=True)
class Labels:
    """Names of one Service's objects in one mode."""

    l4: L4Names
    identity: Identity
    mode: Mode

    @property
    def balancer(self) -> str:
        """The legacy name."""
        return names.balancer_name(self.identity.uid)

    @property
    def backend(self) -> str:
        """Backend service or target pool, and the Service's own health check."""
        return self.balancer if self.mode.is_legacy else self.l4.backend(self._namespace, self._name)

    def rule(self, family: str, protocol: str) -> str:
        """Forwarding rule; external ones of one protocol have the legacy name."""
        if self.mode.is_legacy or (not self.mode.is_internal and protocol != "L3_DEFAULT"):
            return f"{self.balancer}-ipv6" if family == "IPv6" else self.balancer
        if family == "IPv6":
            return self.l4.forwarding_rule_ipv6(self._namespace, self._name, protocol)
        return self.l4.forwarding_rule(self._namespace, self._name, protocol)

    def fellow_rule(self, protocol: str) -> str:
        """Forwarding rule of one of several protocols of an external balancer, named as internal ones are."""
        return self.l4.forwarding_rule(self._namespace, self._name, protocol)

    def address(self, family: str, protocol: str) -> str:
        """Address that is held while a forwarding rule is recreated."""
        rule = self.rule(family, protocol)
        return rule if self.mode.is_internal or family == "IPv6" else self.balancer

    def firewall(self, family: str) -> str:
        """Traffic rule."""
        if self.mode.is_legacy:
            return names.legacy_firewall(self.balancer)
        if family == "IPv6":
            return self.l4.firewall_ipv6(self._namespace, self._name)
        return self.backend

    def check_firewall(self, family: str) -> str:
        """Rule for the Service's own health check."""
        if self.mode is Mode.TARGET_POOL:
            return names.own_pool_firewall(self.balancer)
        if self.mode is Mode.INTERNAL_GROUPS:
            return names.own_internal_firewall(self.balancer)
        return self.l4.check_firewall(self._namespace, self._name, family)

    def deny_firewall(self, family: str) -> str:
        """Rule that shuts whatever the traffic rule does not let through."""
        if self.mode.is_legacy:
            return names.legacy_deny_firewall(self.balancer)
        return self.l4.deny_firewall(self._namespace, self._name, family)

    def cut(self, families: Iterable[str], *, local: bool) -> Iterator[str]:
        """Names in use whose hash may have been cut off, so that another Service's may be the same."""
        for family in families if self.mode.has_balancer and not self.mode.is_legacy else ():
            if family == "IPv6":
                yield self.firewall(family)
                yield from (self.rule(family, protocol) for protocol in PROTOCOLS if self.mode.is_internal)
            if local:
                yield self.check_firewall(family)

    def every(self) -> Iterator[str]:
        """All names that an object of this Service may have in this mode."""
        yield self.backend
        if self.mode is Mode.INTERNAL_GROUPS:
            yield self.balancer
        for family in FAMILIES:
            yield self.firewall(family)
            yield self.check_firewall(family)
            yield self.deny_firewall(family)
            for protocol in PROTOCOLS:
                yield self.rule(family, protocol)
                yield self.address(family, protocol)

    @property
    def description(self) -> str:
        """What the Service's objects say of it."""
        if self.mode.is_legacy:
            return names.legacy_description(self.identity.key)
        return names.l4_description(self.identity.key)

    @property
    def _namespace(self) -> str:
        return self.identity.namespace

    @property
    def _name(self) -> str:
        return self.identity.name


def names_of(place: Place, identity: Identity) -> frozenset[str]:
    """Every name under which something of this Service may be found, whatever its mode was."""
    return frozenset(name for mode in Mode for name in place.labels(identity, mode).every())
