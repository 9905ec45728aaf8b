"""What Compute Engine answers, and which error of `lbctl.errors` it is: one table.

`client.py` raises `ApiError`; nobody outside of this driver sees one. The reasons are the `errors[].reason` of the JSON
error body, or the `error.errors[].code` of a failed operation, compared without case and underscores.
"""

from __future__ import annotations

import re

from lbctl.errors import (
    CloudBug,
    CloudError,
    Conflict,
    NotAuthenticated,
    NotReady,
    OwnedByOther,
    PermissionDenied,
    QuotaExceeded,
    Rejected,
    Throttled,
    Unreachable,
)
from lbctl.silence import HINT as UNANSWERED

NOT_FOUND = frozenset({"notfound", "resourcenotfound"})
EXISTS = frozenset({"alreadyexists", "resourcealreadyexists", "duplicate"})
IN_USE = frozenset({"resourceinusebyanotherresource", "resourcebeingused"})
IP_IN_USE = "ipinusebyanotherresource"
RETRY_IN_USE_SECONDS = 10.0
RETRY_BUSY_SECONDS = 2.0
THROTTLED_SECONDS = 20.0

HINTS = {
    "instanceinmultipleloadbalancedigs": "take the instance out of the other group, or balance through that group",
    IP_IN_USE: "choose another address, or release the one that is taken",
}


class ApiError(Exception):
    """An answer that is an error: HTTP status (0 without an answer), reason and message as the API gave them."""

    def __init__(self, status: int, reason: str, message: str, *, request_id: str = "") -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.request_id = request_id

    @property
    def word(self) -> str:
        """The reason as the table has it."""
        return re.sub(r"[^a-z0-9]", "", self.reason.lower())

    @property
    def outcome(self) -> str:
        """What measures call it: HTTP's status, or of 403 the reason, which may be a right, a quota or the rate."""
        return self.reason if self.reason and self.status == 403 else str(self.status or "error")  # noqa: PLR2004 - HTTP

    @property
    def is_missing(self) -> bool:
        """True when the object does not exist."""
        return self.word in NOT_FOUND or (self.status == 404 and self.word != IP_IN_USE)  # noqa: PLR2004 - HTTP

    @property
    def is_duplicate(self) -> bool:
        """True when an object of this name exists already."""
        return self.word in EXISTS

    @property
    def is_in_use(self) -> bool:
        """True when others still refer to the object."""
        return self.word in IN_USE


BY_REASON: dict[str, type[CloudError]] = {
    "quotaexceeded": QuotaExceeded,
    "ratelimitexceeded": Throttled,
    "userratelimitexceeded": Throttled,
    "forbidden": PermissionDenied,
    "accessnotconfigured": PermissionDenied,
    "permissiondenied": PermissionDenied,
    "conditionnotmet": Conflict,
    "invalid": Rejected,
    "required": Rejected,
    "badrequest": Rejected,
    "invalidfieldvalue": Rejected,
    "invalidusage": Rejected,
    "instanceinmultipleloadbalancedigs": Rejected,
}
BY_STATUS: dict[int, type[CloudError]] = {
    0: Unreachable,
    400: Rejected,
    401: NotAuthenticated,
    403: PermissionDenied,
    404: Conflict,
    409: Conflict,
    412: Conflict,
    429: Throttled,
}
SERVER_ERROR = 500


def translated(error: ApiError, what: str) -> CloudError | OwnedByOther:
    """The error that the core knows; `what` is the call with its object."""
    message = f"{what}: {error.message.rstrip('.')}"
    if error.word == IP_IN_USE:
        return OwnedByOther(message, hint=HINTS[IP_IN_USE])
    if error.is_in_use:
        return NotReady(message, after_seconds=RETRY_IN_USE_SECONDS)
    if error.word == "resourcenotready":
        return NotReady(message, after_seconds=RETRY_BUSY_SECONDS)
    if "onstraint" in error.message and error.status == 412:  # noqa: PLR2004 - HTTP
        return PermissionDenied(message, hint="an organisation policy forbids it: ask its administrator")
    kind = BY_REASON.get(error.word) or BY_STATUS.get(error.status) or _of_status(error.status)
    if kind is Throttled:
        return Throttled(message, after_seconds=THROTTLED_SECONDS, request_id=error.request_id)
    return kind(message, hint=_hint(kind, error, what), request_id=error.request_id)


def _of_status(status: int) -> type[CloudError]:
    return Unreachable if status >= SERVER_ERROR else CloudBug


def _hint(kind: type[CloudError], error: ApiError, what: str) -> str:
    if error.word in HINTS:
        return HINTS[error.word]
    if kind is PermissionDenied:
        return f"grant the permission for {what.partition(' ')[0]}; `lbctl permissions` lists all that are needed"
    if kind is QuotaExceeded:
        return "raise the quota, or remove what is not needed"
    return UNANSWERED if error.status == 0 else ""
