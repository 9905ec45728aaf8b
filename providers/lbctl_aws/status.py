"""What can be published for a Service: the host name of its balancer. Pure."""

from __future__ import annotations

from lbctl.driver import World
from lbctl.model.objects import Ingress
from lbctl.model.resource import Identity, Seen, State
from lbctl.model.status import Notice, Severity, Status
from lbctl_aws.place import BALANCERS, balancer_scope


def status(identity: Identity, world: World) -> Status:
    """The host name as soon as AWS has given one, also while the balancer is being made (as both upstreams do).

    With two balancers, while one takes over from the other, the newer one is published once it is active.
    """
    observed = world.observed.get(balancer_scope(identity))
    balancers = [
        seen
        for seen in (observed.resources.values() if observed else ())
        if seen.key.kind in BALANCERS and seen.ours and identity in seen.resource.owners and seen.outputs.get("dns")
    ]
    if not balancers:
        return Status(waiting_for="the balancer is being made")
    seen = max(balancers, key=_rank)
    ingress = (Ingress(hostname=seen.outputs["dns"].lower()),)
    if seen.state is State.FAILED:
        notice = Notice(Severity.WARNING, "BalancerFailed", f"AWS could not set up {seen.key.id}")
        return Status(ingress, notices=(notice,))
    return Status(ingress)


def _rank(seen: Seen) -> tuple[bool, str]:
    return (seen.state is State.ACTIVE, seen.outputs.get("created", ""))
