"""What can be published for a Service: its addresses, and what it still waits for. Pure."""

from __future__ import annotations

from lbctl.driver import World
from lbctl.model.objects import Ingress
from lbctl.model.resource import Identity, Observed
from lbctl.model.status import Status, published
from lbctl_azure.account import Account
from lbctl_azure.addresses import address_of, frontends_of
from lbctl_azure.elements import RULE
from lbctl_azure.placement import scope_of
from lbctl_azure.wish import Wish


def status_of(identity: Identity, world: World, account: Account) -> Status:
    """Addresses of the frontends that the Service's rules use, then the additional ones that it names."""
    wish = world.intents.get(identity)
    if not isinstance(wish, Wish):
        return Status()
    scope = scope_of(wish, world, account)
    observed = world.observed.get(scope, Observed(scope))
    found = [address_of(frontend, observed) for frontend in frontends_of(identity, observed)]
    addresses = [address for address in found if address]
    more = wish.more_addresses if addresses else ()
    ingress = tuple(Ingress(ip=ip, ip_mode="VIP") for ip in dict.fromkeys((*addresses, *more)))
    rules = sum(1 for seen in observed.of_kind(RULE) if identity in seen.resource.owners)
    waiting = ""
    if len(addresses) < len(wish.fronts) or rules < len(wish.fronts) * len(wish.forwards):
        waiting = f"load balancer {account.balancer_name(scope)} is being written"
    return Status(published(ingress, families=wish.families), waiting, wish.notices)
