"""What moto allows a v2 balancer and AWS does not: its name, subnets, security groups and deletion.

Refusals come before moto sees the call, so a refused call changes nothing. The words of an error are those of the API
model where it has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from moto_fixtures.strict.cloud import Cloud, MotoObject
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

_NAME = re.compile(r"(?!-)(?!internal-)[A-Za-z0-9-]{1,32}(?<!-)")
_DESCRIBED_AT_ONCE = 20

balancer_name_form = Switch(
    "balancer-name-form",
    moto="accepts names of 33 characters, with an edge hyphen or the prefix internal-",
    aws="ValidationError (API model: 32 alphanumeric characters or hyphens, no edge hyphen, not internal-)",
)
balancer_name_unique = Switch(
    "balancer-name-unique",
    moto="CreateLoadBalancer of a used name makes a second balancer with another ARN",
    aws="equal settings answer the existing balancer, others DuplicateLoadBalancerName",
)
subnets_valid = Switch(
    "subnets-valid",
    moto="unknown subnet: EC2's InvalidSubnetID.NotFound; two subnets of a zone and of two VPCs are accepted",
    aws="SubnetNotFound; InvalidConfigurationRequest",
)
public_needs_gateway = Switch(
    "public-needs-gateway",
    moto="makes an internet-facing balancer in a VPC without an internet gateway",
    aws="InvalidSubnet",
)
one_zone_allowed = Switch(
    "one-zone-allowed",
    moto="SetSubnets refuses a network balancer in one zone, as if it were an application balancer",
    aws="one zone is enough for a network balancer",
)
balancer_groups_exist = Switch(
    "balancer-groups-exist",
    moto="CreateLoadBalancer accepts unknown security groups, and SetSecurityGroups those of another VPC",
    aws="InvalidSecurityGroup",
)
groups_from_birth = Switch(
    "groups-from-birth",
    moto="SetSecurityGroups works on a network balancer that was created without any",
    aws="InvalidConfigurationRequest, and the same for taking the last group away",
)
dualstack_subnets = Switch(
    "dualstack-subnets",
    moto="dualstack without IPv6 subnets is accepted",
    aws="InvalidSubnet",
)
deletion_protection = Switch(
    "deletion-protection",
    moto="DeleteLoadBalancer ignores deletion_protection.enabled",
    aws="OperationNotPermitted",
)
described_names = Switch(
    "described-names",
    moto="DescribeLoadBalancers skips missing names and ARNs when it found an earlier one, and takes more than 20",
    aws="LoadBalancerNotFound; ValidationError",
)


@balancer_name_form.before("elbv2", "CreateLoadBalancer")
def _check_name(call: Call, _cloud: Cloud) -> None:
    name = call.params["Name"]
    if not _NAME.fullmatch(name):
        raise RefusedError(
            "ValidationError",
            f"The load balancer name '{name}' must have at most 32 alphanumeric characters or hyphens, "
            "must not begin or end with a hyphen, and must not begin with 'internal-'",
        )


@subnets_valid.before("elbv2", "CreateLoadBalancer", "SetSubnets")
def _check_subnets(call: Call, cloud: Cloud) -> None:
    subnets = _subnets_of(call, cloud)
    if len({one.availability_zone for one in subnets}) < len(subnets):
        raise RefusedError(
            "InvalidConfigurationRequest",
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
        )
    balancer = cloud.balancer(call.params.get("LoadBalancerArn", ""))
    vpcs = {one.vpc_id for one in subnets} | ({balancer.vpc_id} if balancer else set())
    if len(vpcs) > 1:
        raise RefusedError("InvalidConfigurationRequest", "All subnets must belong to the same VPC")


def subnet_ids_of(params: Json) -> list[str]:
    """The subnets that a request names, in either of its two ways."""
    return [*params.get("Subnets", ()), *(mapping["SubnetId"] for mapping in params.get("SubnetMappings", ()))]


def _subnets_of(call: Call, cloud: Cloud) -> list[MotoObject]:
    found = [cloud.subnet(subnet_id) for subnet_id in subnet_ids_of(call.params)]
    if not found or None in found:
        raise RefusedError("SubnetNotFound", "The specified subnet does not exist.")
    return found


@public_needs_gateway.before("elbv2", "CreateLoadBalancer")
def _check_gateway(call: Call, cloud: Cloud) -> None:
    if call.params.get("Scheme", "internet-facing") == "internal":
        return
    vpc_ids = {subnet.vpc_id for subnet in map(cloud.subnet, subnet_ids_of(call.params)) if subnet}
    gateways = cloud.ec2.internet_gateways.values()
    attached = {gateway.vpc.id for gateway in gateways if gateway.vpc}
    for vpc_id in sorted(vpc_ids - attached):
        raise RefusedError("InvalidSubnet", f"VPC {vpc_id} has no internet gateway")


@one_zone_allowed.instead("elbv2", "SetSubnets")
def _set_one_zone(call: Call, cloud: Cloud) -> Json | None:
    balancer = cloud.balancer(call.params["LoadBalancerArn"])
    subnets = [cloud.subnet(subnet_id) for subnet_id in subnet_ids_of(call.params)]
    if balancer is None or balancer.type != "network" or len(subnets) != 1 or None in subnets:
        return None
    balancer.subnets = subnets
    zones = [{"ZoneName": one.availability_zone, "SubnetId": one.id} for one in subnets]
    return {"AvailabilityZones": zones, "IpAddressType": balancer.ip_address_type}


@balancer_groups_exist.before("elbv2", "CreateLoadBalancer", "SetSecurityGroups")
def _check_groups(call: Call, cloud: Cloud) -> None:
    balancer = cloud.balancer(call.params.get("LoadBalancerArn", ""))
    subnets = [subnet for subnet in map(cloud.subnet, subnet_ids_of(call.params)) if subnet]
    vpc_id = balancer.vpc_id if balancer else subnets[0].vpc_id if subnets else None
    for group_id in call.params.get("SecurityGroups", ()):
        group = cloud.security_group(group_id)
        if group is None or group.vpc_id != vpc_id:
            raise RefusedError("InvalidSecurityGroup", f"Security group '{group_id}' does not exist in VPC '{vpc_id}'")


@balancer_name_unique.before("elbv2", "CreateLoadBalancer")
def _answer_repeat(call: Call, cloud: Cloud) -> Json | None:
    name = call.params["Name"]
    existing = next((one for one in cloud.elbv2.load_balancers.values() if one.name == name), None)
    if existing is None:
        return None
    if _asked_settings(call.params) != _held_settings(existing):
        message = f"A load balancer with the same name '{name}' exists, but with different settings"
        raise RefusedError("DuplicateLoadBalancerName", message)
    return cloud.ask("elbv2", "DescribeLoadBalancers", {"LoadBalancerArns": [existing.arn]})


def _asked_settings(params: Json) -> tuple[object, ...]:
    return (
        params.get("Type", "application"),
        params.get("Scheme", "internet-facing"),
        params.get("IpAddressType", "ipv4"),
        set(subnet_ids_of(params)),
        set(params.get("SecurityGroups", ())),
    )


def _held_settings(balancer: MotoObject) -> tuple[object, ...]:
    return (
        balancer.type,
        balancer.scheme or "internet-facing",
        balancer.ip_address_type,
        {subnet.id for subnet in balancer.subnets},
        set(balancer.security_groups),
    )


@groups_from_birth.after("elbv2", "CreateLoadBalancer")
def _note_birth(call: Call, cloud: Cloud, answer: Json) -> None:
    if call.params.get("Type") == "network" and not call.params.get("SecurityGroups"):
        cloud.ledger.born_without_groups.add(answer["LoadBalancers"][0]["LoadBalancerArn"])


@groups_from_birth.before("elbv2", "SetSecurityGroups")
def _check_birth(call: Call, cloud: Cloud) -> None:
    arn = call.params["LoadBalancerArn"]
    if arn in cloud.ledger.born_without_groups:
        raise RefusedError(
            "InvalidConfigurationRequest",
            "You can't perform this operation on a Network Load Balancer unless you specified a security group "
            "for the load balancer when you created it",
        )
    balancer = cloud.balancer(arn)
    if balancer is not None and not call.params["SecurityGroups"]:
        raise RefusedError("InvalidConfigurationRequest", "You must specify at least one security group")


@dualstack_subnets.before("elbv2", "CreateLoadBalancer", "SetIpAddressType", "SetSubnets")
def _check_families(call: Call, cloud: Cloud) -> None:
    if call.params.get("IpAddressType") != "dualstack":
        return
    named = subnet_ids_of(call.params)
    balancer = cloud.balancer(call.params.get("LoadBalancerArn", ""))
    subnets: Iterable[MotoObject] = map(cloud.subnet, named) if named or balancer is None else balancer.subnets
    for subnet in subnets:
        if subnet is not None and not subnet.ipv6_cidr_block_associations:
            raise RefusedError("InvalidSubnet", f"The subnet '{subnet.id}' must have an associated IPv6 CIDR block")


@deletion_protection.before("elbv2", "DeleteLoadBalancer")
def _check_protection(call: Call, cloud: Cloud) -> None:
    arn = call.params["LoadBalancerArn"]
    balancer = cloud.balancer(arn)
    if balancer is not None and balancer.attrs.get("deletion_protection.enabled") == "true":
        message = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
        raise RefusedError("OperationNotPermitted", message)


@described_names.before("elbv2", "DescribeLoadBalancers")
def _check_described(call: Call, cloud: Cloud) -> None:
    names, arns = call.params.get("Names", []), call.params.get("LoadBalancerArns", [])
    if len(names) > _DESCRIBED_AT_ONCE or len(arns) > _DESCRIBED_AT_ONCE:
        raise RefusedError("ValidationError", "Cannot have more than 20 resources described")
    held = cloud.elbv2.load_balancers
    if set(names) - {one.name for one in held.values()} or set(arns) - set(held):
        raise RefusedError("LoadBalancerNotFound", "One or more load balancers not found")
