"""Forwarding rules: address, ports, protocol and names of a Service's way in. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

import lbctl_gce.annotations as keys
from lbctl.model.problem import Problem
from lbctl.model.resource import Key, Resource
from lbctl_gce import ports
from lbctl_gce.facts import Reserved
from lbctl_gce.kinds import ADDRESS, RULE
from lbctl_gce.modes import Mode
from lbctl_gce.parse import option
from lbctl_gce.shapes import same_ip, tail
from lbctl_gce.wish import Wish

MIXED = "L3_DEFAULT"


def frontends_of(wish: Wish, family: str) -> tuple[Frontend, ...]:
    """The forwarding rules of one family: one, whatever the protocols, but for two that are there already.

    ingress-gce serves an external Service of several protocols by a rule for each (pkg/forwardingrules,
    netlb_mixed_manager.go) or, with a flag, by one for all: either is kept, and a new balancer gets one.
    """
    whole = Frontend(wish, family)
    if whole.protocol != MIXED or wish.mode.is_internal or family == "IPv6":
        return (whole,)
    split = tuple(Frontend(wish, family, protocol) for protocol in sorted(wish.intent.protocols))
    return split if any(frontend.is_there for frontend in split) else (whole,)


@dataclass(frozen=True, slots=True)
class Frontend:
    """One forwarding rule of one Service; `alone` is the protocol of one that has a fellow for the other protocol."""

    wish: Wish
    family: str
    alone: str = ""

    @property
    def mode(self) -> Mode:
        """Kind of the balancer."""
        return self.wish.mode

    @property
    def protocol(self) -> str:
        """The one protocol, or the word for all."""
        protocols = sorted(self.wish.intent.protocols)
        return self.alone or (protocols[0] if len(protocols) == 1 else MIXED)

    @property
    def key(self) -> Key:
        """Key of the forwarding rule."""
        if self.alone:
            return Key(RULE, self.wish.labels.fellow_rule(self.alone))
        return Key(RULE, self.wish.labels.rule(self.family, self.protocol))

    @property
    def is_there(self) -> bool:
        """True when the cloud has this rule; an internal one of the same name is another."""
        seen = self.wish.seen.get(self.key)
        return seen is not None and self.wish.has(seen) and seen.resource.fields["scheme"] == self.mode.scheme

    @property
    def tier(self) -> str:
        """Network tier in the API's word."""
        return "PREMIUM" if self.mode.is_internal else str(option(self.wish.intent, "tier")).upper()

    @property
    def subnet(self) -> str | None:
        """Path of the subnet that the address is from; None for external IPv4."""
        _, named = self._named_subnet()
        if self._is_subnetless:
            return None
        return self.wish.facts.subnets.get(named, named) if named else self.wish.place.config.subnetwork

    @property
    def collection(self) -> str | None:
        """Path of the prefix that an external IPv6 address is from; None for the subnet's own, and for others."""
        if self.mode.is_internal or self.mode.is_legacy or self.family == "IPv4":
            return None
        return tail(str(option(self.wish.intent, "collection"))) or None

    @property
    def _is_subnetless(self) -> bool:
        return not self.mode.is_internal and (self.family == "IPv4" or self.collection is not None)

    def _named_subnet(self) -> tuple[str, str]:
        """The annotation that counts and its subnet; the newer key wins, which legacy balancers do not know."""
        newer = "" if self.mode.is_legacy else option(self.wish.intent, "subnet")
        older = option(self.wish.intent, "internal_subnet") if self.mode.is_internal else ""
        return (keys.SUBNET, newer) if newer else (keys.INTERNAL_SUBNET, older)

    def problems(self) -> Iterator[Problem]:
        """What facts say against the wish."""
        key, named = self._named_subnet()
        if named and not self._is_subnetless and named not in self.wish.facts.subnets:
            hint = "name one of the region"
            yield Problem(f"metadata.annotations[{key}]", f"subnetwork {named} can't be found", hint)
        for name in self._names():
            if self.wish.facts.named(name) is None:
                path = f"metadata.annotations[{keys.ADDRESSES}]"
                yield Problem(path, f"there is no reserved address {name}", "reserve it in the balancer's region")
        yield from self._requested_problems()

    def address(self) -> str | None:
        """The address to have; None for whichever the cloud gives.

        Order: addresses that the Service names, the one held during a recreation, the present one while scheme, tier
        and subnet stay (cloud-provider-gcp, loadBalancerIP before the forwarding rule's).
        """
        chosen = self._requested()
        if chosen is not None:
            return chosen.address if isinstance(chosen, Reserved) else chosen
        return self._held() or self._present()

    def resource(self, backend: Hashable, needs: frozenset[Key]) -> Resource:
        """The forwarding rule."""
        address = self.address()
        reserved = self.wish.facts.holding(address) if address else None
        labels = self.wish.labels
        fields: Mapping[str, Hashable] = {
            "scheme": self.mode.scheme,
            "protocol": self.protocol,
            "ports": self.ports(),
            "address": address,
            "tier": self.tier,
            "backend": backend,
            "global_access": self.mode.is_internal and option(self.wish.intent, "global_access") == "true",
            "subnet": self.subnet,
            "collection": self.collection,
            "family": self.family,
            "network": self.wish.place.config.network if self.mode.is_internal else None,
            "static": reserved is not None and reserved.name != labels.address(self.family, self.protocol),
            "description": labels.description,
        }
        return Resource(self.key, self.key.id, fields, self.wish.owners, needs)

    def ports(self) -> str:
        """Ports in the form that the mode and their number allow."""
        numbers = {port.port for port in self.wish.intent.ports if self.alone in ("", port.protocol)}
        if self.protocol == MIXED:
            return ports.ALL_PORTS
        if self.mode.is_internal:
            return ports.discrete(numbers) if len(numbers) <= ports.MOST_DISCRETE else ports.ALL_PORTS
        single = self.alone or (self.wish.place.config.settings.discrete_ports and not self.mode.is_legacy)
        return ports.discrete(numbers) if single and len(numbers) <= ports.MOST_DISCRETE else ports.span(numbers)

    def _names(self) -> tuple[str, ...]:
        return () if self.mode.is_legacy else tuple(option(self.wish.intent, "addresses")[:2])

    def _requested(self) -> Reserved | str | None:
        for name in self._names():
            found = self.wish.facts.named(name)
            if found is not None and found.family == self.family:
                return found
        wanted = self.wish.intent.requested_address
        if wanted and (":" in wanted) is (self.family == "IPv6"):
            return self.wish.facts.holding(wanted) or wanted
        return None

    def _requested_problems(self) -> Iterator[Problem]:
        chosen = self._requested()
        if isinstance(chosen, str) and not self.mode.is_internal and not self._is_own(chosen):
            hint = "reserve it in the balancer's region, or leave the field out"
            yield Problem("spec.loadBalancerIP", f"{chosen} is neither reserved nor this Service's own address", hint)
        elif isinstance(chosen, Reserved) and not self.mode.is_internal and chosen.tier != self.tier:
            text = f"address {chosen.name} is of tier {chosen.tier} and the balancer of tier {self.tier}"
            yield Problem(f"metadata.annotations[{keys.TIER}]", text, "use an address of the same tier")

    def _is_own(self, address: str) -> bool:
        return any(same_ip(seen.outputs.get("address"), address) for seen in self.wish.seen.of_kind(RULE))

    def _held(self) -> str | None:
        name = self.wish.labels.address(self.family, self.protocol)
        held = self.wish.seen.get(Key(ADDRESS, name))
        if held is None or not self.wish.has(held) or held.resource.fields["tier"] != self.tier:
            return None
        return str(held.resource.fields["address"])

    def _present(self) -> str | None:
        for seen in sorted(self.wish.seen.of_kind(RULE), key=lambda seen: seen.key):
            fields = seen.resource.fields
            same = fields["family"] == self.family and fields["scheme"] == self.mode.scheme
            stays = fields["tier"] == self.tier and (fields["subnet"] == self.subnet or self.subnet is None)
            stays = stays and self.collection in (None, fields["collection"])
            if self.wish.has(seen) and same and stays:
                return str(fields["address"])
        return None
