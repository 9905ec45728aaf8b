"""What modelling needs beyond the Service and its own objects: taken addresses.

Reads names only; a scope that has its addresses costs no read at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.resource import NOTHING, Scope
from lbctl_local.names import balancer_scope
from lbctl_local.state import StateDir

SOMEBODY = "another Service"


def taken_addresses(scope: Scope, world: World, state: StateDir, *, cluster: str) -> Mapping[str, str]:
    """Holder by reserved address, without the scope's own; nothing when no address has to be chosen.

    The holder of a requested address is read and named, of the others only that they are taken.
    """
    intents = [intent for identity, intent in world.intents.items() if balancer_scope(identity) == scope]
    held = _held(scope, world)
    if all(_is_settled(intent, held) for intent in intents):
        return NOTHING
    taken = dict.fromkeys(state.reserved() - held, SOMEBODY)
    for intent in intents:
        if intent.requested_address in taken:
            taken[intent.requested_address] = _holder(intent.requested_address, state, cluster)
    return taken


def _held(scope: Scope, world: World) -> frozenset[str]:
    observed = world.observed.get(scope)
    return frozenset(seen.key.id for seen in observed.of_kind("address") if seen.ours) if observed else frozenset()


def _is_settled(intent: Intent, held: frozenset[str]) -> bool:
    families = {"IPv6" if ":" in address else "IPv4" for address in held}
    return families >= set(intent.families) and intent.requested_address in {"", *held}


def _holder(address: str, state: StateDir, cluster: str) -> str:
    reservation = state.reservation(address)
    if reservation is None:
        return SOMEBODY
    service = f"{reservation.namespace}/{reservation.name}"
    return service if reservation.cluster == cluster else f"{service} of cluster {reservation.cluster}"
