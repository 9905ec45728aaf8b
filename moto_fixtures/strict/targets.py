"""Registered targets: who may register, under which key, and in which state they are.

moto keys targets by id alone and calls each healthy. Here the ledger holds them by (id, port), on the cloud's clock:
`initial` until enough checks have passed, `draining` for the group's deregistration delay, `unused` where no listener
forwards. Reasons and states are those of the API model's TargetHealth.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from moto_fixtures.strict.cloud import Cloud, MotoObject
from moto_fixtures.strict.ledger import Target, TargetKey
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

_State = tuple[str, str | None, str | None]
_PRIVATE = [ipaddress.ip_network(block) for block in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")]
_NOT_IN_USE: _State = (
    "unused",
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)
_ZONE_NOT_IN_USE: _State = (
    "unused",
    "Target.NotInUse",
    "Target is in an Availability Zone that is not enabled for the load balancer",
)
_STOPPED: _State = ("unused", "Target.InvalidState", "Target is in the stopped state")
_NOT_REGISTERED: _State = (
    "unused",
    "Target.NotRegistered",
    "Target is not registered to the target group",
)
_DRAINING: _State = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
_INITIAL: _State = ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")

target_validity = Switch(
    "target-validity",
    moto="registers unknown and foreign instances, addresses in an instance group, instances in an ip group",
    aws="InvalidTarget, ValidationError; nothing of the call is registered",
)
target_keys = Switch(
    "target-keys",
    moto="one target an id: a second port overwrites the first, deregistering one port removes the other",
    aws="keyed by (id, port); AvailabilityZone is kept",
)
deregister_absent = Switch(
    "deregister-absent",
    moto="deregistering what is not registered answers InvalidTarget",
    aws="success (API model)",
)
target_health = Switch(
    "target-health",
    moto="every target is healthy at once, gone the moment it is deregistered, checked on port 'traffic-port'",
    aws="unused, initial, draining, and the real port of the check",
)


def _group(call: Call, cloud: Cloud) -> MotoObject:
    group = cloud.target_group(call.params["TargetGroupArn"])
    if group is None:
        raise RefusedError("TargetGroupNotFound", "One or more target groups not found")
    return group


def _key(target: Json, group: MotoObject) -> TargetKey:
    return target["Id"], int(target.get("Port", group.port))


@target_validity.before("elbv2", "RegisterTargets")
def _check_targets(call: Call, cloud: Cloud) -> None:
    group = _group(call, cloud)
    if group.target_type in _CHECKS:
        for target in call.params["Targets"]:
            _CHECKS[group.target_type](target, group, cloud)


def _check_instance(target: Json, group: MotoObject, cloud: Cloud) -> None:
    instance_id = target["Id"]
    if not instance_id.startswith("i-"):
        raise RefusedError("ValidationError", f"Instance ID '{instance_id}' is not valid")
    if "AvailabilityZone" in target:
        message = "An Availability Zone cannot be specified for target groups with target type 'instance'"
        raise RefusedError("ValidationError", message)
    instance = cloud.instance(instance_id)
    if instance is None or instance.vpc_id != group.vpc_id:
        message = f"The following targets do not exist or are not in the same VPC as the target group: '{instance_id}'"
        raise RefusedError("InvalidTarget", message)
    if instance.state != "running":
        message = f"The following targets are not in a running state and cannot be registered: '{instance_id}'"
        raise RefusedError("InvalidTarget", message)


def _check_address(target: Json, group: MotoObject, cloud: Cloud) -> None:
    try:
        address = ipaddress.ip_address(target["Id"])
    except ValueError:
        raise RefusedError("ValidationError", f"The IP address '{target['Id']}' is not a valid IPv4 address") from None
    if f"ipv{address.version}" != group.ip_address_type:
        message = (
            f"The IP address '{address}' is not valid for a target group of address type '{group.ip_address_type}'"
        )
        raise RefusedError("ValidationError", message)
    if _in_vpc(address, group, cloud):
        return
    if address.version == 4 and not any(address in block for block in _PRIVATE):  # noqa: PLR2004 - the IP version
        message = f"The IP address '{address}' must be in the VPC of the target group or in a private range"
        raise RefusedError("ValidationError", message)
    if "AvailabilityZone" not in target:
        message = f"You must specify an Availability Zone for the IP address '{address}' outside the VPC"
        raise RefusedError("ValidationError", message)


def _in_vpc(address: ipaddress.IPv4Address | ipaddress.IPv6Address, group: MotoObject, cloud: Cloud) -> bool:
    vpc = cloud.ec2.vpcs[group.vpc_id]
    blocks = [one["cidr_block"] for one in vpc.get_cidr_block_association_set()]
    blocks += [one["cidr_block"] for one in vpc.get_cidr_block_association_set(ipv6=True)]
    return any(address in ipaddress.ip_network(block) for block in blocks)


_CHECKS: dict[str, Callable[[Json, MotoObject, Cloud], None]] = {"instance": _check_instance, "ip": _check_address}


@target_keys.instead("elbv2", "RegisterTargets")
def _register(call: Call, cloud: Cloud) -> Json:
    group = _group(call, cloud)
    held = cloud.ledger.targets.setdefault(group.arn, {})
    for target in call.params["Targets"]:
        key = _key(target, group)
        registered = held.get(key)
        if registered is None or registered.drains_until is not None:
            held[key] = Target(*key, target.get("AvailabilityZone"), cloud.now)
    return {}


@deregister_absent.rewrite("elbv2", "DeregisterTargets")
def _keep_present(call: Call, cloud: Cloud, params: Json) -> None:
    group = _group(call, cloud)
    params["Targets"] = [target for target in call.params["Targets"] if target["Id"] in group.targets]


@target_keys.instead("elbv2", "DeregisterTargets")
def _deregister(call: Call, cloud: Cloud) -> Json:
    group = _group(call, cloud)
    held = cloud.ledger.targets.setdefault(group.arn, {})
    delay = float(group.attributes["deregistration_delay.timeout_seconds"])
    for target in call.params["Targets"]:
        for key in _deregistered_keys(target, held):
            if held[key].drains_until is None:
                held[key].drains_until = cloud.now + delay
    return {}


def _deregistered_keys(target: Json, held: dict[TargetKey, Target]) -> list[TargetKey]:
    """A target without a port means each port of the id (API model, DeregisterTargets)."""
    return [key for key in held if key[0] == target["Id"] and target.get("Port", key[1]) == key[1]]


@target_keys.instead("elbv2", "DescribeTargetHealth")
def _describe(call: Call, cloud: Cloud) -> Json:
    group = _group(call, cloud)
    held = _present(group, cloud)
    asked = [_key(target, group) for target in call.params.get("Targets", ())]
    return {"TargetHealthDescriptions": [_description(key, held.get(key), group) for key in asked or held]}


def _present(group: MotoObject, cloud: Cloud) -> dict[TargetKey, Target]:
    """The group's targets without those that have drained, or whose instance is terminated."""
    held = cloud.ledger.targets.setdefault(group.arn, {})
    for key, target in list(held.items()):
        drained = target.drains_until is not None and target.drains_until <= cloud.now
        if drained or (key[0].startswith("i-") and cloud.instance(key[0]) is None):
            del held[key]
    return held


def _description(key: TargetKey, target: Target | None, group: MotoObject) -> Json:
    described: Json = {"Target": {"Id": key[0], "Port": key[1]}, "HealthCheckPort": str(group.health_check_port)}
    if target is not None and target.zone is not None:
        described["Target"]["AvailabilityZone"] = target.zone
    if target is None:
        state = _NOT_REGISTERED
    elif target.drains_until is not None:
        state = _DRAINING
    else:
        state = ("healthy", None, None)
    return described | {"TargetHealth": _health(state)}


def _health(state: _State) -> Json:
    return {
        key: value for key, value in zip(("State", "Reason", "Description"), state, strict=True) if value is not None
    }


@target_health.instead("elbv2", "DescribeTargetHealth")
def _describe_truly(call: Call, cloud: Cloud) -> Json | None:
    group = _group(call, cloud)
    if group.targets:  # registered while the keys were moto's: the ledger knows nothing of them
        return None
    held = _present(group, cloud)
    asked = [_key(target, group) for target in call.params.get("Targets", ())]
    return {"TargetHealthDescriptions": [_true_description(key, group, cloud) for key in asked or held]}


def _true_description(key: TargetKey, group: MotoObject, cloud: Cloud) -> Json:
    target = cloud.ledger.targets[group.arn].get(key)
    described = _description(key, target, group)
    port = group.health_check_port
    described["HealthCheckPort"] = str(key[1] if port == "traffic-port" else port)
    if target is not None and target.drains_until is None:
        described["TargetHealth"] = _health(_true_state(target, group, cloud))
    return described


def _true_state(target: Target, group: MotoObject, cloud: Cloud) -> _State:
    if not group.load_balancer_arns:
        return _NOT_IN_USE
    instance = cloud.instance(target.id) if target.id.startswith("i-") else None
    if instance is not None and instance.state != "running":
        return _STOPPED
    if instance is not None and not _zone_enabled(cloud.subnet(instance.subnet_id), group, cloud):
        return _ZONE_NOT_IN_USE
    if target.forced_state is not None:
        return target.forced_state
    checks_take = int(group.health_check_interval_seconds) * int(group.healthy_threshold_count)
    return _INITIAL if cloud.now < target.registered_at + checks_take else ("healthy", None, None)


def _zone_enabled(subnet: MotoObject, group: MotoObject, cloud: Cloud) -> bool:
    balancers = [cloud.balancer(arn) for arn in group.load_balancer_arns]
    zones = {one.availability_zone for balancer in balancers if balancer for one in balancer.subnets}
    cross_zone = any(
        balancer.attrs.get("load_balancing.cross_zone.enabled") == "true" for balancer in balancers if balancer
    )
    return cross_zone or subnet is None or subnet.availability_zone in zones
