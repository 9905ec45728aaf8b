"""Which targets AWS finds healthy: how many of a Service's, and those of pods that wait for it; nothing is cached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lbctl.driver import Gate, Health, Judgement, World
from lbctl.model.resource import Identity, Observed, Seen
from lbctl_aws.client import AwsClient
from lbctl_aws.gates import gates_of
from lbctl_aws.place import CLASSIC, CLASSIC_LISTENER, TARGETS, balancer_of, balancer_scope
from lbctl_aws.seen_network import DRAINING
from lbctl_aws.targets import parse_target

IN_SERVICE = "InService"
HEALTHY = "healthy"
# AWS's own words for a target that it does not have.
NOT_REGISTERED = Judgement(
    healthy=False, reason="Target.NotRegistered", message="Target is not registered to the target group"
)


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
    states = [entry.get("TargetHealth", {}).get("State", "") for entry in _describe(client, group)]
    return Health(states.count(HEALTHY), len(states) - states.count(DRAINING))


def _of_classic(client: AwsClient, balancer: Seen, observed: Observed) -> Health:
    """One check covers all listeners, so its result counts for each of them."""
    name = balancer.key.id
    listeners = sum(balancer_of(seen.key) == name for seen in observed.of_kind(CLASSIC_LISTENER))
    request = {"LoadBalancerName": name}
    reply = client.call("elb", "DescribeInstanceHealth", request, ignore=("LoadBalancerNotFound",)) or {}
    states = [entry.get("State", "") for entry in reply.get("InstanceStates", ())]
    return Health(states.count(IN_SERVICE) * listeners, len(states) * listeners)


def _describe(client: AwsClient, group: Seen) -> Iterable[Mapping[str, Any]]:
    request = {"TargetGroupArn": group.outputs["arn"]}
    reply = client.call("elbv2", "DescribeTargetHealth", request, ignore=("TargetGroupNotFound",)) or {}
    described: Iterable[Mapping[str, Any]] = reply.get("TargetHealthDescriptions", ())
    return described


def gated_groups(conditions: Iterable[str], world: World) -> dict[str, list[Seen]]:
    """The target groups of the Services in `world.intents` that readiness gates stand for, by condition. Pure."""
    asked = frozenset(conditions)
    found: dict[str, list[Seen]] = {}
    for group in _ip_groups(world):
        for condition in gates_of(group.key.id, asked):
            found.setdefault(condition, []).append(group)
    return found


def _ip_groups(world: World) -> Iterator[Seen]:
    for identity in world.intents:
        observed = world.observed.get(balancer_scope(identity))
        for group in observed.of_kind(TARGETS) if observed is not None else ():
            if group.ours and identity in group.resource.owners and group.resource.fields.get("target_type") == "ip":
                yield group


def judge_gates(client: AwsClient, gates: Iterable[Gate], world: World) -> dict[Gate, Judgement]:
    """What AWS finds of these pods' targets; one call for each target group that has one of them as a target.

    While a group takes over from another, a pod is judged in those of the two that have it.
    """
    asked = list(gates)
    by_condition = gated_groups((gate.condition for gate in asked), world)
    described: dict[str, list[Mapping[str, Any]]] = {}
    found: dict[Gate, Judgement] = {}
    for gate in asked:
        groups = [group for group in by_condition.get(gate.condition, ()) if _has(group, gate)]
        for group in groups:
            if group.key.id not in described:
                described[group.key.id] = list(_describe(client, group))
        entries = [entry for group in groups for entry in described[group.key.id]]
        found[gate] = _judgement([entry for entry in entries if entry["Target"]["Id"] in gate.addresses])
    return found


def _has(group: Seen, gate: Gate) -> bool:
    targets = group.resource.fields.get("targets")
    ids = {parse_target(str(one), group_port=0).id for one in targets} if isinstance(targets, frozenset) else set()
    return not ids.isdisjoint(gate.addresses)


def _judgement(entries: Iterable[Mapping[str, Any]]) -> Judgement:
    """The worst of what AWS says of the targets of one pod."""
    states = [entry.get("TargetHealth", {}) for entry in entries]
    worst = next((state for state in states if state.get("State") != HEALTHY), None)
    if worst is None:
        return Judgement(healthy=True) if states else NOT_REGISTERED
    return Judgement(healthy=False, reason=worst.get("Reason", ""), message=worst.get("Description", ""))
