"""Who sits on which frontend: addresses, sharing, and clashes between Services of one balancer. Pure.

The first half of modelling a balancer. Each family of each Service gets a `Seat`: the frontend's name and the address
behind it. Services that cannot be seated are rejected with all their problems, and their neighbours go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lbctl.driver import World
from lbctl.model.problem import Problem
from lbctl.model.resource import Identity, Observed, Scope
from lbctl_azure import names
from lbctl_azure.account import PUBLIC_IP, Account, element_key
from lbctl_azure.elements import FRONTEND, RULE
from lbctl_azure.facts import Facts, PublicAddress, Subnet
from lbctl_azure.tags import VALUE_LIMIT, is_of_cluster, tags_of
from lbctl_azure.wish import Front, Wish

MOST_RULES = 1500
MOST_FRONTENDS = 600


@dataclass(frozen=True, slots=True, order=True)
class Missing(Problem):
    """A problem that can go away without a change of the Service: what it names may still be made."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One family of one Service on one frontend.

    `public_ip` is the id of the public address, empty for an internal frontend. `makes_address` says that the address
    is ours to write; `guest` that the Service uses an address that it does not own alone.
    """

    wish: Wish
    front: Front
    frontend: str
    public_ip: str = ""
    subnet: str = ""
    private_ip: str = ""
    makes_address: bool = False
    guest: bool = False
    foreign_frontend: bool = False


@dataclass
class Seating:
    """The seats of one balancer, and who got none."""

    seats: list[Seat] = field(default_factory=list)
    rejected: dict[Identity, list[Problem]] = field(default_factory=lambda: defaultdict(list))

    def served(self) -> list[Seat]:
        """Seats of Services without any problem."""
        return [seat for seat in self.seats if seat.wish.identity not in self.rejected]


class Seats:
    """Finds the seats of one balancer."""

    def __init__(self, scope: Scope, world: World, facts: Facts, account: Account) -> None:
        self._account = account
        self._facts = facts
        self._world = world
        self._observed = world.observed.get(scope, Observed(scope))
        self._known = [*_observed_addresses(self._observed), *facts.addresses]
        self._owners = self._observed.owners()
        self._rule_owners = {owner for seen in self._observed.of_kind(RULE) for owner in seen.resource.owners}
        self._taken = {place: name for name, place in _places(self._observed)}

    def of(self, wishes: Iterable[Wish]) -> Seating:
        """Seats for these Services: owners of an address first, then its guests, old ones before new ones."""
        seating = Seating()
        fronts = [(wish, front) for wish in wishes for front in wish.fronts]
        for wish, front in sorted(fronts, key=lambda pair: self._rank(*pair)):
            place = self._internal if wish.internal else self._public
            found = place(wish, front)
            if isinstance(found, Problem):
                seating.rejected[wish.identity].append(found)
            else:
                seating.seats.append(found)
        for check in (self._clashes, self._overflows, self._crowded_tags, self._lonely_ipv6):
            for identity, problem in check(seating.served()):
                seating.rejected[identity].append(problem)
        return seating

    def _rank(self, wish: Wish, front: Front) -> tuple[bool, bool, Identity]:
        return (front.is_pinned, wish.identity not in self._owners, wish.identity)

    # -- public addresses -------------------------------------------------------------------------------------------

    def _public(self, wish: Wish, front: Front) -> Seat | Problem:
        own = self._own_address(wish, front)
        found = self._pinned(wish, front) if self._is_guest(front) else self._find_id(own)
        if isinstance(found, Problem):
            return found
        if found is not None and (problem := _unfit(found, front)):
            return problem
        public_ip = found.id if found is not None else own
        name, foreign = self._frontend(public_ip.lower(), wish, front)
        return Seat(
            wish,
            front,
            name,
            public_ip=public_ip,
            makes_address=found is None or is_of_cluster(found.tags, self._account.cluster),
            guest=public_ip.lower() != own.lower(),
            foreign_frontend=foreign,
        )

    def _is_guest(self, front: Front) -> bool:
        """A name wins over a prefix, a prefix over an address (azure_standard.go: determinePublicIPName)."""
        return bool(front.public_ip or (front.address and not front.prefix_id))

    def _own_address(self, wish: Wish, front: Front) -> str:
        name = names.public_ip_name(
            self._account.cluster,
            wish.uid_name,
            prefix_id=front.prefix_id,
            family=front.family,
            dual_stack=wish.dual_stack,
        )
        return self._account.address_group(wish.address_group).network("publicIPAddresses", name)

    def _pinned(self, wish: Wish, front: Front) -> PublicAddress | Problem:
        group = self._account.address_group(wish.address_group)
        prefix = group.network("publicIPAddresses").lower() + "/"
        for known in self._known:
            if known.id.lower().startswith(prefix) and _is_it(known, front):
                return known
        text = f"no public address {front.public_ip or front.address} exists in group {group.name}"
        return Missing(f"the {front.family} address", text, "create it, or name one that exists")

    def _find_id(self, resource_id: str) -> PublicAddress | None:
        return next((known for known in self._known if known.id.lower() == resource_id.lower()), None)

    # -- private addresses ------------------------------------------------------------------------------------------

    def _internal(self, wish: Wish, front: Front) -> Seat | Problem:
        wanted = wish.subnet or self._account.config.subnet_name
        subnet = self._facts.subnet(wanted)
        if subnet is None:
            network = self._account.config.vnet_name
            return Missing("the internal subnet", f"network {network} has no subnet {wanted}", "name one that it has")
        if front.address and subnet.ranges and not subnet.holds(front.address):
            return Problem(f"the {front.family} address", f"{front.address} is not in subnet {wanted}")
        own = self._own_frontend(wish, front)
        name, _ = self._frontend(front.address or own.lower(), wish, front)
        keeps = front.address if name == own or not front.address else ""
        address = keeps or ("" if self._exists(name) else self._former_address(wish, front, subnet))
        return Seat(
            wish,
            front,
            name,
            subnet=subnet.id or self._account.config.subnet_id(wanted),
            private_ip=address,
            guest=name.lower() != own.lower(),
        )

    def _former_address(self, wish: Wish, front: Front, subnet: Subnet) -> str:
        """The address that the Service has published, if it may keep it: nothing else may hold it by then."""
        service = self._world.services.get(wish.identity)
        ingress = service.status.load_balancer.ingress if service is not None else ()
        for entry in ingress:
            if entry.ip and (":" in entry.ip) == (front.family == "IPv6") and subnet.holds(entry.ip):
                return "" if entry.ip in self._taken and not self._is_mine(wish, entry.ip) else entry.ip
        return ""

    def _is_mine(self, wish: Wish, address: str) -> bool:
        seen = self._observed.get(element_key(FRONTEND, self._taken[address]))
        # While the old frontend still holds the address, the new one would collide with it in the same document.
        return seen is not None and seen.resource.owners == frozenset({wish.identity})

    # -- frontends --------------------------------------------------------------------------------------------------

    def _own_frontend(self, wish: Wish, front: Front) -> str:
        return names.frontend_name(wish.uid_name, subnet=wish.subnet, family=front.family, dual_stack=wish.dual_stack)

    def _frontend(self, place: str, wish: Wish, front: Front) -> tuple[str, bool]:
        """The frontend at this place: the one that is there, else the one that the first comer brings."""
        own = self._own_frontend(wish, front)
        name = self._taken.setdefault(place, own)
        seen = self._observed.get(element_key(FRONTEND, name))
        if seen is not None and seen.ours and not front.is_pinned and seen.resource.owners == {wish.identity}:
            # The Service's own frontend follows the Service, whatever it was called before.
            self._taken[place] = name = own
        return name, seen is not None and not seen.ours

    def _exists(self, name: str) -> bool:
        return self._observed.get(element_key(FRONTEND, name)) is not None

    # -- checks -----------------------------------------------------------------------------------------------------

    def _clashes(self, seats: list[Seat]) -> Iterator[tuple[Identity, Problem]]:
        by_frontend: dict[str, list[Seat]] = defaultdict(list)
        for seat in seats:
            by_frontend[seat.frontend.lower()].append(seat)
        for sharing in by_frontend.values():
            if len(sharing) > 1:
                yield from self._clashes_of(sorted(sharing, key=self._seniority))

    def _seniority(self, seat: Seat) -> tuple[bool, bool, Identity]:
        identity = seat.wish.identity
        return (identity not in self._rule_owners, seat.guest, identity)

    def _clashes_of(self, sharing: list[Seat]) -> Iterator[tuple[Identity, Problem]]:
        holders: dict[tuple[str, int], Identity] = {}
        for seat in sharing:
            ports = [(f.port.protocol, f.port.port) for f in seat.wish.forwards]
            everything = any(forward.everything for forward in seat.wish.forwards)
            other = next((holders[port] for port in ports if port in holders), None)
            if other is None and holders and (everything or ("*", 0) in holders):
                other = next(iter(holders.values()))
            if other is not None:
                text = f"shares its address with {other}, which already serves one of its ports"
                yield seat.wish.identity, Problem("spec.ports", text, "use another port or another address")
                continue
            holders.update(dict.fromkeys([*ports, *([("*", 0)] if everything else [])], seat.wish.identity))

    def _overflows(self, seats: list[Seat]) -> Iterator[tuple[Identity, Problem]]:
        limit = self._account.config.max_rules or MOST_RULES
        rules, frontends = 0, set[str]()
        for seat in sorted(seats, key=lambda seat: self._rank(seat.wish, seat.front)):
            rules += len(seat.wish.forwards)
            frontends.add(seat.frontend.lower())
            if rules > limit:
                rules -= len(seat.wish.forwards)
                yield seat.wish.identity, Problem("spec.ports", f"the load balancer is full: {limit} rules")
            elif len(frontends) > MOST_FRONTENDS:
                frontends.discard(seat.frontend.lower())
                text = f"the load balancer is full: {MOST_FRONTENDS} frontends"
                yield seat.wish.identity, Problem("spec.type", text)

    def _crowded_tags(self, seats: list[Seat]) -> Iterator[tuple[Identity, Problem]]:
        lengths: dict[str, int] = defaultdict(lambda: -1)
        shared = (seat for seat in seats if seat.makes_address)
        for seat in sorted(shared, key=self._seniority):
            place = seat.public_ip.lower()
            length = lengths[place] + 1 + len(seat.wish.identity.key)
            if length > VALUE_LIMIT:
                name = seat.public_ip.rpartition("/")[2]
                text = f"too many Services share {name}: its tag holds {VALUE_LIMIT} characters"
                yield seat.wish.identity, Problem("the public address", text, "use another address")
                continue
            lengths[place] = length

    def _lonely_ipv6(self, seats: list[Seat]) -> Iterator[tuple[Identity, Problem]]:
        if any(seat.front.family == "IPv4" for seat in seats) or self._has_ipv4():
            return
        for seat in seats:
            text = "a load balancer needs an IPv4 frontend before it can have one of IPv6, and has none"
            yield seat.wish.identity, Problem("spec.ipFamilies", text, "add a Service with IPv4")

    def _has_ipv4(self) -> bool:
        """An IPv4 frontend that stays: somebody else's, or one of a Service that is not going away."""
        return any(
            seen.resource.fields.get("version") != "IPv6"
            and (not seen.ours or not self._is_leaving(seen.resource.owners))
            for seen in self._observed.of_kind(FRONTEND)
        )

    def _is_leaving(self, owners: frozenset[Identity]) -> bool:
        return owners.isdisjoint(self._world.intents)


def _observed_addresses(observed: Observed) -> Iterator[PublicAddress]:
    for seen in observed.of_kind(PUBLIC_IP):
        fields = seen.resource.fields
        yield PublicAddress(
            id=seen.outputs["id"],
            address=seen.outputs.get("address", ""),
            version=str(fields.get("version")),
            tags=tags_of(fields),
            attached_to=seen.outputs.get("attached", ""),
        )


def _places(observed: Observed) -> Iterator[tuple[str, str]]:
    """Frontends with what they stand on: the id of a public address, or a private address."""
    for seen in observed.of_kind(FRONTEND):
        public_ip = seen.resource.fields.get("public_ip")
        place = str(public_ip).lower() if public_ip else seen.outputs.get("address", "")
        if place:
            yield seen.resource.name, place


def _is_it(known: PublicAddress, front: Front) -> bool:
    if front.public_ip:
        return known.name.lower() == front.public_ip.lower()
    return known.address == front.address


def _unfit(found: PublicAddress, front: Front) -> Problem | None:
    path = f"the {front.family} address"
    if found.sku.lower() != "standard":
        return Problem(path, f"public address {found.name} has SKU {found.sku}", "use one of SKU Standard")
    if found.version != front.family:
        return Problem(path, f"public address {found.name} is {found.version}") if front.is_pinned else None
    return None
