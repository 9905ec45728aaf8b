"""What AWS keeps of a balancer with IPv6 and of its reserved capacity, and moto drops."""

from __future__ import annotations

import ipaddress
from itertools import islice

from moto_fixtures.strict.cloud import Cloud
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json

AUTO = "auto_assigned"
PREFIX_LENGTH = 80

set_subnets_family = Switch(
    "set-subnets-family",
    moto="SetSubnets ignores IpAddressType",
    aws="the balancer has the address type, as with SetIpAddressType",
)
source_nat = Switch(
    "source-nat",
    moto="EnablePrefixForIpv6SourceNat and SourceNatIpv6Prefix are dropped",
    aws="both are described; auto_assigned becomes a prefix of the subnet's range",
)
capacity_reservations = Switch(
    "capacity-reservations",
    moto="ModifyCapacityReservation is unknown, and every balancer has a reservation without units",
    aws="the units that were asked for are described; after a reset there are none",
)


@set_subnets_family.after("elbv2", "SetSubnets")
def _take_family(call: Call, cloud: Cloud, _answer: Json) -> None:
    balancer = cloud.balancer(call.params["LoadBalancerArn"])
    if balancer is not None and "IpAddressType" in call.params:
        balancer.ip_address_type = call.params["IpAddressType"]


@source_nat.after("elbv2", "CreateLoadBalancer")
def _born_with(call: Call, cloud: Cloud, answer: Json) -> None:
    _keep(answer["LoadBalancers"][0]["LoadBalancerArn"], call, cloud)
    _show(answer["LoadBalancers"][0], cloud)


@source_nat.after("elbv2", "SetSubnets")
def _set_later(call: Call, cloud: Cloud, _answer: Json) -> None:
    _keep(call.params["LoadBalancerArn"], call, cloud)


def _keep(arn: str, call: Call, cloud: Cloud) -> None:
    switch = call.params.get("EnablePrefixForIpv6SourceNat")
    if switch is not None:
        cloud.ledger.source_nat[arn] = switch


@source_nat.after("elbv2", "DescribeLoadBalancers")
def _describe(_call: Call, cloud: Cloud, answer: Json) -> None:
    for described in answer["LoadBalancers"]:
        _show(described, cloud)


def _show(described: Json, cloud: Cloud) -> None:
    arn = described["LoadBalancerArn"]
    described["EnablePrefixForIpv6SourceNat"] = cloud.ledger.source_nat.get(arn, "off")
    mappings = cloud.ledger.subnet_mappings.get(arn, {})
    for zone in described["AvailabilityZones"]:
        asked = mappings.get(zone["SubnetId"], {}).get("SourceNatIpv6Prefix")
        if asked is not None:
            zone["SourceNatIpv6Prefixes"] = [_prefix(zone["SubnetId"], cloud) if asked == AUTO else asked]


def _prefix(subnet_id: str, cloud: Cloud) -> str:
    """The third prefix of the subnet's IPv6 range: any will do."""
    blocks = cloud.subnet(subnet_id).ipv6_cidr_block_associations.values()
    network = ipaddress.ip_network(next(iter(blocks))["ipv6CidrBlock"])
    return str(next(islice(network.subnets(new_prefix=PREFIX_LENGTH), 2, None)))


@capacity_reservations.instead("elbv2", "ModifyCapacityReservation")
def _reserve(call: Call, cloud: Cloud) -> Json:
    arn = call.params["LoadBalancerArn"]
    cloud.ledger.capacity.pop(arn, None)
    if not call.params.get("ResetCapacityReservation"):
        cloud.ledger.capacity[arn] = int(call.params["MinimumLoadBalancerCapacity"]["CapacityUnits"])
    return _reserved(arn, cloud)


@capacity_reservations.instead("elbv2", "DescribeCapacityReservation")
def _describe_reserved(call: Call, cloud: Cloud) -> Json:
    return _reserved(call.params["LoadBalancerArn"], cloud)


def _reserved(arn: str, cloud: Cloud) -> Json:
    units = cloud.ledger.capacity.get(arn)
    state = {"CapacityReservationState": [{"State": {"Code": "provisioned"}}]}
    return state | ({"MinimumLoadBalancerCapacity": {"CapacityUnits": units}} if units is not None else {})
