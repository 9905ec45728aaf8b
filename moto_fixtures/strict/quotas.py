"""Quotas of an account: moto holds only the 60 rules of a security group.

The numbers are AWS's defaults; a test that needs a small or a huge account changes `gate.quotas`. Counting is over what
moto holds, so what others own counts too, as in a real account.
"""

from moto_fixtures.strict.cloud import Cloud
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

AWS_QUOTAS = {
    "network-load-balancers": 50,
    "classic-load-balancers": 20,
    "target-groups": 3000,
    "listeners-per-load-balancer": 50,
    "targets-per-target-group": 1000,
    "security-groups": 2500,
    "security-groups-per-interface": 5,
}

account_quotas = Switch(
    "account-quotas",
    moto="has no quota but the rules of a security group",
    aws="TooManyLoadBalancers, TooManyTargetGroups, TooManyListeners, TooManyTargets, SecurityGroupLimitExceeded",
)


@account_quotas.before("elbv2", "CreateLoadBalancer")
def _count_balancers(call: Call, cloud: Cloud) -> None:
    held = cloud.elbv2.load_balancers.values()
    if all(one.name != call.params.get("Name") for one in held) and len(held) >= cloud.quotas["network-load-balancers"]:
        raise RefusedError("TooManyLoadBalancers", "You've reached the limit on the number of load balancers")


@account_quotas.before("elb", "CreateLoadBalancer")
def _count_classic(call: Call, cloud: Cloud) -> None:
    held = cloud.elb.load_balancers
    if call.params["LoadBalancerName"] not in held and len(held) >= cloud.quotas["classic-load-balancers"]:
        raise RefusedError("TooManyLoadBalancers", "The quota for the number of load balancers has been reached.")


@account_quotas.before("elbv2", "CreateTargetGroup")
def _count_target_groups(call: Call, cloud: Cloud) -> None:
    held = cloud.elbv2.target_groups.values()
    if all(one.name != call.params["Name"] for one in held) and len(held) >= cloud.quotas["target-groups"]:
        raise RefusedError("TooManyTargetGroups", "You've reached the limit on the number of target groups")


@account_quotas.before("elbv2", "CreateListener")
def _count_listeners(call: Call, cloud: Cloud) -> None:
    balancer = cloud.balancer(call.params["LoadBalancerArn"])
    if balancer is not None and len(balancer.listeners) >= cloud.quotas["listeners-per-load-balancer"]:
        raise RefusedError("TooManyListeners", "You've reached the limit on the number of listeners per load balancer")


@account_quotas.before("elbv2", "RegisterTargets")
def _count_targets(call: Call, cloud: Cloud) -> None:
    group = cloud.target_group(call.params["TargetGroupArn"])
    if group is None:
        return
    held = set(cloud.ledger.targets.get(group.arn, {}))
    asked = {(target["Id"], target.get("Port", group.port)) for target in call.params["Targets"]}
    if len(held | asked) > cloud.quotas["targets-per-target-group"]:
        raise RefusedError("TooManyTargets", "You've reached the limit on the number of targets")


@account_quotas.before("ec2", "CreateSecurityGroup")
def _count_security_groups(_call: Call, cloud: Cloud) -> None:
    if sum(len(groups) for groups in cloud.ec2.groups.values()) >= cloud.quotas["security-groups"]:
        raise RefusedError("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")


@account_quotas.before("elbv2", "CreateLoadBalancer", "SetSecurityGroups")
def _count_attached_groups(call: Call, cloud: Cloud) -> None:
    if len(call.params.get("SecurityGroups", ())) > cloud.quotas["security-groups-per-interface"]:
        raise RefusedError(
            "InvalidConfigurationRequest",
            "You've exceeded the limit on the number of security groups that you can associate with a load balancer",
        )


account_limits = Switch(
    "account-limits",
    moto="tells limits of its own making for v2 balancers, and none for classic ones",
    aws="each service tells the limits that it enforces, with names and numbers as text",
)
_LIMITS_OF = {
    "elb": ("classic-load-balancers",),
    "elbv2": ("network-load-balancers", "target-groups"),
}


@account_limits.before("elb", "DescribeAccountLimits")
@account_limits.before("elbv2", "DescribeAccountLimits")
def _tell_limits(call: Call, cloud: Cloud) -> Json:
    return {"Limits": [{"Name": name, "Max": str(cloud.quotas[name])} for name in _LIMITS_OF[call.service]]}
