"""Refusals with the codes, reasons and sentences that Compute Engine uses."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that the cloud answers with an error."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message

    def body(self) -> dict[str, Any]:
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}


def invalid(message: str) -> Refusal:
    return Refusal(400, "invalid", message)


def not_found(path: str) -> Refusal:
    return Refusal(404, "notFound", f"The resource '{path}' was not found")


def exists(path: str) -> Refusal:
    return Refusal(409, "alreadyExists", f"The resource '{path}' already exists")


def not_ready(path: str) -> Refusal:
    return Refusal(400, "resourceNotReady", f"The resource '{path}' is not ready")


def in_use(path: str, by: str) -> Refusal:
    message = f"The {path.rsplit('/', 2)[-2]} resource '{path}' is already being used by '{by}'"
    return Refusal(400, "resourceInUseByAnotherResource", message)


def stale() -> Refusal:
    return Refusal(412, "conditionNotMet", "Invalid fingerprint.")


def quota(metric: str, limit: int, where: str) -> Refusal:
    return Refusal(403, "quotaExceeded", f"Quota '{metric}' exceeded.  Limit: {limit}.0 in region {where}.")
