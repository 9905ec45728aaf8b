"""Limits and existence checks of the tagging calls of both generations of balancers."""

from __future__ import annotations

from moto_fixtures.strict.cloud import Cloud, MotoObject
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

_DESCRIBED_AT_ONCE = 20
_TAGS_V2, _TAGS_CLASSIC = 50, 10
_RESERVED = "aws:"
_NOT_FOUND = {
    "targetgroup": ("TargetGroupNotFound", "One or more target groups not found"),
    "listener": ("ListenerNotFound", "One or more listeners not found"),
    "loadbalancer": ("LoadBalancerNotFound", "One or more load balancers not found"),
}

described_tags = Switch(
    "described-tags",
    moto="DescribeTags takes more than 20 ARNs, and answers empty tags for an ARN that does not exist",
    aws="ValidationError; LoadBalancerNotFound, TargetGroupNotFound, ListenerNotFound",
)
tag_limits = Switch(
    "tag-limits",
    moto="takes 60 tags in one call, refuses an eleventh in a second; classic answers LoadBalancerNotFound at 10",
    aws="TooManyTags over 50 (classic: 10); DuplicateTagKeys; ValidationError for the prefix aws:",
)


@described_tags.before("elbv2", "DescribeTags")
def _check_described(call: Call, cloud: Cloud) -> None:
    arns = call.params["ResourceArns"]
    if len(arns) > _DESCRIBED_AT_ONCE:
        raise RefusedError("ValidationError", "Cannot have more than 20 resources described")
    for arn in arns:
        _require(arn, cloud)


def _require(arn: str, cloud: Cloud) -> None:
    kind = arn.partition(":elasticloadbalancing:")[2].rpartition(":")[2].partition("/")[0]
    finders = {"targetgroup": cloud.target_group, "listener": cloud.listener, "loadbalancer": cloud.balancer}
    if kind not in finders:
        raise RefusedError("ValidationError", f"'{arn}' is not a valid load balancer, target group or listener ARN")
    if finders[kind](arn) is None:
        raise RefusedError(*_NOT_FOUND[kind])


def _check_new(tags: list[Json], held: dict[str, str], limit: int) -> None:
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        raise RefusedError("DuplicateTagKeys", "A tag key was specified more than once")
    reserved = [key for key in keys if key.lower().startswith(_RESERVED)]
    if reserved:
        raise RefusedError(
            "ValidationError", f"Tag key '{reserved[0]}' is not valid: aws: prefixed tag keys are reserved"
        )
    if len(set(held) | set(keys)) > limit:
        raise RefusedError("TooManyTags", "You've reached the limit on the number of tags for this resource")


@tag_limits.before("elbv2", "CreateLoadBalancer", "CreateTargetGroup", "CreateListener")
def _check_birth_v2(call: Call, _cloud: Cloud) -> None:
    _check_new(call.params.get("Tags", []), {}, _TAGS_V2)


@tag_limits.instead("elbv2", "AddTags")
def _add_v2(call: Call, cloud: Cloud) -> Json:
    service: MotoObject = cloud.elbv2.tagging_service
    for arn in call.params["ResourceArns"]:
        _require(arn, cloud)
        _check_new(call.params["Tags"], service.get_tag_dict_for_resource(arn), _TAGS_V2)
    for arn in call.params["ResourceArns"]:
        service.tag_resource(arn, call.params["Tags"])
    return {}


@tag_limits.before("elb", "CreateLoadBalancer")
def _check_birth_classic(call: Call, _cloud: Cloud) -> None:
    _check_new(call.params.get("Tags", []), {}, _TAGS_CLASSIC)


@tag_limits.before("elb", "AddTags")
def _check_added_classic(call: Call, cloud: Cloud) -> None:
    for name in call.params["LoadBalancerNames"]:
        balancer = cloud.elb.load_balancers.get(name)
        if balancer is not None:
            _check_new(call.params["Tags"], balancer.tags, _TAGS_CLASSIC)
