"""The API's answers -> `lbctl.errors`: one table by code, then by text where one code means several things. Pure."""

from __future__ import annotations

import re

from lbctl.errors import (
    CloudBug,
    CloudError,
    Conflict,
    NotAuthenticated,
    NotReady,
    PermissionDenied,
    QuotaExceeded,
    Rejected,
    Throttled,
    Unreachable,
)

CODES: dict[int, type[CloudError]] = {
    401: NotAuthenticated,
    405: Rejected,
    429: Throttled,
    430: Rejected,
    431: Rejected,
    432: PermissionDenied,
    530: Unreachable,
    531: PermissionDenied,
    532: QuotaExceeded,
    533: QuotaExceeded,
    534: Unreachable,
    535: NotReady,
    536: NotReady,
    537: Conflict,
}
HINTS: dict[int, str] = {
    401: "check api-key and secret-key, and the clocks of both sides",
    405: "set method = post",
    432: "give the account's role this API",
    531: "give the account access to the object",
    532: "raise the account's limit of public addresses",
    533: "add public addresses to the zone, or name one that is free",
    537: "another rule holds this port of the address",
}
# Texts of 431 and 530 that only mean that what we saw is not there any more or changed meanwhile.
STALE = re.compile(
    r"entity does not exist|due to incorrect long value format|already mapped|in state Revoke"
    r"|not ready for firewall rules|VM is not mapped|Failed to assign load balancer rule|already on ",
    re.IGNORECASE,
)
WAIT = re.compile(r"retry after \[?(?P<ms>\d+)\]? ?ms", re.IGNORECASE)
BUSY_SECONDS = 15.0


def error_for(command: str, code: int, text: str) -> CloudError:
    """The error for an error answer or a failed job."""
    message = f"{command}: {text.strip() or 'no text'} ({code})"
    if code == 429:  # noqa: PLR2004 - rate limit
        found = WAIT.search(text)
        return Throttled(f"{command}: the account's API limit is reached", after_seconds=_seconds(found))
    if code in (430, 431, 530) and STALE.search(text):
        return Conflict(message)
    kind = CODES.get(code, Unreachable if code >= 500 else CloudBug)  # noqa: PLR2004 - server errors
    hint = HINTS.get(code, "")
    if kind is NotReady:
        return NotReady(message, after_seconds=BUSY_SECONDS, hint=hint)
    return kind(message, hint=hint)


def is_gone(code: int, text: str) -> bool:
    """True when the object of a delete does not exist, which is a success."""
    return code in (430, 431) and ("entity does not exist" in text or "no such policy" in text)


def _seconds(found: re.Match[str] | None) -> float:
    return max(int(found["ms"]) / 1000, 0.1) if found else 5.0
