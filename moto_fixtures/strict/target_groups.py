"""What moto gets wrong about v2 target groups: repeats, health checks, attributes, and who uses them.

Defaults are those of the API model's CreateTargetGroup and TargetGroupAttribute for network balancers.
"""

from __future__ import annotations

from moto_fixtures.strict.cloud import Cloud, MotoObject
from moto_fixtures.strict.listeners import forwarded_groups
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

_NETWORK = {"TCP", "TLS", "UDP", "TCP_UDP", "QUIC", "TCP_QUIC"}
_CHECK_PROTOCOLS = {"TCP", "HTTP", "HTTPS"}
_HTTP = {"HTTP", "HTTPS"}
_HTTP_TIMEOUT, _OTHER_TIMEOUT = 6, 10
_LONGEST_DELAY = 3600
_CONNECTIONLESS = {"UDP", "TCP_UDP"}
_BOOLEANS = {"true", "false"}
_TARGET_GROUP_ATTRIBUTES = {
    "deregistration_delay.connection_termination.enabled": "false",
    "deregistration_delay.timeout_seconds": "300",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
    "preserve_client_ip.enabled": "true",
    "proxy_protocol_v2.enabled": "false",
    "stickiness.enabled": "false",
    "stickiness.type": "source_ip",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
    "target_health_state.unhealthy.connection_termination.enabled": "true",
    "target_health_state.unhealthy.draining_interval_seconds": "0",
}

group_idempotent = Switch(
    "group-idempotent",
    moto="CreateTargetGroup with equal settings answers DuplicateTargetGroupName",
    aws="answers the existing group; DuplicateTargetGroupName only for other settings (API model)",
)
health_check_fields = Switch(
    "health-check-fields",
    moto="a path or matcher on a TCP check and the check protocols TLS and UDP are accepted",
    aws="InvalidConfigurationRequest, ValidationError",
)
health_check_defaults = Switch(
    "health-check-defaults",
    moto="an HTTP check of a TCP group has no path, matcher 200 and timeout 10",
    aws="path /, matcher 200-399, timeout 6 (API model)",
)
modify_health_check = Switch(
    "modify-health-check",
    moto="ModifyTargetGroup ignores the matcher of a TCP group, and keeps path and matcher when the check becomes TCP",
    aws="the matcher is taken; TCP checks have neither path nor matcher",
)
group_attributes = Switch(
    "group-attributes",
    moto="the attributes of a network group are those of an application group, and any key and value is taken",
    aws="the network set from birth; ValidationError for another key or value; the answer shows the whole set",
)
group_links = Switch(
    "group-links",
    moto="LoadBalancerArns repeats the balancer for each listener and keeps it for ever",
    aws="the balancer whose listeners forward to the group now",
)
groups_of_balancer = Switch(
    "groups-of-balancer",
    moto="DescribeTargetGroups of a balancer without groups answers TargetGroupNotFound",
    aws="an empty list",
)


@health_check_fields.before("elbv2", "CreateTargetGroup")
def _check_new_fields(call: Call, _cloud: Cloud) -> None:
    if call.params.get("Protocol") in _NETWORK:
        _check_fields(call.params.get("HealthCheckProtocol", "TCP"), call.params)


@health_check_fields.before("elbv2", "ModifyTargetGroup")
def _check_changed_fields(call: Call, cloud: Cloud) -> None:
    group = cloud.target_group(call.params["TargetGroupArn"])
    if group is not None and group.protocol in _NETWORK:
        _check_fields(call.params.get("HealthCheckProtocol", group.health_check_protocol), call.params)


def _check_fields(protocol: str, params: Json) -> None:
    if protocol not in _CHECK_PROTOCOLS:
        message = f"Health check protocol '{protocol}' must be one of {sorted(_CHECK_PROTOCOLS)}"
        raise RefusedError("ValidationError", message)
    if protocol == "TCP" and ("HealthCheckPath" in params or "Matcher" in params):
        message = "A health check path or matcher is not supported for health checks with the TCP protocol"
        raise RefusedError("InvalidConfigurationRequest", message)


@group_idempotent.before("elbv2", "CreateTargetGroup")
def _answer_repeat(call: Call, cloud: Cloud) -> Json | None:
    name = call.params["Name"]
    existing = next((one for one in cloud.elbv2.target_groups.values() if one.name == name), None)
    if existing is None:
        return None
    answer = cloud.ask("elbv2", "DescribeTargetGroups", {"TargetGroupArns": [existing.arn]})
    held = answer["TargetGroups"][0]
    asked = _with_defaults(call.params)
    if any(held.get(key) != value for key, value in asked.items()):
        message = f"A target group with the same name '{name}' exists, but with different settings"
        raise RefusedError("DuplicateTargetGroupName", message)
    return answer


def _with_defaults(params: Json) -> Json:
    """The settings that a create asks for, in the names of a described group."""
    protocol = params.get("HealthCheckProtocol", "TCP")
    defaults = {
        "TargetType": "instance",
        "HealthCheckProtocol": protocol,
        "HealthCheckPort": "traffic-port",
        "HealthCheckIntervalSeconds": 30,
        "HealthCheckTimeoutSeconds": _HTTP_TIMEOUT if protocol == "HTTP" else _OTHER_TIMEOUT,
        "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2,
        "IpAddressType": "ipv4",
    }
    if protocol in _HTTP:
        defaults |= {"HealthCheckPath": "/", "Matcher": {"HttpCode": "200-399"}}
    asked = defaults | {key: value for key, value in params.items() if key not in {"Name", "Tags"}}
    return {key: value for key, value in asked.items() if value is not None}


@health_check_defaults.rewrite("elbv2", "CreateTargetGroup")
def _fill_in_defaults(call: Call, _cloud: Cloud, params: Json) -> None:
    if call.params.get("Protocol") in _NETWORK and call.params.get("HealthCheckProtocol") in _HTTP:
        filled = _with_defaults(call.params)
        params |= {key: filled[key] for key in ("HealthCheckPath", "Matcher", "HealthCheckTimeoutSeconds")}


@modify_health_check.after("elbv2", "ModifyTargetGroup")
def _modify_check(call: Call, cloud: Cloud, answer: Json) -> None:
    group = cloud.target_group(call.params["TargetGroupArn"])
    if group is None or group.protocol not in _NETWORK:
        return
    if group.health_check_protocol in _HTTP:
        group.matcher = call.params.get("Matcher") or getattr(group, "matcher", None) or {"HttpCode": "200-399"}
        group.health_check_path = group.health_check_path or "/"
    else:
        group.matcher = group.health_check_path = None
    answer |= cloud.ask("elbv2", "DescribeTargetGroups", {"TargetGroupArns": [group.arn]})


@group_attributes.after("elbv2", "CreateTargetGroup")
def _complete_attributes(_call: Call, cloud: Cloud, answer: Json) -> None:
    group = cloud.target_group(answer["TargetGroups"][0]["TargetGroupArn"])
    if group is None or group.protocol not in _NETWORK:
        return
    group.attributes = dict(_TARGET_GROUP_ATTRIBUTES)
    if group.protocol in _CONNECTIONLESS:
        group.attributes["deregistration_delay.connection_termination.enabled"] = "true"
        group.attributes["target_health_state.unhealthy.connection_termination.enabled"] = "false"
    elif group.target_type == "ip":
        group.attributes["preserve_client_ip.enabled"] = "false"


@group_attributes.instead("elbv2", "ModifyTargetGroupAttributes")
def _modify_attributes(call: Call, cloud: Cloud) -> Json | None:
    group = cloud.target_group(call.params["TargetGroupArn"])
    if group is None or group.protocol not in _NETWORK:
        return None
    asked = {attribute["Key"]: attribute.get("Value", "") for attribute in call.params["Attributes"]}
    for key, value in asked.items():
        _check_attribute(group, key, value)
    group.attributes |= asked
    return {"Attributes": [{"Key": key, "Value": value} for key, value in group.attributes.items()]}


def _check_attribute(group: MotoObject, key: str, value: str) -> None:
    if key not in _TARGET_GROUP_ATTRIBUTES:
        raise RefusedError("ValidationError", f"Target group attribute key '{key}' is not recognized")
    if not _allowed(key, value):
        raise RefusedError("ValidationError", f"Target group attribute value '{value}' for '{key}' is not valid")
    if key == "preserve_client_ip.enabled" and value == "false" and group.protocol in _CONNECTIONLESS:
        message = f"Client IP preservation can't be disabled for {group.protocol} target groups"
        raise RefusedError("InvalidConfigurationRequest", message)


def _allowed(key: str, value: str) -> bool:
    if key == "load_balancing.cross_zone.enabled":
        return value in {*_BOOLEANS, "use_load_balancer_configuration"}
    if key.endswith(".enabled"):
        return value in _BOOLEANS
    if key == "stickiness.type":
        return value == "source_ip"
    if key == "deregistration_delay.timeout_seconds":
        return value.isdigit() and int(value) <= _LONGEST_DELAY
    return value.isdigit() or value == "off"


@group_links.after("elbv2", "CreateListener", "ModifyListener", "DeleteListener", "DeleteLoadBalancer")
def _note_change(_call: Call, cloud: Cloud, _answer: Json) -> None:
    cloud.ledger.links_stale = True


@group_links.before("elbv2", "DescribeTargetGroups", "DescribeTargetHealth", "ModifyTargetGroup")
def _relink(_call: Call, cloud: Cloud) -> None:
    """Let every group know the balancers of the listeners that forward to it now."""
    if not cloud.ledger.links_stale:
        return
    cloud.ledger.links_stale = False
    used: dict[str, set[str]] = {}
    for listener in cloud.listeners():
        for rule in listener.rules.values():
            for arn in forwarded_groups([action.data for action in rule.actions]):
                used.setdefault(arn, set()).add(listener.load_balancer_arn)
    for group in cloud.elbv2.target_groups.values():
        group.load_balancer_arns = sorted(used.get(group.arn, ()))


@groups_of_balancer.before("elbv2", "DescribeTargetGroups")
def _answer_empty(call: Call, cloud: Cloud) -> Json | None:
    balancer = cloud.balancer(call.params.get("LoadBalancerArn", ""))
    groups = cloud.elbv2.target_groups.values()
    if balancer is None or any(balancer.arn in group.load_balancer_arns for group in groups):
        return None
    return {"TargetGroups": []}
