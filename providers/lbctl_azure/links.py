"""Private link services as resources. Pure.

One in front of the Service's IPv4 frontend. It is made after the frontend and removed before it; without the
annotation an existing one stays until its frontend goes (cloud-provider-azure, documentation of private link).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from lbctl.model.resource import Resource
from lbctl_azure import names
from lbctl_azure.account import Account, element_key
from lbctl_azure.elements import FRONTEND
from lbctl_azure.facts import Facts
from lbctl_azure.seats import Seat
from lbctl_azure.wish import PrivateLink

LINK = "private-link"


def link_resources(seat: Seat, facts: Facts, account: Account) -> Iterator[Resource]:
    """The private link service of this seat, if it has one."""
    link = seat.wish.private_link
    if link is None or seat.front.family != "IPv4" or seat.guest:
        return
    name = link.name or names.private_link_name(seat.frontend)
    yield Resource(
        element_key(LINK, name),
        name,
        _fields(seat, link, account),
        frozenset({seat.wish.identity}),
        frozenset({element_key(FRONTEND, seat.frontend)}),
    )


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
