"""What AWS gives a balancer at birth and moto gives differently: ARN, DNS name, attributes, addresses.

These change moto's own objects right after moto made them, so every later answer of moto shows them.
"""

from __future__ import annotations

import zlib

from moto_fixtures.strict.cloud import Cloud, MotoObject
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

# API model, LoadBalancerAttribute.Key: the keys of network balancers, with AWS's defaults.
_NETWORK_ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "deletion_protection.enabled": "false",
    "dns_record.client_routing_policy": "any_availability_zone",
    "ipv6.deny_all_igw_traffic": "false",
    "load_balancing.cross_zone.enabled": "false",
    "secondary_ips.auto_assigned.per_subnet": "0",
    "zonal_shift.config.enabled": "false",
}
_ROUTING_POLICIES = {"any_availability_zone", "availability_zone_affinity", "partial_availability_zone_affinity"}
_BOOLEANS = {"true", "false"}
# Seconds until a new balancer is active; on AWS it takes one to three minutes.
PROVISIONING_TAKES = 60.0

network_arn = Switch(
    "network-arn",
    moto="the ARN of a network balancer says loadbalancer/app",
    aws="loadbalancer/net, and listener/net for its listeners",
)
dns_names = Switch(
    "dns-names",
    moto="NAME-1.REGION.elb.amazonaws.com for v2 balancers, always us-east-1 for classic ones",
    aws="network: NAME-ID.elb.REGION.amazonaws.com; classic: NAME-NUMBER.REGION…, internal- before internal ones",
)
network_attributes = Switch(
    "network-attributes",
    moto="a network balancer has three attributes, takes those of application balancers and any value",
    aws="the full set from birth; InvalidConfigurationRequest for a foreign key, a bad value, logs without a bucket",
)
provisioning = Switch(
    "provisioning",
    moto="a balancer is active at the first look",
    aws="provisioning for a minute or more",
)


@network_arn.after("elbv2", "CreateLoadBalancer")
def _rename(_call: Call, cloud: Cloud, answer: Json) -> None:
    described = answer["LoadBalancers"][0]
    arn = described["LoadBalancerArn"]
    balancer = cloud.balancer(arn)
    if balancer is None or balancer.type != "network":
        return
    balancer.arn = described["LoadBalancerArn"] = arn.replace(":loadbalancer/app/", ":loadbalancer/net/")
    tags = cloud.elbv2.tagging_service
    cloud.elbv2.load_balancers[balancer.arn] = cloud.elbv2.load_balancers.pop(arn)
    tags.copy_tags(arn, balancer.arn)
    tags.delete_all_tags_for_resource(arn)
    if arn in cloud.ledger.born_without_groups:
        cloud.ledger.born_without_groups.remove(arn)
        cloud.ledger.born_without_groups.add(balancer.arn)


@dns_names.after("elbv2", "CreateLoadBalancer")
def _name_v2(_call: Call, cloud: Cloud, answer: Json) -> None:
    described = answer["LoadBalancers"][0]
    balancer = cloud.balancer(described["LoadBalancerArn"])
    if balancer is None or balancer.type != "network":
        return
    unique = balancer.arn.rpartition("/")[2]
    balancer.dns_name = described["DNSName"] = f"{balancer.name}-{unique}.elb.{cloud.region}.amazonaws.com"


@dns_names.after("elb", "CreateLoadBalancer")
def _name_classic(call: Call, cloud: Cloud, answer: Json) -> None:
    balancer = cloud.elb.load_balancers[call.params["LoadBalancerName"]]
    prefix = "internal-" if balancer.scheme == "internal" else ""
    number = zlib.crc32(balancer.name.encode())
    balancer.dns_name = answer["DNSName"] = f"{prefix}{balancer.name}-{number}.{cloud.region}.elb.amazonaws.com"


@network_attributes.after("elbv2", "CreateLoadBalancer")
def _complete_attributes(_call: Call, cloud: Cloud, answer: Json) -> None:
    balancer = cloud.balancer(answer["LoadBalancers"][0]["LoadBalancerArn"])
    if balancer is not None and balancer.type == "network":
        balancer.attrs = dict(_NETWORK_ATTRIBUTES)
        if balancer.scheme == "internal":
            balancer.attrs["ipv6.deny_all_igw_traffic"] = "true"


@network_attributes.before("elbv2", "ModifyLoadBalancerAttributes")
def _check_attributes(call: Call, cloud: Cloud) -> None:
    balancer = cloud.balancer(call.params["LoadBalancerArn"])
    if balancer is None or balancer.type != "network":
        return
    asked = {attribute["Key"]: attribute.get("Value", "") for attribute in call.params["Attributes"]}
    for key, value in asked.items():
        _check_attribute(key, value)
    _check_logs(balancer, asked)


def _check_attribute(key: str, value: str) -> None:
    if key not in _NETWORK_ATTRIBUTES:
        message = f"Load balancer attribute key '{key}' is not supported on load balancers with type 'network'"
        raise RefusedError("InvalidConfigurationRequest", message)
    allowed = _ROUTING_POLICIES if key == "dns_record.client_routing_policy" else _BOOLEANS
    if (key.endswith("enabled") or allowed is _ROUTING_POLICIES) and value not in allowed:
        message = f"Load balancer attribute value '{value}' for '{key}' must be one of {sorted(allowed)}"
        raise RefusedError("InvalidConfigurationRequest", message)


def _check_logs(balancer: MotoObject, asked: dict[str, str]) -> None:
    after = balancer.attrs | asked
    if after["access_logs.s3.enabled"] == "true" and not after["access_logs.s3.bucket"]:
        message = "The value of 'access_logs.s3.bucket' cannot be empty when 'access_logs.s3.enabled' is true"
        raise RefusedError("InvalidConfigurationRequest", message)
    if asked.get("access_logs.s3.bucket") == "":
        raise RefusedError("InvalidConfigurationRequest", "The value of 'access_logs.s3.bucket' cannot be empty")


@provisioning.after("elbv2", "CreateLoadBalancer")
def _note_birth(_call: Call, cloud: Cloud, answer: Json) -> None:
    cloud.ledger.created_at[answer["LoadBalancers"][0]["LoadBalancerArn"]] = cloud.now


@provisioning.after("elbv2", "DescribeLoadBalancers")
def _show_age(_call: Call, cloud: Cloud, answer: Json) -> None:
    for described in answer["LoadBalancers"]:
        born = cloud.ledger.created_at.get(described["LoadBalancerArn"], -PROVISIONING_TAKES)
        if cloud.now < born + PROVISIONING_TAKES:
            described["State"] = {"Code": "provisioning"}
