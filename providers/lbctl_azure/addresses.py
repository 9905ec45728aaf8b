"""Which addresses a Service has, read from what was observed of its balancer. Pure.

Used for the published status and for the destinations of security rules: both must say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lbctl.driver import World
from lbctl.model.resource import Identity, Key, Observed, Seen, State
from lbctl_azure import names
from lbctl_azure.account import Account, public_ip_key
from lbctl_azure.elements import FRONTEND
from lbctl_azure.placement import scope_of
from lbctl_azure.wish import Front, Wish


def addresses_of(wish: Wish, world: World, account: Account) -> Mapping[str, frozenset[str]]:
    """Addresses by family: of the frontends that the Service's rules use, and of its own public addresses.

    A public address counts as soon as it exists, so that rules can be written while the balancer still is.
    """
    observed = world.observed.get(scope_of(wish, world, account))
    if observed is None:
        return {}
    return {front.family: frozenset(_addresses(wish, front, observed, account)) for front in wish.fronts}


def _addresses(wish: Wish, front: Front, observed: Observed, account: Account) -> Iterator[str]:
    for frontend in frontends_of(wish.identity, observed):
        if (frontend.resource.fields.get("version") or "IPv4") == front.family:
            yield from filter(None, [address_of(frontend, observed)])
    if not wish.internal and not front.is_pinned:
        own = observed.get(_own_key(wish, front, account))
        if own is not None and own.state is State.ACTIVE and own.outputs.get("address"):
            yield own.outputs["address"]


def _own_key(wish: Wish, front: Front, account: Account) -> Key:
    name = names.public_ip_name(
        account.cluster, wish.uid_name, prefix_id=front.prefix_id, family=front.family, dual_stack=wish.dual_stack
    )
    return public_ip_key(account.address_group(wish.address_group).network("publicIPAddresses", name))


def frontends_of(owner: Identity, observed: Observed) -> Iterator[Seen]:
    """The frontends that a Service's rules use, foreign ones included."""
    return (seen for seen in observed.of_kind(FRONTEND) if owner in seen.resource.owners)


def address_of(frontend: Seen, observed: Observed) -> str:
    """The address behind a frontend; empty while it has none."""
    public_ip = frontend.resource.fields.get("public_ip")
    if not public_ip:
        return frontend.outputs.get("address", "")
    seen = observed.get(public_ip_key(str(public_ip)))
    return seen.outputs.get("address", "") if seen is not None else ""
