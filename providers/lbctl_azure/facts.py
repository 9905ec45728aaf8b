"""What modelling needs of the cloud beyond our own objects: values here, cached reads in `FactReader`.

Subnets, zones of the region and the addresses that Services pin are read when a Service needs them and kept for ten
minutes; a miss is asked again after a minute, so that what a user adds is found.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lbctl.clock import Clock
from lbctl.errors import MissingFact
from lbctl.model.node import NodeSet
from lbctl.model.resource import Observed, nothing
from lbctl_azure.account import Account
from lbctl_azure.elements import FRONTEND
from lbctl_azure.ids import last_segment
from lbctl_azure.membership import Machines, is_uniform, own_interfaces, read_scale_set
from lbctl_azure.nodes import machine_of
from lbctl_azure.wish import Wish

KEPT_SECONDS = 600.0
MISS_SECONDS = 60.0
ZONES_SECONDS = 1800.0

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet: its id and ranges."""

    id: str
    ranges: tuple[str, ...] = ()
    link_policies: str = ""

    def holds(self, address: str) -> bool:
        """True when the address lies in the subnet."""
        value = ipaddress.ip_address(address)
        return any(value in ipaddress.ip_network(cidr) for cidr in self.ranges)


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """A public address that exists: whose it is and what it is attached to."""

    id: str
    address: str = ""
    version: str = "IPv4"
    sku: str = "Standard"
    tags: Mapping[str, str] = field(default_factory=nothing, hash=False)
    attached_to: str = ""
    state: str = "Succeeded"

    @property
    def name(self) -> str:
        """Its name."""
        return last_segment(self.id)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read; a subnet that does not exist maps to None."""

    zones: tuple[str, ...] = ()
    subnets: Mapping[str, Subnet | None] = field(default_factory=nothing, hash=False)
    addresses: tuple[PublicAddress, ...] = ()

    def subnet(self, name: str) -> Subnet | None:
        """The subnet of this name; None when there is none. One that was not read is taken to be there."""
        return self.subnets.get(name.lower(), Subnet(""))


def public_address(document: Document) -> PublicAddress:
    """The address of an ARM document."""
    properties = document.get("properties") or {}
    return PublicAddress(
        id=document["id"],
        address=properties.get("ipAddress") or "",
        version=properties.get("publicIPAddressVersion") or "IPv4",
        sku=(document.get("sku") or {}).get("name") or "Basic",
        tags=document.get("tags") or {},
        attached_to=(properties.get("ipConfiguration") or {}).get("id") or "",
        state=properties.get("provisioningState") or "Succeeded",
    )


def subnet(document: Document) -> Subnet:
    """The subnet of an ARM document."""
    properties = document.get("properties") or {}
    ranges = properties.get("addressPrefixes") or [properties.get("addressPrefix")]
    policies = properties.get("privateLinkServiceNetworkPolicies") or ""
    return Subnet(document["id"], tuple(cidr for cidr in ranges if cidr), policies)


def zones_of(provider: Document, location: str) -> tuple[str, ...]:
    """The zones in which the region has virtual machines; none for regions without zones."""
    for kind in provider.get("resourceTypes") or []:
        if kind.get("resourceType", "").lower() == "virtualmachines":
            for mapping in kind.get("zoneMappings") or []:
                if _plain(mapping.get("location", "")) == _plain(location):
                    return tuple(sorted(mapping.get("zones") or []))
    return ()


def _plain(location: str) -> str:
    return location.replace(" ", "").lower()


class Reads(Protocol):
    """The reads that facts are made of."""

    def find(self, path: str) -> Document | None:
        """One object; None when it does not exist."""

    def list(self, path: str) -> list[Document]:
        """All objects of a collection."""

    def provider(self, namespace: str) -> Document:
        """What a resource provider says about itself."""


class FactReader:
    """Facts of one account, kept with an age. Losing them costs only calls."""

    def __init__(self, account: Account, reads: Reads, clock: Clock) -> None:
        self._account = account
        self._reads = reads
        self._clock = clock
        self._kept: dict[str, tuple[float, Any]] = {}
        self._sought: dict[str, float] = {}

    def for_wishes(self, wishes: Iterable[Wish], observed: Observed) -> Facts:
        """Everything that these Services need; no call at all when they all have what they ask for, or all is fresh."""
        every = tuple(wishes)
        frontends = Counter(owner for seen in observed.of_kind(FRONTEND) for owner in seen.resource.owners)
        new = {wish.identity for wish in every if frontends[wish.identity] < len(wish.fronts)}
        named = [w for w in every if w.identity in new or any(front.address for front in w.fronts)]
        return Facts(
            zones=self._zones() if new else (),
            subnets={
                name.lower(): self.subnet(name) for name in sorted({self._subnet_name(w) for w in named if w.internal})
            },
            addresses=self._pinned(every),
        )

    def machines(self, nodes: NodeSet, known: Machines) -> Machines:
        """What is known of the nodes' machines; two lists when a node has a machine that nobody has looked for yet."""
        now = self._clock.monotonic()
        wanted = [machine for node in nodes if (machine := machine_of(node)) is not None]
        missing = [
            m.id for m in wanted if not known.knows(m) and now - self._sought.get(m.id, -KEPT_SECONDS) > MISS_SECONDS
        ]
        if missing:
            self._sought.update(dict.fromkeys(missing, now))
            self._kept["machines"] = (now, read_machines(self._reads, self._account))
        found: Machines = self._kept.get("machines", (now, Machines()))[1]
        return Machines({**found.scale_sets, **known.scale_sets}, {**found.interfaces, **known.interfaces})

    def _subnet_name(self, wish: Wish) -> str:
        return wish.subnet or self._account.config.subnet_name

    def subnet(self, name: str) -> Subnet | None:
        """A subnet of the cluster's network."""
        path = self._account.config.subnet_id(name)
        document = self._cached(path, lambda: self._reads.find(path), KEPT_SECONDS)
        return subnet(document) if document else None

    def _zones(self) -> tuple[str, ...]:
        config = self._account.config
        if config.extended_location or not config.location:
            return ()
        provider = self._cached("zones", lambda: self._reads.provider("Microsoft.Compute"), ZONES_SECONDS)
        return zones_of(provider, config.location)

    def _pinned(self, wishes: tuple[Wish, ...]) -> tuple[PublicAddress, ...]:
        groups: dict[str, list[Wish]] = {}
        for wish in wishes:
            if not wish.internal and any(front.is_pinned for front in wish.fronts):
                groups.setdefault(wish.address_group.lower(), []).append(wish)
        return tuple(address for group, pinned in groups.items() for address in self._addresses(group, pinned))

    def _addresses(self, group: str, pinned: list[Wish]) -> list[PublicAddress]:
        path = self._account.address_group(group).network("publicIPAddresses")
        found: list[PublicAddress] = self._cached(path, lambda: self._read_addresses(path), KEPT_SECONDS)
        if not all(_is_there(wish, found) for wish in pinned):
            found = self._cached(path, lambda: self._read_addresses(path), MISS_SECONDS)
        return found

    def _read_addresses(self, path: str) -> list[PublicAddress]:
        try:
            return [public_address(document) for document in self._reads.list(path)]
        except MissingFact:
            return []  # The group is not there: who named it is told that the address is not.

    def _cached(self, key: str, read: Callable[[], Any], seconds: float) -> Any:  # noqa: ANN401 - whatever `read` gives
        now = self._clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < (seconds if kept[1] else MISS_SECONDS):
            return kept[1]
        value = read()
        self._kept[key] = (now, value)
        return value


def _is_there(wish: Wish, addresses: list[PublicAddress]) -> bool:
    known = {address.name.lower() for address in addresses} | {address.address for address in addresses}
    return all((front.public_ip.lower() or front.address) in known for front in wish.fronts if front.is_pinned)


def read_machines(reads: Reads, account: Account) -> Machines:
    """Uniform scale sets and interfaces of the cluster's group, in two lists."""
    cluster = account.config.machines_group
    sets = [read_scale_set(d, account) for d in reads.list(cluster.compute("virtualMachineScaleSets")) if is_uniform(d)]
    return Machines({seen.key: seen for seen in sets}, own_interfaces(reads.list(cluster.network("networkInterfaces"))))
