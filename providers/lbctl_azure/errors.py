"""ARM's answers -> `lbctl.errors`, as one table. Pure: it is handed status, body and headers, never an SDK object.

Codes are those of Azure Resource Manager and the network provider as seen in their documentation and in
cloud-provider-azure (azure_backoff.go and its issue tracker); a code that nobody foresaw falls back on its status.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lbctl.errors import (
    CloudBug,
    CloudError,
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
from lbctl.model.resource import nothing

BUSY_SECONDS = 5.0
DEFAULT_THROTTLE_SECONDS = 30.0
LONGEST_THROTTLE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no success: what was asked, and what came back."""

    call: str
    subject: str
    status: int
    code: str = ""
    message: str = ""
    details: tuple[str, ...] = ()
    retry_after: float | None = None
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=nothing, hash=False)

    @property
    def text(self) -> str:
        """One sentence: what was tried, on what, and what came back."""
        said = f"{self.code}: {self.message}" if self.code else self.message or f"status {self.status}"
        return f"{self.call} of {self.subject} was refused with {said}"


Make = Callable[[Answer], CloudError]


def _busy(answer: Answer) -> CloudError:
    return NotReady(answer.text, after_seconds=answer.retry_after or BUSY_SECONDS)


def _conflict(answer: Answer) -> CloudError:
    return Conflict(answer.text, request_id=answer.request_id)


def _quota(answer: Answer) -> CloudError:
    return QuotaExceeded(answer.text, hint="ask for a higher limit, or free some", request_id=answer.request_id)


def _rejected(answer: Answer) -> CloudError:
    return Rejected(answer.text, request_id=answer.request_id)


def _throttled(answer: Answer) -> CloudError:
    seconds = DEFAULT_THROTTLE_SECONDS if answer.retry_after is None else answer.retry_after
    return Throttled(answer.text, after_seconds=min(seconds, LONGEST_THROTTLE_SECONDS), request_id=answer.request_id)


def _missing(answer: Answer) -> CloudError:
    return MissingFact(answer.text, hint="it must exist before the driver can use it", request_id=answer.request_id)


def _unreachable(answer: Answer) -> CloudError:
    return Unreachable(answer.text, request_id=answer.request_id)


def _unauthenticated(answer: Answer) -> CloudError:
    return NotAuthenticated(answer.text, hint="check the credentials in azure.json", request_id=answer.request_id)


ACTION = re.compile(r"perform action '(?P<action>[^']+)'")
OVER_SCOPE = re.compile(r"over scope '(?P<scope>[^']+)'|scope\(s\) '(?P<scopes>[^']+)'")


def _denied(answer: Answer) -> CloudError:
    action, scope = ACTION.search(answer.message), OVER_SCOPE.search(answer.message)
    if action is None:
        return PermissionDenied(answer.text, request_id=answer.request_id)
    where = (scope["scope"] or scope["scopes"]) if scope is not None else answer.subject
    text = f"{answer.call} of {answer.subject} needs the action {action['action']} on {where}"
    return PermissionDenied(text, hint="add a role with this action", request_id=answer.request_id)


def _policy(answer: Answer) -> CloudError:
    return PermissionDenied(answer.text, hint="an Azure Policy forbids it", request_id=answer.request_id)


def _unregistered(answer: Answer) -> CloudError:
    hint = "register the provider: az provider register --namespace Microsoft.Network"
    return MissingFact(answer.text, hint=hint, request_id=answer.request_id)


CODES: Mapping[str, Make] = {
    "RetryableError": _busy,
    "ReferencedResourceNotProvisioned": _busy,
    "GatewayError": _busy,
    "AnotherOperationInProgress": _busy,
    "InUse": _busy,
    "PublicIPAddressCannotBeDeleted": _busy,
    "LoadBalancerInUseByVirtualMachineScaleSet": _busy,
    "CannotRemoveBackendAddressPoolUsedByVMSS": _busy,
    "PrivateLinkServiceCannotBeDeletedSinceItHasPrivateEndpointConnections": _busy,
    "PreconditionFailed": _conflict,
    "CanceledAndSupersededDueToAnotherOperation": _conflict,
    "Canceled": _conflict,
    "SubscriptionRequestsThrottled": _throttled,
    "TooManyRequests": _throttled,
    "QuotaExceeded": _quota,
    "AuthorizationFailed": _denied,
    "LinkedAuthorizationFailed": _denied,
    "RequestDisallowedByPolicy": _policy,
    "NotAuthenticated": _unauthenticated,
    "AuthenticationFailed": _unauthenticated,
    "InvalidAuthenticationToken": _unauthenticated,
    "ExpiredAuthenticationToken": _unauthenticated,
    "MissingSubscriptionRegistration": _unregistered,
    "ResourceGroupNotFound": _missing,
    "SubscriptionNotFound": _missing,
}
STATUSES: Mapping[int, Make] = {
    400: _rejected,
    401: _unauthenticated,
    403: _denied,
    404: _conflict,
    408: _unreachable,
    409: _busy,
    412: _conflict,
    429: _throttled,
}
NOT_THROTTLING = frozenset({"RetryableError", "ReferencedResourceNotProvisioned", "GatewayError"})
QUOTA_WORDS = ("quota", "limit reached", "maximum number")
BUSY_WORDS = ("conflict with a concurrent request", "preempted by a more recent operation")
FIRST_SERVER_ERROR = 500


def is_throttling(answer: Answer) -> bool:
    """True when the subscription is asked to slow down; a 429 whose code says RetryableError is about one object."""
    codes = {answer.code, *answer.details}
    if not codes.isdisjoint(NOT_THROTTLING):
        return False
    throttled = answer.code == "OperationNotAllowed" and "TooManyRequests" in answer.details
    return throttled or answer.status == 429 or CODES.get(answer.code) is _throttled  # noqa: PLR2004 - HTTP


def error_of(answer: Answer) -> CloudError:
    """The error that an answer means."""
    if is_throttling(answer):
        return _throttled(answer)
    if _is_quota(answer):
        return _quota(answer)
    if any(words in answer.message.lower() for words in BUSY_WORDS):
        return _busy(answer)
    if answer.code in CODES:
        return CODES[answer.code](answer)
    if answer.status >= FIRST_SERVER_ERROR:
        return _unreachable(answer)
    make = STATUSES.get(answer.status)
    return make(answer) if make else CloudBug(answer.text, request_id=answer.request_id)


def _is_quota(answer: Answer) -> bool:
    if answer.code.endswith(("LimitReached", "QuotaExceeded")):
        return True
    return answer.code == "OperationNotAllowed" and any(words in answer.message.lower() for words in QUOTA_WORDS)


def answer_of(
    call: str,
    subject: str,
    status: int,
    *,
    body: Any,  # noqa: ANN401 - JSON as it came
    headers: Mapping[str, str],
    now: datetime,
) -> Answer:
    """An answer read from ARM's error document and headers."""
    error = body.get("error", body) if isinstance(body, Mapping) else {}
    details = tuple(str(item.get("code", "")) for item in error.get("details") or [] if isinstance(item, Mapping))
    return Answer(
        call,
        subject,
        status,
        code=str(error.get("code") or ""),
        message=str(error.get("message") or "").strip().rstrip("."),
        details=details,
        retry_after=retry_after(headers, now),
        request_id=headers.get("x-ms-request-id", ""),
        headers=headers,
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the server asks to wait, from a number or a date; None when it does not say."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return None
