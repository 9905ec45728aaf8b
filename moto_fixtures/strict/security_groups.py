"""Security groups: what holds one, what an authorize answers, and that a call is done whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from moto_fixtures.strict.cloud import Cloud, MotoObject
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

_SOURCES = ("IpRanges", "Ipv6Ranges", "UserIdGroupPairs", "PrefixListIds")
_SOURCE_KEY = {
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "UserIdGroupPairs": "GroupId",
    "PrefixListIds": "PrefixListId",
}
_PROTOCOL_NUMBERS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}
_RULES = 60
_RuleKey = tuple[str, int | None, int | None, str, str]

group_in_use = Switch(
    "group-in-use",
    moto="DeleteSecurityGroup deletes a group that an instance, a balancer or another group's rule uses",
    aws="DependencyViolation",
)
rules_atomic = Switch(
    "rules-atomic",
    moto="Authorize applies the permissions before the one that fails, and counts rules one permission at a time",
    aws="a failing call changes nothing",
)
rule_identity = Switch(
    "rule-identity",
    moto="a group rule with another description is another rule, for Authorize and for Revoke",
    aws="the description is no part of a rule's identity",
)
authorize_answer = Switch(
    "authorize-answer",
    moto="AuthorizeSecurityGroupIngress answers only the rules of its last permission",
    aws="every rule that was made",
)


def _keys(params: Json) -> Iterator[_RuleKey]:
    """The rules that a call names, one a source, without their descriptions."""
    for permission in params.get("IpPermissions", ()):
        protocol = permission["IpProtocol"].lower()
        protocol = _PROTOCOL_NUMBERS.get(protocol, protocol)
        ports = (None, None) if protocol == "-1" else (permission.get("FromPort"), permission.get("ToPort"))
        for kind in _SOURCES:
            for source in permission.get(kind, ()):
                yield (protocol, *ports, kind, source[_SOURCE_KEY[kind]])


def _key(rule: MotoObject) -> _RuleKey:
    """The same for a rule that moto holds."""
    source = {
        "IpRanges": rule.ip_range.get("CidrIp"),
        "Ipv6Ranges": rule.ip_range.get("CidrIpv6"),
        "UserIdGroupPairs": rule.source_group.get("GroupId"),
        "PrefixListIds": rule.prefix_list_id,
    }
    kind = next(kind for kind in _SOURCES if source[kind])
    return (rule.ip_protocol, rule.from_port, rule.to_port, kind, source[kind])


@rules_atomic.before("ec2", "AuthorizeSecurityGroupIngress")
def _check_authorize(call: Call, cloud: Cloud) -> None:
    group = cloud.security_group(call.params.get("GroupId", ""))
    asked = list(_keys(call.params))
    if group is None or not asked:
        return
    held = {_key(rule) for rule in group.ingress_rules}
    for protocol, low, high, _kind, source in asked:
        if asked.count((protocol, low, high, _kind, source)) > 1 or (protocol, low, high, _kind, source) in held:
            ports = "ALL" if low is None else f"from port: {low}, to port: {high}"
            message = f'the specified rule "peer: {source}, {protocol.upper()}, {ports}, ALLOW" already exists'
            raise RefusedError("InvalidPermission.Duplicate", message)
    if len(held) + len(asked) > _RULES:
        message = "The maximum number of rules per security group has been reached."
        raise RefusedError("RulesPerSecurityGroupLimitExceeded", message)
    _check_sources(asked, cloud)


def _check_sources(asked: list[_RuleKey], cloud: Cloud) -> None:
    for *_, kind, source in asked:
        if kind == "UserIdGroupPairs" and cloud.security_group(source) is None:
            raise RefusedError("InvalidGroup.NotFound", f"The security group '{source}' does not exist")


@rules_atomic.before("ec2", "RevokeSecurityGroupIngress")
def _check_revoke(call: Call, cloud: Cloud) -> None:
    group = cloud.security_group(call.params.get("GroupId", ""))
    if group is None:
        return
    held = {_key(rule) for rule in group.ingress_rules}
    if any(key not in held for key in _keys(call.params)):
        message = "The specified rule does not exist in this security group."
        raise RefusedError("InvalidPermission.NotFound", message)


@rule_identity.instead("ec2", "RevokeSecurityGroupIngress")
def _revoke_by_identity(call: Call, cloud: Cloud) -> Json | None:
    group = cloud.security_group(call.params.get("GroupId", ""))
    named = set(_keys(call.params))
    if group is None or not named or call.params.get("DryRun"):
        return None
    held = {_key(rule) for rule in group.ingress_rules}
    if named - held:
        return None
    group.ingress_rules = [rule for rule in group.ingress_rules if _key(rule) not in named]
    return {"Return": True}


@rule_identity.before("ec2", "AuthorizeSecurityGroupIngress")
def _refuse_same_rule(call: Call, cloud: Cloud) -> None:
    group = cloud.security_group(call.params.get("GroupId", ""))
    held = {_key(rule) for rule in group.ingress_rules} if group else set()
    for key in _keys(call.params):
        if key in held:
            message = f'the specified rule "peer: {key[4]}, {key[0].upper()}, ALLOW" already exists'
            raise RefusedError("InvalidPermission.Duplicate", message)


@authorize_answer.after("ec2", "AuthorizeSecurityGroupIngress")
def _answer_all(call: Call, cloud: Cloud, answer: Json) -> None:
    group = cloud.security_group(call.params.get("GroupId", ""))
    if group is None:
        return
    asked = set(_keys(call.params))
    made = [rule.id for rule in group.ingress_rules if _key(rule) in asked]
    shown = cloud.ask("ec2", "DescribeSecurityGroupRules", {"SecurityGroupRuleIds": made}) if made else {}
    answer["SecurityGroupRules"] = shown.get("SecurityGroupRules", answer.get("SecurityGroupRules", []))


@group_in_use.before("ec2", "DeleteSecurityGroup")
def _check_users(call: Call, cloud: Cloud) -> None:
    group_id = call.params.get("GroupId")
    group = cloud.security_group(group_id) if group_id else None
    if group is not None and (
        _held_by_interface(group, cloud) or _held_by_rule(group, cloud) or _held_by_lb(group, cloud)
    ):
        raise RefusedError("DependencyViolation", f"resource {group.id} has a dependent object")


def _held_by_interface(group: MotoObject, cloud: Cloud) -> bool:
    return any(group.id in {one.id for one in eni.group_set} for eni in cloud.ec2.enis.values())


def _held_by_rule(group: MotoObject, cloud: Cloud) -> bool:
    others = (one for groups in cloud.ec2.groups.values() for one in groups.values() if one.id != group.id)
    rules = (rule for other in others for rule in (*other.ingress_rules, *other.egress_rules))
    return any(rule.source_group.get("GroupId") == group.id for rule in rules)


def _held_by_lb(group: MotoObject, cloud: Cloud) -> bool:
    balancers = [*cloud.elb.load_balancers.values(), *cloud.elbv2.load_balancers.values()]
    return any(group.id in balancer.security_groups for balancer in balancers)
