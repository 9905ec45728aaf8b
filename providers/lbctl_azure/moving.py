"""Public addresses on their way from one of our load balancers to another, which they survive. Pure.

Only with several load balancers: the address of a Service that changes its place is first let go of by the old one and
then taken by the new one, since ARM attaches an address to one frontend only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lbctl.driver import World
from lbctl.model.resource import Key, Observed, Scope, Seen
from lbctl_azure.account import BALANCER_SCOPE, PUBLIC_IP, Account
from lbctl_azure.names import base_of_balancer
from lbctl_azure.placement import scope_of
from lbctl_azure.wish import Wish


def with_arrivals(observed: Observed, world: World, account: Account) -> Observed:
    """The scope with the addresses that belong here now and that no load balancer holds any more."""
    arrivals = {seen.key: seen for seen in _of_this(observed.scope, world, account) if not seen.outputs.get("attached")}
    return replace(observed, resources={**arrivals, **observed.resources}) if arrivals else observed


def still_elsewhere(scope: Scope, world: World, account: Account) -> frozenset[Key]:
    """Addresses that belong here and that another of our load balancers still holds."""
    return frozenset(seen.key for seen in _of_this(scope, world, account) if seen.outputs.get("attached"))


def keeps_address(wish: Wish, scope: Scope) -> bool:
    """True when a Service that leaves this load balancer takes its public address along."""
    return not wish.internal and base_of_balancer(scope.name) == scope.name


def _of_this(scope: Scope, world: World, account: Account) -> Iterator[Seen]:
    """Addresses seen on other load balancers of ours, all of whose owners sit on this one."""
    if len(account.bases) == 1 or scope.kind != BALANCER_SCOPE:
        return
    for other, observed in sorted(world.observed.items()):
        if other == scope or other.kind != BALANCER_SCOPE:
            continue
        for seen in observed.of_kind(PUBLIC_IP):
            wishes = [world.intents.get(owner) for owner in seen.resource.owners]
            sitting = [wish for wish in wishes if isinstance(wish, Wish) and scope_of(wish, world, account) == scope]
            if seen.ours and wishes and len(sitting) == len(wishes):
                yield seen
