"""Writes on target groups and their targets: one action is one call, up to 200 targets in each."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from lbctl.driver import Refs
from lbctl.errors import Conflict
from lbctl.model.resource import Outputs
from lbctl.plan.actions import Action, Step
from lbctl_aws import confirm
from lbctl_aws.client import AwsClient
from lbctl_aws.errors import Refused
from lbctl_aws.replies import write_tags
from lbctl_aws.targets import parse_target

Write = Callable[[AwsClient, Action, Refs], Outputs]
QUOTED_TARGET = re.compile(r"i-[0-9a-z]+")

HEALTH: Mapping[str, str] = {
    "health_protocol": "HealthCheckProtocol",
    "health_port": "HealthCheckPort",
    "health_path": "HealthCheckPath",
    "health_interval": "HealthCheckIntervalSeconds",
    "health_timeout": "HealthCheckTimeoutSeconds",
    "health_healthy": "HealthyThresholdCount",
    "health_unhealthy": "UnhealthyThresholdCount",
}
SHAPE: Mapping[str, str] = {
    "protocol": "Protocol",
    "port": "Port",
    "vpc": "VpcId",
    "target_type": "TargetType",
    "family": "IpAddressType",
}


def create(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """A new target group with its health check and tags; AWS answers the same for an equal one that exists."""
    step = action.steps[0]
    request = {
        "Name": step.key.id,
        **_parameters(step, SHAPE, refs),
        **_health(step, refs),
        "Tags": write_tags(confirm.set_tags(step, refs)),
    }
    reply = client.call("elbv2", "CreateTargetGroup", request, ignore=("DuplicateTargetGroupName",))
    if reply is None:
        raise Conflict(f"target group {step.key.id} exists with other settings")
    return Outputs(seen=(confirm.created(step, refs, {"arn": reply["TargetGroups"][0]["TargetGroupArn"]}),))


def _parameters(step: Step, names: Mapping[str, str], refs: Refs) -> dict[str, Any]:
    values = {parameter: confirm.wanted(step, field, refs) for field, parameter in names.items()}
    return {parameter: value for parameter, value in values.items() if value is not None}


def _health(step: Step, refs: Refs) -> dict[str, Any]:
    request = _parameters(step, HEALTH, refs)
    codes = confirm.wanted(step, "health_codes", refs)
    if codes is not None:
        request["Matcher"] = {"HttpCode": codes}
    return request


def modify(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The living target group checks its targets so."""
    step = action.steps[0]
    client.call(
        "elbv2", "ModifyTargetGroup", {"TargetGroupArn": confirm.output(step, refs, "arn"), **_health(step, refs)}
    )
    return confirm.all_changed(action, refs)


def delete(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The target group is gone; `NotReady` while a listener that is going still uses it."""
    request = {"TargetGroupArn": confirm.output(action.steps[0], refs, "arn")}
    client.call("elbv2", "DeleteTargetGroup", request, ignore=("TargetGroupNotFound",))
    return confirm.all_gone(action)


def register(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The targets are registered, without those that AWS refuses by name: a stopped instance fails alone.

    Costs a second call when AWS names refused instances.
    """
    step, members = action.steps[0], confirm.members_of(action)
    try:
        _send(client, "RegisterTargets", step, members, refs)
    except Refused as error:
        refused = frozenset(QUOTED_TARGET.findall(str(error)))
        fit = frozenset(member for member in members if str(member).partition("|")[0] not in refused)
        if not refused or fit == members:
            raise
        if fit:
            _send(client, "RegisterTargets", step, fit, refs)
        members = fit
    return Outputs(seen=(confirm.gained(step, refs, "targets", members),))


def deregister(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The targets get no new connections; one that was no target is none now."""
    step, members = action.steps[0], confirm.members_of(action)
    _send(client, "DeregisterTargets", step, members, refs, ignore=("InvalidTarget", "TargetGroupNotFound"))
    return Outputs(seen=(confirm.lost(step, refs, "targets", members),))


def _send(
    client: AwsClient,
    operation: str,
    step: Step,
    members: frozenset[Hashable],
    refs: Refs,
    *,
    ignore: tuple[str, ...] = (),
) -> None:
    port = _port(step, refs)
    targets = []
    for member in sorted(map(str, members)):
        target = parse_target(member, group_port=port)
        entry: dict[str, Any] = {"Id": target.id, "Port": target.port}
        if target.zone:
            entry["AvailabilityZone"] = target.zone
        targets.append(entry)
    request = {"TargetGroupArn": confirm.output(step, refs, "arn"), "Targets": targets}
    client.call("elbv2", operation, request, ignore=ignore)


def _port(step: Step, refs: Refs) -> int:
    seen = refs.scope.get(step.key) or step.seen
    resource = step.desired or (seen.resource if seen else None)
    port = resource.fields["port"] if resource else 0
    assert isinstance(port, int)
    return port


WRITES: Mapping[str, Write] = {
    "elbv2.CreateTargetGroup": create,
    "elbv2.ModifyTargetGroup": modify,
    "elbv2.DeleteTargetGroup": delete,
    "elbv2.RegisterTargets": register,
    "elbv2.DeregisterTargets": deregister,
}
