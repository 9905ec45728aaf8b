"""Codes of AWS and what they mean; and the budget that throttling shrinks."""

import pytest

from lbctl.errors import (
    CloudBug,
    Conflict,
    MissingFact,
    NotAuthenticated,
    NotReady,
    PermissionDenied,
    QuotaExceeded,
    Rejected,
    Throttled,
    Unreachable,
)
from lbctl_aws.errors import DeletionProtected, Failure, Refused, build_error
from lbctl_aws.limiter import Limiter


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("Throttling", Throttled),
        ("DependencyThrottle", Throttled),
        ("RequestLimitExceeded", Throttled),
        ("ServiceUnavailable", Unreachable),
        ("AccessDenied", PermissionDenied),
        ("ExpiredToken", NotAuthenticated),
        ("TooManyLoadBalancers", QuotaExceeded),
        ("SubnetNotFound", MissingFact),
        ("TargetGroupNotFound", Conflict),
        ("ResourceInUse", NotReady),
        ("InvalidSecurityGroup", NotReady),
        ("OperationNotPermitted", DeletionProtected),
        ("InvalidConfigurationRequest", Refused),
        ("SomethingNew", CloudBug),
    ],
)
def test_a_code_has_one_meaning(code, expected):
    """Each code of the table becomes its class; an unknown one is a CloudBug and not dropped."""
    assert type(build_error(Failure("elbv2.CreateListener", code, "no", 400))) is expected


def test_an_unknown_server_error_is_no_bug():
    """A 5xx without a known code means that nothing is known of the write."""
    assert isinstance(build_error(Failure("elb.X", "Odd", "", 503)), Unreachable)


def test_a_refusal_of_shared_rules_can_be_bisected():
    """Rules of many Services go in one call of EC2, so its refusal is of the kind that the core halves."""
    assert isinstance(
        build_error(Failure("ec2.AuthorizeSecurityGroupIngress", "InvalidParameterValue", "no")), Rejected
    )


def test_a_denial_names_the_permission():
    """The hint holds the IAM action that is missing."""
    assert (
        "elasticloadbalancing:CreateListener" in build_error(Failure("elbv2.CreateListener", "AccessDenied", "")).hint
    )


@pytest.mark.spec("AWS-090")
def test_throttling_slows_its_own_bucket_only():
    """A throttled class of calls halves its rate and recovers step by step; the others keep theirs."""
    limiter = Limiter()
    slow, other = limiter.bucket("elbv2.RegisterTargets"), limiter.bucket("elbv2.CreateListener")
    assert limiter.bucket("elbv2.DeregisterTargets") is slow
    full, untouched = slow.rate, other.rate
    slow.throttled()
    assert slow.rate == full / 2
    assert slow.take(0.0) > 0
    assert other.rate == untouched
    for _ in range(100):
        slow.succeeded()
    assert slow.rate == full


def test_a_burst_is_free_and_then_the_rate_holds():
    """Calls within the burst do not wait; after it each waits its turn, and time fills the bucket again."""
    bucket = Limiter().bucket("elbv2.RegisterTargets")
    assert [bucket.take(0.0) for _ in range(int(bucket.burst))] == [0.0] * int(bucket.burst)
    assert bucket.take(0.0) == pytest.approx(1 / bucket.rate)
    assert bucket.take(1000.0) == 0.0
