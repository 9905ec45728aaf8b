"""Network interfaces and addresses of v2 and classic balancers, which moto does not make.

A balancer holds one interface a subnet; the interface carries the security groups and, where one was asked for, the
elastic or private address. Interfaces outlive their balancer for a while, and hold its security groups that long.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from moto_fixtures.strict.cloud import Cloud, MotoObject
from moto_fixtures.strict.ledger import Departure
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

# Seconds for which the interfaces of a deleted balancer still exist; on AWS it takes up to minutes.
INTERFACE_LINGERS = 20.0

balancer_interfaces = Switch(
    "balancer-interfaces",
    moto="balancers have no network interfaces",
    aws="one interface a subnet, described as 'ELB net/NAME/ID' or 'ELB NAME', which outlives the balancer for a while",
)
balancer_addresses = Switch(
    "balancer-addresses",
    moto="AllocationId, PrivateIPv4Address and IPv6Address of SubnetMappings are dropped, unknown allocations accepted",
    aws="AllocationIdNotFound; LoadBalancerAddresses; ReleaseAddress of an address in use is refused",
)


@balancer_addresses.before("elbv2", "CreateLoadBalancer")
def _check_addresses(call: Call, cloud: Cloud) -> None:
    mappings = call.params.get("SubnetMappings", ())
    internal = call.params.get("Scheme", "internet-facing") == "internal"
    if any(one.name == call.params["Name"] for one in cloud.elbv2.load_balancers.values()):
        return
    for mapping in mappings:
        _check_allocation(mapping, cloud, internal=internal)
        _check_private(mapping, cloud, internal=internal)


def _check_allocation(mapping: Json, cloud: Cloud, *, internal: bool) -> None:
    allocation_id = mapping.get("AllocationId")
    if allocation_id is None:
        return
    if internal:
        message = "You cannot specify an Elastic IP address for an internal load balancer"
        raise RefusedError("InvalidConfigurationRequest", message)
    held = next((one for one in cloud.ec2.addresses if one.allocation_id == allocation_id), None)
    if held is None or held.association_id:
        message = f"The allocation IDs '{allocation_id}' do not exist or are not available for use"
        raise RefusedError("AllocationIdNotFound", message)


def _check_private(mapping: Json, cloud: Cloud, *, internal: bool) -> None:
    address = mapping.get("PrivateIPv4Address")
    if address is None:
        return
    subnet = cloud.subnet(mapping["SubnetId"])
    if not internal:
        message = "You cannot specify a private IPv4 address for an internet-facing load balancer"
        raise RefusedError("InvalidConfigurationRequest", message)
    if subnet is not None and ipaddress.ip_address(address) not in ipaddress.ip_network(subnet.cidr_block):
        message = f"The private IP address '{address}' is not in the CIDR block of subnet '{subnet.id}'"
        raise RefusedError("InvalidConfigurationRequest", message)


@balancer_interfaces.after("elbv2", "CreateLoadBalancer")
def _plug_v2(call: Call, cloud: Cloud, answer: Json) -> None:
    balancer = cloud.balancer(answer["LoadBalancers"][0]["LoadBalancerArn"])
    if balancer is not None:
        _plug(balancer.arn, balancer.arn.partition("loadbalancer/")[2], balancer, call.params, cloud)


@balancer_interfaces.after("elbv2", "SetSubnets")
def _replug_v2(call: Call, cloud: Cloud, _answer: Json) -> None:
    balancer = cloud.balancer(call.params["LoadBalancerArn"])
    if balancer is not None:
        _plug(balancer.arn, balancer.arn.partition("loadbalancer/")[2], balancer, call.params, cloud)


@balancer_interfaces.after("elb", "CreateLoadBalancer", "AttachLoadBalancerToSubnets", "DetachLoadBalancerFromSubnets")
def _plug_classic(call: Call, cloud: Cloud, _answer: Json) -> None:
    name = call.params["LoadBalancerName"]
    _plug(name, name, cloud.elb.load_balancers[name], {}, cloud)


def _plug(key: str, title: str, balancer: MotoObject, params: Json, cloud: Cloud) -> None:
    """Interfaces for exactly the balancer's subnets: new ones plugged, those of left subnets taken away."""
    held = cloud.ledger.interfaces.setdefault(key, {})
    wanted = {getattr(subnet, "id", subnet) for subnet in balancer.subnets}
    mappings = {mapping["SubnetId"]: mapping for mapping in params.get("SubnetMappings", ())}
    for subnet_id in sorted(set(held) - wanted):
        _unplug([held.pop(subnet_id)], cloud)
    for subnet_id in sorted(wanted - set(held)):
        mapping = mappings.get(subnet_id, {})
        interface = cloud.ec2.create_network_interface(
            cloud.subnet(subnet_id),
            mapping.get("PrivateIPv4Address"),
            group_ids=list(balancer.security_groups),
            description=f"ELB {title}",
        )
        interface.requester_managed = True
        interface.status = "in-use"
        held[subnet_id] = interface.id


@balancer_interfaces.after("elbv2", "SetSecurityGroups")
def _regroup_v2(call: Call, cloud: Cloud, _answer: Json) -> None:
    _regroup(cloud.ledger.interfaces.get(call.params["LoadBalancerArn"], {}), call.params["SecurityGroups"], cloud)


@balancer_interfaces.after("elb", "ApplySecurityGroupsToLoadBalancer")
def _regroup_classic(call: Call, cloud: Cloud, _answer: Json) -> None:
    _regroup(cloud.ledger.interfaces.get(call.params["LoadBalancerName"], {}), call.params["SecurityGroups"], cloud)


def _regroup(interfaces: dict[str, str], group_ids: list[str], cloud: Cloud) -> None:
    for interface_id in interfaces.values():
        cloud.ec2.enis[interface_id]._group_set = [cloud.security_group(one) for one in group_ids]  # noqa: SLF001 - moto's own field, it has no setter


@balancer_interfaces.after("elbv2", "DeleteLoadBalancer")
def _leave_v2(call: Call, cloud: Cloud, _answer: Json) -> None:
    _leave(call.params["LoadBalancerArn"], cloud)


@balancer_interfaces.after("elb", "DeleteLoadBalancer")
def _leave_classic(call: Call, cloud: Cloud, _answer: Json) -> None:
    _leave(call.params["LoadBalancerName"], cloud)


def _leave(key: str, cloud: Cloud) -> None:
    interface_ids = tuple(cloud.ledger.interfaces.pop(key, {}).values())
    if interface_ids:
        cloud.ledger.departures.append(Departure(interface_ids, cloud.now + INTERFACE_LINGERS))
    cloud.ledger.subnet_mappings.pop(key, None)


def _sweep(_call: Call, cloud: Cloud) -> None:
    """Take away what has lingered long enough; run before every call that could tell the difference."""
    gone = [one for one in cloud.ledger.departures if one.gone_at <= cloud.now]
    for departure in gone:
        cloud.ledger.departures.remove(departure)
        _unplug(departure.interface_ids, cloud)


for _operation in (
    "DeleteSecurityGroup", "DescribeNetworkInterfaces", "ReleaseAddress", "DescribeAddresses", "DeleteSubnet",
):  # fmt: skip
    balancer_interfaces.before("ec2", _operation)(_sweep)
balancer_interfaces.before("elbv2", "CreateLoadBalancer")(_sweep)


def _unplug(interface_ids: list[str] | tuple[str, ...], cloud: Cloud) -> None:
    for address in cloud.ec2.addresses:
        if address.eni is not None and address.eni.id in interface_ids:
            address.eni = address.association_id = None
    for interface_id in interface_ids:
        cloud.ec2.enis.pop(interface_id, None)


@balancer_addresses.after("elbv2", "CreateLoadBalancer")
def _take_addresses(call: Call, cloud: Cloud, answer: Json) -> None:
    described = answer["LoadBalancers"][0]
    arn = described["LoadBalancerArn"]
    mappings = {mapping["SubnetId"]: mapping for mapping in call.params.get("SubnetMappings", ())}
    cloud.ledger.subnet_mappings[arn] = mappings
    for subnet_id, mapping in mappings.items():
        interface = cloud.ec2.enis.get(cloud.ledger.interfaces.get(arn, {}).get(subnet_id))
        if "AllocationId" in mapping and interface is not None:
            cloud.ec2.associate_address(eni=interface, allocation_id=mapping["AllocationId"])
    _show_addresses(described, cloud)


@balancer_addresses.after("elbv2", "SetSubnets")
def _show_after_move(call: Call, cloud: Cloud, _answer: Json) -> None:
    held = cloud.ledger.subnet_mappings.setdefault(call.params["LoadBalancerArn"], {})
    held.update({mapping["SubnetId"]: mapping for mapping in call.params.get("SubnetMappings", ())})


@balancer_addresses.after("elbv2", "DescribeLoadBalancers")
def _describe_addresses(_call: Call, cloud: Cloud, answer: Json) -> None:
    for described in answer["LoadBalancers"]:
        _show_addresses(described, cloud)


def _show_addresses(described: Json, cloud: Cloud) -> None:
    mappings = cloud.ledger.subnet_mappings.get(described["LoadBalancerArn"], {})
    for zone in described["AvailabilityZones"]:
        address = _address(mappings.get(zone["SubnetId"], {}), cloud)
        zone["LoadBalancerAddresses"] = [address] if address else []


def _address(mapping: Json, cloud: Cloud) -> Json:
    shown = {key: mapping[key] for key in ("AllocationId", "PrivateIPv4Address", "IPv6Address") if key in mapping}
    public = [one.public_ip for one in cloud.ec2.addresses if one.allocation_id == mapping.get("AllocationId")]
    return shown | ({"IpAddress": public[0]} if "AllocationId" in mapping and public else {})


@balancer_addresses.before("ec2", "ReleaseAddress", "DisassociateAddress")
def _check_release(call: Call, cloud: Cloud) -> None:
    asked = {call.params.get("AllocationId"), call.params.get("PublicIp"), call.params.get("AssociationId")} - {None}
    for address in _addresses_of_balancers(cloud):
        if {address.allocation_id, address.public_ip, address.association_id} & asked:
            raise RefusedError("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")


def _addresses_of_balancers(cloud: Cloud) -> Iterator[MotoObject]:
    yield from (one for one in cloud.ec2.addresses if one.eni is not None and one.eni.requester_managed)
