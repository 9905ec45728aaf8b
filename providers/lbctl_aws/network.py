"""Subnets, zones and routes of the VPC as values, and which subnets a new balancer gets. Pure.

`lbctl_aws.facts` reads them, the model chooses. The choice explains itself: every subnet that was looked at is named
with the reason why it was left out, so that a missing tag is found without reading code. The orders and filters are
those of CCM (aws.go: findELBSubnets) and LBC (networking/subnet_resolver.go).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lbctl.errors import MissingFact
from lbctl.model.resource import NOTHING
from lbctl_aws import names

INTERNAL, PUBLIC = "internal", "internet-facing"
REGULAR_ZONE = "availability-zone"
LEAST_FREE_ADDRESSES = 8


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet; `public` means that its route table leads to an internet gateway."""

    id: str
    zone: str
    cidr: str
    public: bool
    free: int = 251
    zone_type: str = REGULAR_ZONE
    ipv6_cidrs: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default=NOTHING, hash=False)

    @property
    def name(self) -> str:
        """The Name tag, or empty."""
        return self.tags.get("Name", "")

    def belongs_to(self, cluster: str) -> bool:
        """True when it carries the cluster's tag."""
        return names.CCM_CLUSTER_PREFIX + cluster in self.tags

    def is_foreign(self, cluster: str) -> bool:
        """True when it is tagged for other clusters only."""
        tagged = [key for key in self.tags if key.startswith(names.CCM_CLUSTER_PREFIX)]
        return bool(tagged) and not self.belongs_to(cluster)


@dataclass(frozen=True, slots=True)
class Network:
    """The VPC: its ranges and subnets."""

    vpc_id: str
    cidrs: tuple[str, ...] = ()
    subnets: tuple[Subnet, ...] = ()

    def find(self, subnet_id: str) -> Subnet | None:
        """The subnet with this id, or None."""
        return next((subnet for subnet in self.subnets if subnet.id == subnet_id), None)

    def contains(self, address: str) -> bool:
        """True when the address lies in one of the VPC's ranges."""
        ip = ipaddress.ip_address(address)
        return any(ip in ipaddress.ip_network(cidr) for cidr in self.cidrs if (":" in cidr) == (ip.version == 6))  # noqa: PLR2004 - IPv6


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the subnets are for."""

    scheme: str
    cluster: str
    dual: bool = False

    @property
    def role(self) -> str:
        """The role tag of the scheme."""
        return names.ROLE_TAGS[self.scheme]


Rule = tuple[Callable[[Subnet, Wanted], bool], str]


def named_subnets(words: Iterable[str], network: Network) -> tuple[Subnet, ...]:
    """The subnets that an annotation names by id or Name tag, in its order.

    Raises `MissingFact` with everything that is wrong: unknown ones, and two in one zone.
    """
    found: list[Subnet] = []
    problems: list[str] = []
    for word in words:
        subnet = next((one for one in network.subnets if word in (one.id, one.name)), None)
        if subnet is None:
            problems.append(f"{word} is no subnet of {network.vpc_id}")
            continue
        rival = next((one for one in found if one.zone == subnet.zone), None)
        if rival is not None:
            problems.append(f"{rival.id} and {subnet.id} are both in {subnet.zone}")
        found.append(subnet)
    if problems:
        raise MissingFact("; ".join(problems), hint="name one existing subnet for each zone")
    return tuple(found)


def ccm_subnets(network: Network, wanted: Wanted) -> tuple[Subnet, ...]:
    """Subnets by CCM's rule, sorted by zone: role tag, then cluster tag, then lowest id decide inside a zone."""
    rules: tuple[Rule, ...] = (
        (lambda s, w: not s.is_foreign(w.cluster), "it is tagged for other clusters only"),
        (lambda s, w: s.public or w.scheme == INTERNAL, "no route of its route table leads to an internet gateway"),
        (lambda s, _: s.zone_type == REGULAR_ZONE, "its zone is no availability zone"),
    )

    def rank(subnet: Subnet) -> tuple[object, ...]:
        return (wanted.role not in subnet.tags, not subnet.belongs_to(wanted.cluster), subnet.id)

    chosen = _one_for_each_zone(_filtered(network, network.subnets, rules, wanted), rank)
    return tuple(sorted(chosen, key=lambda subnet: subnet.zone))


def lbc_subnets(network: Network, wanted: Wanted) -> tuple[Subnet, ...]:
    """Subnets by LBC's rule, sorted by id: the role's tag decides, without any tagged one what routes say."""
    rules: tuple[Rule, ...] = (
        (lambda s, w: not s.is_foreign(w.cluster), "it is tagged for other clusters only"),
        (lambda s, _: s.free >= LEAST_FREE_ADDRESSES, f"fewer than {LEAST_FREE_ADDRESSES} addresses are free"),
        (lambda s, w: bool(s.ipv6_cidrs) or not w.dual, "it has no IPv6 range, which dualstack needs"),
    )
    tagged = tuple(subnet for subnet in network.subnets if subnet.tags.get(wanted.role) in {"", "1"})
    reachable = tuple(subnet for subnet in network.subnets if subnet.public == (wanted.scheme == PUBLIC))
    fitting = _filtered(network, tagged or reachable, rules, wanted)
    chosen = _one_for_each_zone(fitting, lambda subnet: (not subnet.belongs_to(wanted.cluster), subnet.id))
    regular = [subnet for subnet in chosen if subnet.zone_type == chosen[0].zone_type]
    return tuple(sorted(regular, key=lambda subnet: subnet.id))


def _filtered(
    network: Network, candidates: tuple[Subnet, ...], rules: tuple[Rule, ...], wanted: Wanted
) -> list[Subnet]:
    fitting = [subnet for subnet in candidates if all(holds(subnet, wanted) for holds, _ in rules)]
    if not fitting:
        raise MissingFact(
            f"no subnet of {network.vpc_id} can take an {wanted.scheme} balancer: "
            + "; ".join(_reasons(network, candidates, rules, wanted)),
            hint=f"tag one subnet in each zone with {wanted.role}=1, or name them in "
            "service.beta.kubernetes.io/aws-load-balancer-subnets",
        )
    return fitting


def _reasons(
    network: Network, candidates: tuple[Subnet, ...], rules: tuple[Rule, ...], wanted: Wanted
) -> Iterable[str]:
    if not network.subnets:
        yield "the VPC has no subnets"
    for subnet in sorted(network.subnets, key=lambda one: one.id):
        if subnet not in candidates:
            kind = "public" if subnet.public else "private"
            yield f"{subnet.id} ({subnet.zone}) is {kind} and lacks the tag {wanted.role}"
            continue
        broken = [reason for holds, reason in rules if not holds(subnet, wanted)]
        yield f"{subnet.id} ({subnet.zone}): {', '.join(broken)}"


def _one_for_each_zone(subnets: Iterable[Subnet], rank: Callable[[Subnet], tuple[object, ...]]) -> list[Subnet]:
    best: dict[str, Subnet] = {}
    for subnet in sorted(subnets, key=rank):
        best.setdefault(subnet.zone, subnet)
    # A zone of the regular kind first: all subnets of a balancer must be of one kind.
    return sorted(best.values(), key=lambda subnet: (subnet.zone_type != REGULAR_ZONE, subnet.id))
