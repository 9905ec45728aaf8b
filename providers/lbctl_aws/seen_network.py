"""What the API says of network balancers, target groups and listeners -> what we compare. Pure."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any

from lbctl.model.resource import Identity, Key, Resource, Seen, State
from lbctl_aws.attributes import FIELD
from lbctl_aws.ownership import Claim
from lbctl_aws.place import GROUP, NETWORK, TARGETS, listener_key
from lbctl_aws.targets import target_text

Raw = Mapping[str, Any]
STATES = {"provisioning": State.PENDING, "failed": State.FAILED}
DRAINING = "draining"


def see_network(raw: Raw, tags: Mapping[str, str], claim: Claim, groups: Mapping[str, str]) -> Seen:
    """The balancer; `groups` maps the ids of managed security groups to their names."""
    name = raw["LoadBalancerName"]
    attached = frozenset(raw.get("SecurityGroups", ()))
    needs = frozenset(Key(GROUP, groups[group]) for group in attached if group in groups)
    fields: dict[str, Hashable] = {
        "scheme": raw["Scheme"],
        "family": raw.get("IpAddressType", "ipv4"),
        "groups": attached,
        "private_link": raw.get("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"),
        "source_nat": raw.get("EnablePrefixForIpv6SourceNat"),
        "tags": frozenset(tags.items()),
        **_zones(raw.get("AvailabilityZones", ())),
    }
    outputs = {
        "arn": raw["LoadBalancerArn"],
        "dns": raw.get("DNSName", ""),
        "zone": raw.get("CanonicalHostedZoneId", ""),
        "state": raw.get("State", {}).get("Code", ""),
        "created": raw["CreatedTime"].isoformat() if raw.get("CreatedTime") else "",
    }
    resource = Resource(Key(NETWORK, name), name, fields, frozenset({claim.owner}), needs)
    state = STATES.get(outputs["state"], State.ACTIVE)
    return Seen(resource, outputs, state, ours=claim.ours, owner_hint=claim.hint)


def _zones(zones: Collection[Raw]) -> dict[str, Hashable]:
    addresses = [(zone["SubnetId"], address) for zone in zones for address in zone.get("LoadBalancerAddresses", ())]
    return {
        "subnets": frozenset(zone["SubnetId"] for zone in zones),
        "elastic": frozenset((s, a["AllocationId"]) for s, a in addresses if a.get("AllocationId")),
        "private": frozenset((s, a["PrivateIPv4Address"]) for s, a in addresses if a.get("PrivateIPv4Address")),
        "ipv6_addresses": frozenset((s, a["IPv6Address"]) for s, a in addresses if a.get("IPv6Address")),
        "source_nat_prefixes": frozenset(
            (zone["SubnetId"], prefix) for zone in zones for prefix in zone.get("SourceNatIpv6Prefixes") or ()
        ),
    }


def see_target_group(raw: Raw, tags: Mapping[str, str], claim: Claim, health: Iterable[Raw] = ()) -> Seen:
    """A target group with its targets; those that drain are not there any more."""
    port = raw.get("Port", 0)
    fields: dict[str, Hashable] = {
        "protocol": raw.get("Protocol", ""),
        "port": port,
        "target_type": raw.get("TargetType", "instance"),
        "family": raw.get("IpAddressType", "ipv4"),
        "vpc": raw.get("VpcId", ""),
        "health_protocol": raw.get("HealthCheckProtocol"),
        "health_port": raw.get("HealthCheckPort"),
        "health_path": raw.get("HealthCheckPath"),
        "health_interval": raw.get("HealthCheckIntervalSeconds"),
        "health_timeout": raw.get("HealthCheckTimeoutSeconds"),
        "health_healthy": raw.get("HealthyThresholdCount"),
        "health_unhealthy": raw.get("UnhealthyThresholdCount"),
        "health_codes": (raw.get("Matcher") or {}).get("HttpCode"),
        "tags": frozenset(tags.items()),
        "targets": frozenset(_targets(health, port)),
    }
    name = raw["TargetGroupName"]
    resource = Resource(Key(TARGETS, name), name, fields, frozenset({claim.owner}))
    return Seen(resource, {"arn": raw["TargetGroupArn"]}, ours=claim.ours, owner_hint=claim.hint)


def _targets(health: Iterable[Raw], group_port: int) -> Iterable[str]:
    for entry in health:
        if entry.get("TargetHealth", {}).get("State") == DRAINING:
            continue
        target = entry["Target"]
        text = target_text(target["Id"], port=target.get("Port", group_port), group_port=group_port)
        zone = target.get("AvailabilityZone")
        yield f"{text}@{zone}" if zone == "all" else text


def see_listener(
    raw: Raw, balancer: Key, owners: frozenset[Identity], groups: Mapping[str, str], *, tags: Mapping[str, str]
) -> Seen:
    """A listener; `groups` maps the ARNs of target groups to their names."""
    forward = _forward(raw.get("DefaultActions", ()))
    certificates = raw.get("Certificates") or ()
    tls = raw.get("Protocol") == "TLS"
    alpn = [policy for policy in raw.get("AlpnPolicy") or () if policy]
    fields: dict[str, Hashable] = {
        "protocol": raw.get("Protocol", ""),
        "forward": forward,
        "sticky": _is_sticky(raw.get("DefaultActions", ())),
        "certificate": certificates[0]["CertificateArn"] if certificates else None,
        "policy": raw.get("SslPolicy") if tls else None,
        "alpn": alpn[0] if alpn and tls else None,
        "tags": frozenset(tags.items()),
    }
    resource = Resource(
        listener_key(balancer.id, raw["Port"], classic=False),
        f":{raw['Port']}",
        fields,
        owners,
        frozenset({balancer, *(Key(TARGETS, groups[arn]) for arn, _ in forward if arn in groups)}),
    )
    return Seen(resource, {"arn": raw["ListenerArn"]})


def _forward(actions: Iterable[Raw]) -> tuple[tuple[str, int], ...]:
    for action in actions:
        groups = (action.get("ForwardConfig") or {}).get("TargetGroups")
        if groups and len(groups) > 1:
            return tuple((group["TargetGroupArn"], group.get("Weight", 1)) for group in groups)
        if action.get("TargetGroupArn"):
            return ((action["TargetGroupArn"], 1),)
        if groups:
            return ((groups[0]["TargetGroupArn"], 1),)
    return ()


def _is_sticky(actions: Iterable[Raw]) -> bool:
    configs = ((action.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig") or {} for action in actions)
    return any(config.get("Enabled", False) for config in configs)


def read_attributes(reply: Raw) -> dict[str, Hashable]:
    """`Attributes` of a balancer, target group or listener as fields."""
    return {FIELD + entry["Key"]: entry.get("Value", "") for entry in reply.get("Attributes", ())}
