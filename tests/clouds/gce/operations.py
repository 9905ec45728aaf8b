"""Operations: a write is checked at once, happens after the set latency, and is asked about in between.

What a refused operation says appears in its `error`, although the request itself was answered 200.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.clouds.gce.errors import Refusal
from tests.clouds.gce.store import ROOT

CODES = {
    "resourceInUseByAnotherResource": "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
    "notFound": "RESOURCE_NOT_FOUND",
    "alreadyExists": "RESOURCE_ALREADY_EXISTS",
    "quotaExceeded": "QUOTA_EXCEEDED",
    "invalid": "INVALID_FIELD_VALUE",
    "resourceNotReady": "RESOURCE_NOT_READY",
}


@dataclass
class Operation:
    """One write on its way."""

    name: str
    place: str
    kind: str
    target: str
    due: float
    effect: Callable[[], None]
    request_id: str = ""
    done: bool = False
    error: Refusal | None = None
    marks: set[str] = field(default_factory=set)

    def body(self) -> dict[str, Any]:
        parts = self.place.split("/")
        body: dict[str, Any] = {
            "kind": "compute#operation",
            "id": str(abs(hash(self.name)) % 10**12),
            "name": self.name,
            "operationType": self.kind,
            "targetLink": ROOT + self.target,
            "selfLink": f"{ROOT}{self.place}/operations/{self.name}",
            "status": "DONE" if self.done else "RUNNING",
            "progress": 100 if self.done else 0,
            "insertTime": "2026-01-01T00:00:00.000-08:00",
        }
        if parts[2] in ("regions", "zones"):
            body[parts[2][:-1]] = ROOT + "/".join(parts[:4])
        if self.error is not None:
            code = CODES.get(self.error.reason, self.error.reason)
            body["error"] = {"errors": [{"code": code, "message": self.error.message}]}
            body["httpErrorStatusCode"] = self.error.status
            body["httpErrorMessage"] = self.error.reason
        return body


class Operations:
    """All operations of the cloud; `latency` is in seconds of the clock, `after` is called after each effect."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.latency = 0.5
        self.after: Callable[[str], None] = lambda _target: None
        self.by_name: dict[str, Operation] = {}

    def start(
        self, place: str, kind: str, target: str, effect: Callable[[], None], *, request_id: str = ""
    ) -> Operation:
        name = f"operation-{len(self.by_name) + 1}"
        operation = Operation(name, place, kind, target, self.now() + self.latency, effect, request_id)
        self.by_name[name] = operation
        self.advance()
        return operation

    def advance(self) -> None:
        """Let everything happen that is due, in the order of its start."""
        for operation in self.by_name.values():
            if not operation.done and operation.due <= self.now():
                operation.done = True
                if operation.error is None:
                    try:
                        operation.effect()
                        self.after(operation.target)
                    except Refusal as refusal:
                        operation.error = refusal

    def on(self, target: str) -> Operation | None:
        """The unfinished operation on an object."""
        return next((o for o in self.by_name.values() if o.target == target and not o.done), None)

    def repeated(self, request_id: str) -> Operation | None:
        """The operation that a repeated request already started."""
        return next((o for o in self.by_name.values() if request_id and o.request_id == request_id), None)
