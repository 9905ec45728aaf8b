"""What is published for a Service: pure, from what was observed of its balancer."""

from __future__ import annotations

from collections.abc import Iterator

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.objects import Ingress
from lbctl.model.resource import Identity, Observed, Seen, State
from lbctl.model.status import Notice, Severity, Status, published
from lbctl_openstack import names
from lbctl_openstack.annotations import ADDRESS
from lbctl_openstack.cloudconf import Balancing
from lbctl_openstack.plan import STUCK_SECONDS, age, published_address
from lbctl_openstack.wish import Wish, needs_floating, wish_of


def status_of(identity: Identity, world: World, *, balancing: Balancing) -> Status:
    """The Service's address, and what it waits for."""
    intent = world.intents.get(identity)
    observed = _observed_of(identity, world)
    seen = observed.get(names.BALANCER_KEY) if observed is not None else None
    if intent is None or observed is None or seen is None or not seen.ours:
        return Status(waiting_for="the balancer does not exist yet")
    wish = wish_of(intent)
    address = _address(identity, intent, observed, world)
    ingress = tuple(_ingress(address, seen, wish, balancing)) if address else ()
    waiting = _waiting(seen) or ("" if address else "there is no floating IP yet")
    return Status(published(ingress, families=intent.families), waiting, tuple(_notices(seen, world)))


def _observed_of(identity: Identity, world: World) -> Observed | None:
    own = world.observed.get(names.balancer_scope(world.cluster.name, identity))
    if own is not None and own.owned_by(identity):
        return own
    return next((observed for observed in world.observed.values() if observed.owned_by(identity)), own)


def _address(identity: Identity, intent: Intent, observed: Observed, world: World) -> str:
    """An owner that wants a floating IP shows the VIP only where the plan has found that there can be none."""
    seen = observed[names.BALANCER_KEY]
    is_owner = seen.resource.name == names.balancer_scope(world.cluster.name, identity).name
    wants = is_owner and needs_floating(intent, wish_of(intent))
    service = world.services.get(identity)
    settled = service is not None and service.metadata.annotations.get(ADDRESS) == seen.outputs["address"]
    return published_address(observed, wants_floating=wants and not settled)


def _ingress(address: str, seen: Seen, wish: Wish, balancing: Balancing) -> Iterator[Ingress]:
    mode = "Proxy" if wish.proxy_protocol else "VIP"
    if wish.hostname:
        yield Ingress(hostname=wish.hostname)
        return
    if wish.proxy_protocol and balancing.enable_ingress_hostname:
        yield Ingress(hostname=f"{address}.{balancing.ingress_hostname_suffix}")
        return
    yield Ingress(ip=address, ip_mode=mode)
    for more in seen.outputs["more_addresses"].split(","):
        if more:
            yield Ingress(ip=more, ip_mode=mode)


def _waiting(seen: Seen) -> str:
    if seen.state is State.ACTIVE:
        return ""
    if seen.state is State.FAILED:
        return f"balancer {seen.outputs['id']} is in ERROR: only the operator of OpenStack can mend it"
    return "the balancer is being made or changed"


def _notices(seen: Seen, world: World) -> Iterator[Notice]:
    if seen.state is State.FAILED:
        text = f"balancer {seen.outputs['id']} is in ERROR; ask the operator of OpenStack for a failover"
        yield Notice(Severity.WARNING, "BalancerFailed", text)
    if seen.state in {State.PENDING, State.DELETING} and age(seen, world.now) > STUCK_SECONDS:
        text = f"balancer {seen.outputs['id']} is {seen.outputs['status']} for more than ten minutes"
        hint = "only the operator of OpenStack can mend it"
        yield Notice(Severity.WARNING, "BalancerStuck", f"{text}; {hint}")
