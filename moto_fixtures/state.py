"""The state of the cloud as plain data, for comparing before with after and one run with another.

Read inside the process through the strict gate, so it is what a client would see, but neither logged nor delayed. Ids
that the cloud drew are replaced by the names of what they stand for, so two runs that made the same things are equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from moto_fixtures.strict.gate import StrictGate
from moto_fixtures.wire import Call, Json

# Whatever JSON holds.
Value = Any

BYSTANDER_TAG = "example.com/bystander"
BYSTANDER_RULE = "bystander"
_TAGS_AT_ONCE = 20
_VOLATILE = {
    "CreatedTime",
    "CanonicalHostedZoneId",
    "CanonicalHostedZoneNameID",
    "OwnerId",
    "SecurityGroupArn",
    "State",
}


class _Reader:
    """Asks the cloud of one region, page by page."""

    def __init__(self, gate: StrictGate, region: str) -> None:
        self._gate = gate
        self._region = region

    def ask(self, service: str, operation: str, **params: Value) -> Json:
        return self._gate.ask(Call(service, operation, params, {}, self._region, 1))

    def every(self, service: str, operation: str, key: str, **params: Value) -> list[Json]:
        sent, got = ("NextToken", "NextToken") if service == "ec2" else ("Marker", "NextMarker")
        page = self.ask(service, operation, **params)
        found: list[Json] = list(page.get(key, []))
        while page.get(got):
            page = self.ask(service, operation, **params, **{sent: page[got]})
            found += page.get(key, [])
        return found

    def tags(self, arns: list[str]) -> dict[str, dict[str, str]]:
        """Tags by ARN."""
        described: list[Json] = []
        for start in range(0, len(arns), _TAGS_AT_ONCE):
            chunk = arns[start : start + _TAGS_AT_ONCE]
            described += self.ask("elbv2", "DescribeTags", ResourceArns=chunk)["TagDescriptions"]
        return {one["ResourceArn"]: tags_of(one) for one in described}


def tags_of(described: Json) -> dict[str, str]:
    """Tags as a dictionary, by key."""
    return {tag["Key"]: tag.get("Value", "") for tag in sorted(described.get("Tags") or [], key=lambda tag: tag["Key"])}


def observe(gate: StrictGate, region: str) -> dict[str, dict[str, Json]]:
    """Kind → name → the object, all keys sorted.

    Kinds: vpcs, subnets, security_groups, instances, balancers, target_groups, classic, addresses, interfaces.
    """
    with gate.lock:
        reader = _Reader(gate, region)
        raw = {
            "vpcs": _by_id(reader.every("ec2", "DescribeVpcs", "Vpcs"), "VpcId"),
            "subnets": _by_id(reader.every("ec2", "DescribeSubnets", "Subnets"), "SubnetId"),
            "security_groups": _security_groups(reader),
            "instances": _instances(reader),
            "balancers": _balancers(reader),
            "target_groups": _target_groups(reader, gate),
            "classic": _classic(reader),
            "addresses": _by_id(reader.every("ec2", "DescribeAddresses", "Addresses"), "AllocationId"),
            "interfaces": _interfaces(reader),
        }
    names = _names(raw)
    return {kind: _named(objects, names) for kind, objects in raw.items()}


def bystanders(state: dict[str, dict[str, Json]]) -> Json:
    """The part of a state that belongs to others: objects tagged as bystanders, and rules described as theirs."""
    objects = {
        kind: {name: one for name, one in found.items() if BYSTANDER_TAG in one.get("Tags", {})}
        for kind, found in state.items()
    }
    rules = {
        name: [rule for rule in group["Ingress"] if rule.get("Description", "").startswith(BYSTANDER_RULE)]
        for name, group in state["security_groups"].items()
    }
    return {"objects": objects, "rules": {name: theirs for name, theirs in rules.items() if theirs}}


def _by_id(found: Iterable[Json], key: str) -> dict[str, Json]:
    return {one[key]: one | {"Tags": tags_of(one)} for one in found}


def _security_groups(reader: _Reader) -> dict[str, Json]:
    groups = {}
    for group in reader.every("ec2", "DescribeSecurityGroups", "SecurityGroups"):
        described = {key: group[key] for key in ("GroupId", "GroupName", "Description", "VpcId")}
        described["Tags"] = tags_of(group)
        described["Ingress"] = _rules(group["IpPermissions"])
        described["Egress"] = _rules(group["IpPermissionsEgress"])
        groups[group["GroupId"]] = described
    return groups


def _rules(permissions: list[Json]) -> list[Json]:
    """One rule a source: protocol, ports, source, description."""
    sources = ("IpRanges", "Ipv6Ranges", "UserIdGroupPairs", "PrefixListIds")
    return [
        {key: permission[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in permission} | source
        for permission in permissions
        for kind in sources
        for source in permission.get(kind, [])
    ]


def _instances(reader: _Reader) -> dict[str, Json]:
    found = [
        one
        for reservation in reader.every("ec2", "DescribeInstances", "Reservations")
        for one in reservation["Instances"]
    ]
    kept = ("InstanceId", "SubnetId", "PrivateIpAddress", "SecurityGroups")
    return {
        one["InstanceId"]: {key: one.get(key) for key in kept}
        | {"Tags": tags_of(one), "InstanceState": one["State"]["Name"]}
        for one in found
    }


def _balancers(reader: _Reader) -> dict[str, Json]:
    found = reader.every("elbv2", "DescribeLoadBalancers", "LoadBalancers")
    tags = reader.tags([one["LoadBalancerArn"] for one in found])
    for one in found:
        arn = one["LoadBalancerArn"]
        attributes = reader.ask("elbv2", "DescribeLoadBalancerAttributes", LoadBalancerArn=arn)["Attributes"]
        one |= {"Tags": tags[arn], "Attributes": _attributes(attributes), "Listeners": _listeners(reader, arn)}
    return {one["LoadBalancerArn"]: one for one in found}


def _attributes(described: list[Json]) -> dict[str, str]:
    return {one["Key"]: one.get("Value", "") for one in described}


def _listeners(reader: _Reader, balancer_arn: str) -> list[Json]:
    found = reader.every("elbv2", "DescribeListeners", "Listeners", LoadBalancerArn=balancer_arn)
    tags = reader.tags([one["ListenerArn"] for one in found])
    for one in found:
        arn = one["ListenerArn"]
        attributes = reader.ask("elbv2", "DescribeListenerAttributes", ListenerArn=arn)["Attributes"]
        certificates = reader.every("elbv2", "DescribeListenerCertificates", "Certificates", ListenerArn=arn)
        one |= {"Tags": tags[arn], "Attributes": _attributes(attributes), "Certificates": certificates}
    return sorted(found, key=lambda one: (one["Port"], one["Protocol"]))


def _target_groups(reader: _Reader, gate: StrictGate) -> dict[str, Json]:
    found = reader.every("elbv2", "DescribeTargetGroups", "TargetGroups")
    tags = reader.tags([one["TargetGroupArn"] for one in found])
    for one in found:
        arn = one["TargetGroupArn"]
        attributes = reader.ask("elbv2", "DescribeTargetGroupAttributes", TargetGroupArn=arn)["Attributes"]
        reader.ask("elbv2", "DescribeTargetHealth", TargetGroupArn=arn)
        targets = [
            {"Id": target.id, "Port": target.port, "Zone": target.zone, "Draining": target.drains_until is not None}
            for target in gate.ledger.targets.get(arn, {}).values()
        ]
        one |= {"Tags": tags[arn], "Attributes": _attributes(attributes), "Targets": targets}
    return {one["TargetGroupArn"]: one for one in found}


def _classic(reader: _Reader) -> dict[str, Json]:
    found = reader.every("elb", "DescribeLoadBalancers", "LoadBalancerDescriptions")
    for one in found:
        name = one["LoadBalancerName"]
        attributes = reader.ask("elb", "DescribeLoadBalancerAttributes", LoadBalancerName=name)
        policies = reader.ask("elb", "DescribeLoadBalancerPolicies", LoadBalancerName=name)
        described = reader.ask("elb", "DescribeTags", LoadBalancerNames=[name])["TagDescriptions"]
        one |= {"Tags": tags_of(described[0]) if described else {}}
        one |= {"Attributes": attributes["LoadBalancerAttributes"], "Policies": policies["PolicyDescriptions"]}
    return {one["LoadBalancerName"]: one for one in found}


def _interfaces(reader: _Reader) -> dict[str, Json]:
    found = reader.every("ec2", "DescribeNetworkInterfaces", "NetworkInterfaces")
    kept = ("Description", "SubnetId", "Groups")
    for one in found:  # the balancer's id ends the description of a network one
        one["Description"] = one["Description"].rpartition("/")[0] or one["Description"]
    return {one["NetworkInterfaceId"]: {key: one.get(key) for key in kept} for one in found if one["Description"]}


def _names(raw: dict[str, dict[str, Json]]) -> dict[str, str]:
    """What each drawn id is called in the result; a name used twice is numbered, so nothing is hidden."""
    names: dict[str, str] = {}
    used: Counter[str] = Counter()
    for objects in raw.values():
        for drawn, one in objects.items():
            name = _name(drawn, one, names)
            used[name] += 1
            names[drawn] = name if used[name] == 1 else f"{name} #{used[name]}"
    for balancer in raw["balancers"].values():
        names[balancer["DNSName"]] = f"{balancer['LoadBalancerName']}.dns"
        for listener in balancer["Listeners"]:
            names[listener["ListenerArn"]] = f"{balancer['LoadBalancerName']}:{listener['Port']}"
    return names


def _name(drawn: str, one: Json, names: dict[str, str]) -> str:
    keys = ("LoadBalancerName", "TargetGroupName", "GroupName")
    named = [str(one[key]) for key in keys if one.get(key)]
    if "Description" in one and not named:
        return f"{one['Description']} in {names[one['SubnetId']]}"
    tagged = one.get("Tags", {}).get("Name")
    return str((named or [tagged or one.get("CidrBlock") or one.get("PublicIp") or drawn])[0])


def _named(objects: dict[str, Json], names: dict[str, str]) -> dict[str, Json]:
    return dict(sorted((names[drawn], _rename(one, names)) for drawn, one in objects.items()))


def _rename(value: Value, names: dict[str, str]) -> Value:
    if isinstance(value, dict):
        return {key: _rename(one, names) for key, one in sorted(value.items()) if key not in _VOLATILE}
    if isinstance(value, list):
        return sorted((_rename(one, names) for one in value), key=repr)
    return names.get(value, value) if isinstance(value, str) else value
