"""Writes on network balancers and their listeners: one action is one call of the second Elastic Load Balancing API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lbctl.driver import Refs
from lbctl.errors import Conflict
from lbctl.model.resource import Outputs
from lbctl.plan.actions import Action, Step
from lbctl_aws import confirm
from lbctl_aws.attributes import FIELD
from lbctl_aws.client import AwsClient
from lbctl_aws.place import balancer_of
from lbctl_aws.replies import write_tags
from lbctl_aws.seen_network import STATES

Write = Callable[[AwsClient, Action, Refs], Outputs]


def create(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """A new balancer with its addresses, groups and tags."""
    step = action.steps[0]
    request: dict[str, Any] = {
        "Name": step.key.id,
        "Type": "network",
        "Scheme": confirm.wanted(step, "scheme", refs),
        "IpAddressType": confirm.wanted(step, "family", refs),
        "Tags": write_tags(confirm.set_tags(step, refs)),
        **_subnets(step, refs),
    }
    groups = confirm.settled_set(step, "groups", refs)
    if groups:
        request["SecurityGroups"] = groups
    reply = client.call("elbv2", "CreateLoadBalancer", request, ignore=("DuplicateLoadBalancerName",))
    if reply is None:
        raise Conflict(f"network balancer {step.key.id} exists with other settings")
    raw = reply["LoadBalancers"][0]
    outputs = {
        "arn": raw["LoadBalancerArn"],
        "dns": raw["DNSName"],
        "zone": raw.get("CanonicalHostedZoneId", ""),
        "state": raw.get("State", {}).get("Code", ""),
        "created": raw["CreatedTime"].isoformat() if raw.get("CreatedTime") else "",
    }
    seen = confirm.created(step, refs, outputs)
    return Outputs(seen=(replace(seen, state=STATES.get(outputs["state"], seen.state)),))


def _subnets(step: Step, refs: Refs) -> dict[str, Any]:
    """`Subnets`, or `SubnetMappings` as soon as one of them needs an address; and the source NAT switch."""
    ids = confirm.settled_set(step, "subnets", refs)
    mappings = {subnet: {"SubnetId": subnet} for subnet in ids}
    for field, parameter in MAPPED.items():
        for subnet, value in _pairs(step, field, refs):
            mappings.setdefault(subnet, {"SubnetId": subnet})[parameter] = value
    plain = all(len(mapping) == 1 for mapping in mappings.values())
    request: dict[str, Any] = {"Subnets": ids} if plain else {"SubnetMappings": [mappings[i] for i in sorted(mappings)]}
    nat = confirm.wanted(step, "source_nat", refs)
    if nat is not None:
        request["EnablePrefixForIpv6SourceNat"] = nat
    return request


MAPPED: Mapping[str, str] = {
    "elastic": "AllocationId",
    "private": "PrivateIPv4Address",
    "ipv6_addresses": "IPv6Address",
    "source_nat_prefixes": "SourceNatIpv6Prefix",
}


def _pairs(step: Step, field: str, refs: Refs) -> list[tuple[str, str]]:
    value = confirm.wanted(step, field, refs)
    if value is None and step.seen is not None:
        value = step.seen.resource.fields.get(field)  # SetSubnets has to repeat the addresses that are there
    return sorted(value) if isinstance(value, frozenset) else []


def delete(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer is gone with its listeners; AWS answers the same when it was gone before."""
    request = {"LoadBalancerArn": confirm.output(action.steps[0], refs, "arn")}
    client.call("elbv2", "DeleteLoadBalancer", request, ignore=("LoadBalancerNotFound",))
    return confirm.all_gone(action)


def set_subnets(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer stands in exactly these subnets."""
    step = action.steps[0]
    request = {"LoadBalancerArn": confirm.output(step, refs, "arn"), **_subnets(step, refs)}
    if any(change.field == "family" for change in step.changes):
        request["IpAddressType"] = confirm.wanted(step, "family", refs)
    client.call("elbv2", "SetSubnets", request)
    return confirm.all_changed(action, refs)


def set_groups(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer has exactly these security groups."""
    step = action.steps[0]
    request = {
        "LoadBalancerArn": confirm.output(step, refs, "arn"),
        "SecurityGroups": confirm.settled_set(step, "groups", refs),
    }
    link = confirm.wanted(step, "private_link", refs)
    if link is not None:
        request["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] = str(link)
    client.call("elbv2", "SetSecurityGroups", request)
    return confirm.all_changed(action, refs)


def set_family(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer has addresses of these families."""
    step = action.steps[0]
    request = {
        "LoadBalancerArn": confirm.output(step, refs, "arn"),
        "IpAddressType": confirm.wanted(step, "family", refs),
    }
    client.call("elbv2", "SetIpAddressType", request)
    return confirm.all_changed(action, refs)


def reserve_capacity(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer has this capacity reserved; 0 gives it back. AWS accepts it on an active balancer only."""
    step = action.steps[0]
    units = int(str(confirm.wanted(step, "capacity", refs)))
    request: dict[str, Any] = {"LoadBalancerArn": confirm.output(step, refs, "arn")}
    request.update(
        {"MinimumLoadBalancerCapacity": {"CapacityUnits": units}} if units else {"ResetCapacityReservation": True}
    )
    client.call("elbv2", "ModifyCapacityReservation", request)
    return confirm.all_changed(action, refs)


def modify_attributes(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer, target group or listener has the attributes."""
    step = action.steps[0]
    what = action.call.removeprefix("elbv2.Modify").removesuffix("Attributes")
    attributes = [
        {"Key": change.field.removeprefix(FIELD), "Value": str(change.new)}
        for change in step.changes
        if change.field.startswith(FIELD)
    ]
    request = {f"{what}Arn": confirm.output(step, refs, "arn"), "Attributes": attributes}
    client.call("elbv2", f"Modify{what}Attributes", request)
    return confirm.all_changed(action, refs)


def add_tags(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The object has the tags."""
    step, members = action.steps[0], confirm.members_of(action)
    tags = write_tags(dict(members))  # type: ignore[arg-type] # members of a tag field are pairs of texts
    client.call("elbv2", "AddTags", {"ResourceArns": [confirm.output(step, refs, "arn")], "Tags": tags})
    return Outputs(seen=(confirm.gained(step, refs, "tags", members),))


def remove_tags(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The object lacks the tags."""
    step, members = action.steps[0], confirm.members_of(action)
    keys = sorted(map(str, members))
    client.call("elbv2", "RemoveTags", {"ResourceArns": [confirm.output(step, refs, "arn")], "TagKeys": keys})
    return Outputs(seen=(confirm.lost(step, refs, "tags", members),))


def create_listener(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """A new listener with its default certificate, policy and targets."""
    step = action.steps[0]
    balancer = next(s for s in refs.scope.of_kind("network-balancer") if s.key.id == balancer_of(step.key))
    request = {
        "LoadBalancerArn": balancer.outputs["arn"],
        "Port": int(step.key.id.rpartition(":")[2]),
        "Tags": write_tags(confirm.set_tags(step, refs)),
        **_listener(step, refs),
    }
    reply = client.call("elbv2", "CreateListener", request) or {}
    return Outputs(seen=(confirm.created(step, refs, {"arn": reply["Listeners"][0]["ListenerArn"]}),))


def modify_listener(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The living listener has this protocol, certificate, policy and these targets, all in one step."""
    step = action.steps[0]
    request = {"ListenerArn": confirm.output(step, refs, "arn"), **_listener(step, refs)}
    client.call("elbv2", "ModifyListener", request)
    return confirm.all_changed(action, refs)


def _listener(step: Step, refs: Refs) -> dict[str, Any]:
    forward = confirm.wanted(step, "forward", refs)
    assert isinstance(forward, tuple)
    request: dict[str, Any] = {
        "Protocol": confirm.wanted(step, "protocol", refs),
        "DefaultActions": [_action(forward, sticky=bool(confirm.wanted(step, "sticky", refs)))],
    }
    certificate = confirm.wanted(step, "certificate", refs)
    if certificate is not None:
        request["Certificates"] = [{"CertificateArn": certificate}]
    policy = confirm.wanted(step, "policy", refs)
    if policy is not None:
        request["SslPolicy"] = policy
    alpn = confirm.wanted(step, "alpn", refs)
    if alpn is not None or any(change.field == "alpn" for change in step.changes):
        request["AlpnPolicy"] = [alpn or "None"]
    return request


def _action(forward: tuple[tuple[str, int], ...], *, sticky: bool) -> dict[str, Any]:
    if len(forward) == 1:
        return {"Type": "forward", "TargetGroupArn": forward[0][0]}
    config: dict[str, Any] = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in forward]}
    if sticky:
        config["TargetGroupStickinessConfig"] = {"Enabled": True}
    return {"Type": "forward", "ForwardConfig": config}


def delete_listener(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The listener is gone."""
    request = {"ListenerArn": confirm.output(action.steps[0], refs, "arn")}
    client.call("elbv2", "DeleteListener", request, ignore=("ListenerNotFound",))
    return confirm.all_gone(action)


def add_certificates(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The listener has these certificates besides its default one."""
    return _certificates(client, action, refs, "AddListenerCertificates")


def remove_certificates(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The listener has these certificates no more."""
    return _certificates(client, action, refs, "RemoveListenerCertificates")


def _certificates(client: AwsClient, action: Action, refs: Refs, operation: str) -> Outputs:
    step, members = action.steps[0], confirm.members_of(action)
    certificates = [{"CertificateArn": arn} for arn in sorted(map(str, members))]
    client.call("elbv2", operation, {"ListenerArn": confirm.output(step, refs, "arn"), "Certificates": certificates})
    change = confirm.gained if operation.startswith("Add") else confirm.lost
    return Outputs(seen=(change(step, refs, "more_certificates", members),))


WRITES: Mapping[str, Write] = {
    "elbv2.CreateLoadBalancer": create,
    "elbv2.DeleteLoadBalancer": delete,
    "elbv2.SetSubnets": set_subnets,
    "elbv2.SetSecurityGroups": set_groups,
    "elbv2.SetIpAddressType": set_family,
    "elbv2.ModifyCapacityReservation": reserve_capacity,
    "elbv2.ModifyLoadBalancerAttributes": modify_attributes,
    "elbv2.ModifyTargetGroupAttributes": modify_attributes,
    "elbv2.ModifyListenerAttributes": modify_attributes,
    "elbv2.AddTags": add_tags,
    "elbv2.RemoveTags": remove_tags,
    "elbv2.CreateListener": create_listener,
    "elbv2.ModifyListener": modify_listener,
    "elbv2.DeleteListener": delete_listener,
    "elbv2.AddListenerCertificates": add_certificates,
    "elbv2.RemoveListenerCertificates": remove_certificates,
}
