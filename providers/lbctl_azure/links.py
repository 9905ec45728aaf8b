"""Private link services as resources. Pure.

One in front of the Service's IPv4 frontend. It is made after the frontend and removed before it; without the
annotation an existing one stays as it is until its frontend goes, because others may be connected to it
(cloud-provider-azure, documentation of private link).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from lbctl.model.problem import Problem
from lbctl.model.resource import Identity, Observed, Resource, Seen
from lbctl_azure import names
from lbctl_azure.account import Account, element_key
from lbctl_azure.elements import FRONTEND
from lbctl_azure.seats import Seat
from lbctl_azure.wish import PrivateLink

LINK = "private-link"


def link_resources(seat: Seat, observed: Observed, account: Account) -> Iterator[Resource]:
    """The private link service of this seat, if it has one: the one asked for, or one that it had before."""
    link = seat.wish.private_link
    if seat.front.family != "IPv4" or seat.guest:
        return
    if link is None:
        yield from (seen.resource for seen in _links_of(seat, observed))
        return
    name = _name(seat, link)
    yield Resource(
        element_key(LINK, name),
        name,
        _fields(seat, link, account),
        frozenset({seat.wish.identity}),
        frozenset({element_key(FRONTEND, seat.frontend)}),
    )


def link_problems(seats: Iterable[Seat], observed: Observed, account: Account) -> Iterator[tuple[Identity, Problem]]:
    """Services that name a private link service which another one has, or that would rename or move their own."""
    holders: dict[str, Identity] = {}
    for seat in seats:
        link = seat.wish.private_link
        if link is None or seat.front.family != "IPv4":
            continue
        name = _name(seat, link)
        seen = observed.get(element_key(LINK, name))
        others = sorted(seen.resource.owners - {seat.wish.identity}) if seen is not None else []
        holder = others[0] if others else holders.setdefault(name.lower(), seat.wish.identity)
        if holder != seat.wish.identity:
            text = f"private link service {name} belongs to {holder}"
            yield seat.wish.identity, Problem("azure-pls-name", text, "name another one")
        yield from ((seat.wish.identity, problem) for problem in _moves(seat, link, observed, account))


def _moves(seat: Seat, link: PrivateLink, observed: Observed, account: Account) -> Iterator[Problem]:
    """Name and group are fixed at birth: whoever is connected would be cut off."""
    group = str(_fields(seat, link, account)["group"])
    for seen in _links_of(seat, observed):
        present = str(seen.resource.fields["group"])
        if seen.resource.name.lower() != _name(seat, link).lower():
            text = f"private link service {seen.resource.name} cannot be renamed"
            yield Problem("azure-pls-name", text, f"keep {seen.resource.name}, or delete it by hand first")
        elif present.lower() != group.lower():
            text = f"private link service {seen.resource.name} cannot be moved to another resource group"
            yield Problem("azure-pls-resource-group", text, f"keep {present}, or delete it by hand first")


def _links_of(seat: Seat, observed: Observed) -> Iterator[Seen]:
    """What the seat's Service has in front of its frontend."""
    for seen in observed.of_kind(LINK):
        on_it = str(seen.resource.fields["frontend"]).lower() == seat.frontend.lower()
        if seen.ours and on_it and seen.resource.owners == {seat.wish.identity}:
            yield seen


def _name(seat: Seat, link: PrivateLink) -> str:
    return link.name or names.private_link_name(seat.frontend)


def _fields(seat: Seat, link: PrivateLink, account: Account) -> dict[str, Hashable]:
    subnet = link.subnet or seat.wish.subnet
    return {
        "frontend": seat.frontend,
        "subnet": account.config.subnet_id(subnet),
        "count": link.count,
        "addresses": link.addresses,
        "fqdns": frozenset(link.fqdns),
        "proxy_protocol": link.proxy_protocol,
        "visibility": frozenset(link.visibility),
        "auto_approval": frozenset(link.auto_approval),
        "group": link.group or account.config.private_link_group or account.config.resource_group,
        "owner": seat.wish.identity.key,
    }
