"""What modelling needs of the cloud beyond our own objects: reserved addresses, subnets, instances' tags.

Read with every snapshot and kept; asked for again only when something is named that is not known yet. Losing it costs
calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from lbctl.model.resource import nothing
from lbctl_gce.fronts import Front
from lbctl_gce.shapes import Json, read_address, same_ip, tail

REFRESH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reserved:
    """One reserved address of the region."""

    name: str
    address: str
    scheme: str
    tier: str

    @property
    def family(self) -> str:
        """`IPv4` or `IPv6`."""
        return "IPv6" if ":" in self.address else "IPv4"


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts, as they were last read.

    `tags` are network tags by instance name, None while they were never read. `subnets` are paths by name. `groups` are
    paths, by zone, of the instance groups whose names begin as the cluster's does. `fronts` are all forwarding rules of
    the region by path. `collisions` are names that another Service's objects would have too, with that Service's key.
    """

    reserved: tuple[Reserved, ...] = ()
    tags: Mapping[str, frozenset[str]] | None = None
    subnets: Mapping[str, str] = field(default_factory=nothing, hash=False)
    groups: Mapping[str, frozenset[str]] = field(default_factory=nothing, hash=False)
    fronts: Mapping[str, Front] = field(default_factory=nothing, hash=False)
    collisions: Mapping[str, str] = field(default_factory=nothing, hash=False)

    def named(self, name: str) -> Reserved | None:
        """The reserved address of this name."""
        return next((entry for entry in self.reserved if entry.name == name), None)

    def holding(self, address: str) -> Reserved | None:
        """The reserved address with this number, compared as a value."""
        return next((entry for entry in self.reserved if same_ip(entry.address, address)), None)


def read_reserved(bodies: Iterable[Json]) -> tuple[Reserved, ...]:
    """Reserved addresses of the API's form."""
    found = []
    for body in bodies:
        if body.get("address"):
            fields = read_address(body)
            found.append(Reserved(body["name"], str(fields["address"]), str(fields["scheme"]), str(fields["tier"])))
    return tuple(found)


def read_tags(bodies: Iterable[Json]) -> Mapping[str, frozenset[str]]:
    """Network tags of instances by name."""
    return {body["name"]: frozenset(body.get("tags", {}).get("items", ())) for body in bodies}


def read_subnets(bodies: Iterable[Json]) -> Mapping[str, str]:
    """Paths of subnets by name."""
    return {body["name"]: tail(body["selfLink"]) for body in bodies}


def read_groups(bodies: Iterable[Json], is_group: Callable[[str], bool]) -> Mapping[str, frozenset[str]]:
    """Paths, by zone, of the instance groups of which a name says that they are the cluster's."""
    found: dict[str, frozenset[str]] = {}
    for body in bodies:
        if is_group(body["name"]):
            path = tail(body["selfLink"])
            zone = path.split("/")[1]
            found[zone] = found.get(zone, frozenset()) | {path}
    return found


class FactBook:
    """The facts of one account; `addresses`, `instances`, `subnets`, `groups` and `fronts` read lists.

    `is_group` tells by its name whether an instance group is the cluster's, `now` is monotonic.
    """

    def __init__(
        self,
        *,
        addresses: Callable[[], Iterable[Json]],
        instances: Callable[[], Iterable[Json]],
        subnets: Callable[[], Iterable[Json]],
        groups: Callable[[], Iterable[Json]],
        fronts: Callable[[], Mapping[str, Front]],
        is_group: Callable[[str], bool],
        now: Callable[[], float],
    ) -> None:
        self._addresses = addresses
        self._instances = instances
        self._subnets = subnets
        self._groups = groups
        self._fronts = fronts
        self._is_group = is_group
        self._now = now
        self._read_at: dict[str, float] = {}
        self.facts = Facts()

    def take_addresses(self, bodies: Iterable[Json]) -> None:
        """Keep a list that was read for another purpose."""
        self.facts = replace(self.facts, reserved=read_reserved(bodies))
        self._read_at["addresses"] = self._now()

    def take_groups(self, bodies: Iterable[Json]) -> None:
        """Keep a list that was read for another purpose."""
        self.facts = replace(self.facts, groups=read_groups(bodies, self._is_group))
        self._read_at["groups"] = self._now()

    def take_fronts(self, fronts: Mapping[str, Front]) -> None:
        """Keep what was read for another purpose."""
        self.facts = replace(self.facts, fronts=fronts)
        self._read_at["fronts"] = self._now()

    def with_addresses(self, *, wanted: Iterable[str], names: Iterable[str]) -> Facts:
        """Facts in which these addresses and names are known if they exist; at most one list call."""
        missing = [a for a in wanted if self.facts.holding(a) is None] + [n for n in names if not self.facts.named(n)]
        if missing and self._is_old("addresses"):
            self.take_addresses(self._addresses())
        return self.facts

    def with_tags(self, instances: Iterable[str]) -> Facts:
        """Facts in which these instances' tags are known; at most one list call per 500 instances."""
        known = self.facts.tags
        if known is None or (any(name not in known for name in instances) and self._is_old("instances")):
            self.facts = replace(self.facts, tags=read_tags(self._instances()))
            self._read_at["instances"] = self._now()
        return self.facts

    def with_subnet(self, name: str) -> Facts:
        """Facts in which the subnet is known if it exists; at most one list call."""
        if name not in self.facts.subnets and self._is_old("subnets"):
            self.facts = replace(self.facts, subnets=read_subnets(self._subnets()))
            self._read_at["subnets"] = self._now()
        return self.facts

    def with_groups(self, zones: Iterable[str]) -> Facts:
        """Facts in which the groups of these zones are known if they exist; at most one list call."""
        if any(zone not in self.facts.groups for zone in zones) and self._is_old("groups"):
            self.take_groups(self._groups())
        return self.facts

    def with_fronts(self, paths: Iterable[str]) -> Facts:
        """Facts in which these forwarding rules are known if they exist; at most two list calls."""
        if any(path not in self.facts.fronts for path in paths) and self._is_old("fronts"):
            self.take_fronts(self._fronts())
        return self.facts

    def _is_old(self, what: str) -> bool:
        read_at = self._read_at.get(what)
        return read_at is None or self._now() - read_at >= REFRESH_SECONDS
