"""Pages: moto answers everything at once for most lists, and pages of 50 for balancers.

Where moto gives the whole list, the page is cut here; the token is the number of what was shown, marked so that a token
of another list is refused.
"""

from __future__ import annotations

from moto_fixtures.strict.cloud import Cloud
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

_ELB_PAGE, _EC2_PAGE = 400, 1000
_TOKEN = "page-after-"  # noqa: S105 - a mark in a paging token, no secret
_V2_LISTS = {
    "DescribeTargetGroups": "TargetGroups",
    "DescribeListeners": "Listeners",
    "DescribeListenerCertificates": "Certificates",
}
_EC2_LISTS = {
    "DescribeSecurityGroups": "SecurityGroups",
    "DescribeSecurityGroupRules": "SecurityGroupRules",
    "DescribeSubnets": "Subnets",
    "DescribeRouteTables": "RouteTables",
    "DescribeVpcs": "Vpcs",
    "DescribeNetworkInterfaces": "NetworkInterfaces",
    "DescribeInternetGateways": "InternetGateways",
}
_BALANCER_LISTS = {"elb": "LoadBalancerDescriptions", "elbv2": "LoadBalancers"}

elb_pages = Switch(
    "elb-pages",
    moto="DescribeTargetGroups and DescribeListeners ignore PageSize; pages of balancers have 50",
    aws="PageSize up to 400, and 400 when it is not given",
)
ec2_pages = Switch(
    "ec2-pages",
    moto="DescribeSecurityGroups, DescribeSubnets and the like ignore MaxResults",
    aws="pages of MaxResults, 1000 when it is not given",
)


def _cut(answer: Json, key: str, size: int, token: str | None, token_key: str) -> None:
    if token is not None and not token.removeprefix(_TOKEN).isdigit():
        code = "ValidationError" if token_key == "NextMarker" else "InvalidParameterValue"  # noqa: S105 - a field's name
        raise RefusedError(code, f"The paging token '{token}' is not valid")
    start = int(token.removeprefix(_TOKEN)) if token else 0
    whole = answer.get(key, [])
    answer[key] = whole[start : start + size]
    if start + size < len(whole):
        answer[token_key] = f"{_TOKEN}{start + size}"
    else:
        answer.pop(token_key, None)


@elb_pages.after("elbv2", *_V2_LISTS)
def _cut_v2(call: Call, _cloud: Cloud, answer: Json) -> None:
    size, token = call.params.get("PageSize", _ELB_PAGE), call.params.get("Marker")
    _cut(answer, _V2_LISTS[call.operation], size, token, "NextMarker")


@elb_pages.rewrite("elb", "DescribeLoadBalancers")
@elb_pages.rewrite("elbv2", "DescribeLoadBalancers")
def _ask_for_all(call: Call, cloud: Cloud, params: Json) -> None:
    backend = cloud.elb if call.service == "elb" else cloud.elbv2
    params.pop("Marker", None)
    params["PageSize"] = max(1, len(backend.load_balancers))


@elb_pages.after("elb", "DescribeLoadBalancers")
@elb_pages.after("elbv2", "DescribeLoadBalancers")
def _cut_balancers(call: Call, _cloud: Cloud, answer: Json) -> None:
    size, token = call.params.get("PageSize", _ELB_PAGE), call.params.get("Marker")
    _cut(answer, _BALANCER_LISTS[call.service], size, token, "NextMarker")


@ec2_pages.after("ec2", *_EC2_LISTS)
def _cut_ec2(call: Call, _cloud: Cloud, answer: Json) -> None:
    size, token = call.params.get("MaxResults", _EC2_PAGE), call.params.get("NextToken")
    _cut(answer, _EC2_LISTS[call.operation], size, token, "NextToken")
