"""How many targets of single Services AWS finds healthy; read only when somebody asks, so nothing is cached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lbctl.driver import Health, World
from lbctl.model.resource import Identity, Observed, Seen
from lbctl_aws.client import AwsClient
from lbctl_aws.place import CLASSIC, CLASSIC_LISTENER, TARGETS, balancer_of, balancer_scope
from lbctl_aws.seen_network import DRAINING

IN_SERVICE = "InService"
HEALTHY = "healthy"


def read_health(client: AwsClient, identities: Iterable[Identity], world: World) -> dict[Identity, Health]:
    """The health of those Services that have a balancer; one call for each target group or classic balancer."""
    found: dict[Identity, Health] = {}
    for identity in identities:
        observed = world.observed.get(balancer_scope(identity))
        parts = list(_parts(client, identity, observed)) if observed is not None else []
        if parts:
            found[identity] = Health(sum(part.healthy for part in parts), sum(part.total for part in parts))
    return found


def _parts(client: AwsClient, identity: Identity, observed: Observed) -> Iterator[Health]:
    for kind, read in ((TARGETS, _of_group), (CLASSIC, _of_classic)):
        for seen in observed.of_kind(kind):
            if seen.ours and identity in seen.resource.owners:
                yield read(client, seen, observed)


def _of_group(client: AwsClient, group: Seen, _observed: Observed) -> Health:
    request = {"TargetGroupArn": group.outputs["arn"]}
    reply = client.call("elbv2", "DescribeTargetHealth", request, ignore=("TargetGroupNotFound",)) or {}
    described = reply.get("TargetHealthDescriptions", ())
    states = [entry.get("TargetHealth", {}).get("State", "") for entry in described]
    return Health(states.count(HEALTHY), len(states) - states.count(DRAINING))


def _of_classic(client: AwsClient, balancer: Seen, observed: Observed) -> Health:
    """One check covers all listeners, so its result counts for each of them."""
    name = balancer.key.id
    listeners = sum(balancer_of(seen.key) == name for seen in observed.of_kind(CLASSIC_LISTENER))
    request = {"LoadBalancerName": name}
    reply = client.call("elb", "DescribeInstanceHealth", request, ignore=("LoadBalancerNotFound",)) or {}
    states = [entry.get("State", "") for entry in reply.get("InstanceStates", ())]
    return Health(states.count(IN_SERVICE) * listeners, len(states) * listeners)
