"""What is told to the Service: its addresses, and what it still waits for. Pure.

`ipMode` is Proxy: Envoy ends the connections, so kube-proxy must not shortcut them past it.
"""

from __future__ import annotations

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.objects import Ingress
from lbctl.model.resource import Identity, Seen
from lbctl.model.status import Status, published
from lbctl_local.names import balancer_scope


def build_status(identity: Identity, world: World) -> Status:
    """Addresses on which a port of the Service is served, and how many listeners are missing.

    While none is served, the addresses that were published stay: they are the ones that will serve again, and clients
    that resolve them meanwhile must not be told otherwise.
    """
    intent = world.intents.get(identity)
    if intent is None:
        return Status(waiting_for="a valid Service")
    listeners = _listeners(identity, world)
    addresses = {str(seen.resource.fields["address"]) for seen in listeners}
    ingress = tuple(Ingress(ip=address, ip_mode="Proxy") for address in addresses) or _published(identity, world)
    return Status(published(ingress, families=intent.families), _waiting(intent, len(listeners)), intent.notices)


def _listeners(identity: Identity, world: World) -> list[Seen]:
    observed = world.observed.get(balancer_scope(identity))
    if observed is None:
        return []
    return [seen for seen in observed.of_kind("listener") if seen.ours and identity in seen.resource.owners]


def _published(identity: Identity, world: World) -> tuple[Ingress, ...]:
    service = world.services.get(identity)
    entries = service.status.load_balancer.ingress if service is not None else ()
    return tuple(Ingress(ip=entry.ip, ip_mode="Proxy") for entry in entries if entry.ip)


def _waiting(intent: Intent, listeners: int) -> str:
    wanted = len(intent.ports) * len(intent.families)
    return "" if listeners >= wanted else f"{wanted - listeners} of {wanted} listeners"
