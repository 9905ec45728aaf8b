"""The codes of EC2 and Elastic Load Balancing -> the errors of `lbctl.errors`: one table.

`lbctl_aws.client` converts every failure here, so that no exception of the SDK leaves the driver. Codes from the
services' API models and from what upstream controllers had to handle; a code that is not listed is a `CloudBug`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lbctl.errors import (
    Blame,
    CloudBug,
    CloudError,
    Conflict,
    MissingFact,
    NotAuthenticated,
    NotReady,
    PermissionDenied,
    QuotaExceeded,
    Rejected,
    Retry,
    Throttled,
    Unreachable,
)
from lbctl.silence import HINT as UNANSWERED
from lbctl.silence import Silence


class Refused(CloudError):
    """AWS calls the request for one balancer invalid.

    Unlike `Rejected`, the Service is not frozen: its other ports, and its nodes, are kept up to date.
    """

    reason = "Rejected"
    retry = Retry.AFTER
    blame = Blame.AUTHOR


class DeletionProtected(CloudError):
    """The balancer is protected against deletion; only a person lifts that."""

    reason = "DeletionProtected"
    retry = Retry.AFTER
    blame = Blame.OPERATOR


@dataclass(frozen=True, slots=True)
class Failure:
    """What an SDK call came back with: `call` is `service.Operation`, `status` the HTTP status or 0."""

    call: str
    code: str
    message: str
    status: int = 0
    request_id: str = ""
    silence: Silence | None = None

    @property
    def sentence(self) -> str:
        """What was tried and what came back, without the request id, so that events merge."""
        return f"{self.call}: {self.code}: {self.message}".rstrip(". ")


THROTTLES = frozenset(
    {
        "BandwidthLimitExceeded",
        "DependencyThrottle",  # classic DescribeLoadBalancers; missing from botocore's own list
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
TRANSIENT = frozenset(
    {"InternalFailure", "InternalError", "RequestTimeout", "RequestTimeoutException", "ServiceUnavailable"}
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
UNAUTHENTICATED = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "NoCredentials",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
QUOTAS = frozenset(
    {
        "CapacityDecreaseRequestsLimitExceeded",
        "CapacityUnitsLimitExceeded",
        "InsufficientCapacity",
        "RulesPerSecurityGroupLimitExceeded",
        "SecurityGroupLimitExceeded",
        "TooManyCertificates",
        "TooManyListeners",
        "TooManyLoadBalancers",
        "TooManyRegistrationsForTargetId",
        "TooManyTags",
        "TooManyTargetGroups",
        "TooManyTargets",
        "TooManyUniqueTargetGroupsPerLoadBalancer",
    }
)
MISSING = frozenset(
    {
        "AllocationIdNotFound",
        "AvailabilityZoneNotSupported",
        "CertificateNotFound",
        "InvalidAllocationID.NotFound",
        "InvalidSubnet",
        "InvalidSubnetID.NotFound",
        "SSLPolicyNotFound",
        "SubnetNotFound",
    }
)
OUTDATED = frozenset(
    {
        "DuplicateListener",
        "InvalidPermission.Duplicate",
        "InvalidPermission.NotFound",
        "ListenerNotFound",
        "LoadBalancerNotFound",
        "PolicyNotFound",
        "TargetGroupNotFound",
    }
)
HELD = frozenset({"CapacityReservationPending", "DependencyViolation", "ResourceInUse"})
NOT_YET = frozenset({"InvalidGroup.NotFound", "InvalidSecurityGroup"})
REJECTED = frozenset(
    {
        "ALPNPolicyNotSupported",
        "DuplicateLoadBalancerName",
        "DuplicateTargetGroupName",
        "IncompatibleProtocols",
        "InvalidConfigurationRequest",
        "InvalidLoadBalancerAction",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "InvalidScheme",
        "InvalidTarget",
        "InvalidInstance",
        "OperationNotPermitted.Association",
        "UnsupportedProtocol",
        "ValidationError",
    }
)

Make = Callable[[Failure], CloudError]


def _throttled(failure: Failure) -> CloudError:
    return Throttled(failure.sentence, request_id=failure.request_id)


def _unreachable(failure: Failure) -> CloudError:
    if failure.silence is not None:
        return failure.silence.error(failure.call, hint=f"check the region; {UNANSWERED}")
    return Unreachable(failure.sentence, request_id=failure.request_id)


def _denied(failure: Failure) -> CloudError:
    service, _, operation = failure.call.partition(".")
    action = f"{IAM_PREFIXES.get(service, service)}:{operation}"
    return PermissionDenied(
        f"{failure.call} is denied: {failure.message}".rstrip(". "),
        hint=f"allow {action}; `lbctl permissions` prints the policy that is needed",
        request_id=failure.request_id,
    )


def _unauthenticated(failure: Failure) -> CloudError:
    return NotAuthenticated(failure.sentence, hint="check the credentials of the controller")


def _quota(failure: Failure) -> CloudError:
    return QuotaExceeded(failure.sentence, hint="raise the quota or remove what is not needed")


def _missing(failure: Failure) -> CloudError:
    return MissingFact(failure.sentence, hint="create it, or correct the annotation that names it")


def _outdated(failure: Failure) -> CloudError:
    return Conflict(failure.sentence, request_id=failure.request_id)


def _held(failure: Failure) -> CloudError:
    return NotReady(failure.sentence, after_seconds=HELD_SECONDS)


def _not_yet(failure: Failure) -> CloudError:
    return NotReady(failure.sentence, after_seconds=NOT_YET_SECONDS)


def _rejected(failure: Failure) -> CloudError:
    # Calls of EC2 carry the rules of many Services, of which one may be to blame; the others concern one balancer.
    refusal = Rejected if failure.call.startswith("ec2.") else Refused
    return refusal(failure.sentence, request_id=failure.request_id)


def _protected(failure: Failure) -> CloudError:
    if "association" in failure.message.lower():
        return NotReady(failure.sentence, after_seconds=ASSOCIATION_SECONDS, hint="remove the endpoint service first")
    return DeletionProtected(
        failure.sentence, hint="switch deletion protection off with the annotation or in the console"
    )


HELD_SECONDS, NOT_YET_SECONDS, ASSOCIATION_SECONDS = 5.0, 2.0, 60.0
IAM_PREFIXES: Mapping[str, str] = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing"}
TABLE: Mapping[str, Make] = {
    **dict.fromkeys(THROTTLES, _throttled),
    **dict.fromkeys(TRANSIENT, _unreachable),
    **dict.fromkeys(DENIED, _denied),
    **dict.fromkeys(UNAUTHENTICATED, _unauthenticated),
    **dict.fromkeys(QUOTAS, _quota),
    **dict.fromkeys(MISSING, _missing),
    **dict.fromkeys(OUTDATED, _outdated),
    **dict.fromkeys(HELD, _held),
    **dict.fromkeys(NOT_YET, _not_yet),
    **dict.fromkeys(REJECTED, _rejected),
    "OperationNotPermitted": _protected,
}
SERVER_ERROR = 500


def build_error(failure: Failure) -> CloudError:
    """The error that a failure means to the core."""
    make = TABLE.get(failure.code)
    if make is not None:
        return make(failure)
    if failure.status >= SERVER_ERROR:
        return _unreachable(failure)
    return CloudBug(failure.sentence, request_id=failure.request_id)
