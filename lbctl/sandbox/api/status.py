"""Every refusal that the API server can answer, in the words and shapes of a real one.

Raised anywhere below HTTP as `Refusal`, turned into a `Status` body at the edge. Texts follow apimachinery's
`api/errors` and `util/validation/field`, because clients and people match on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbctl.sandbox.api.objects import Json, Obj, encode

if TYPE_CHECKING:
    from lbctl.sandbox.api.kinds import Kind

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that was refused: reason and message of a StatusCause, and the field's path."""

    reason: str
    message: str
    field: str


class Refusal(Exception):
    """An answer with a code of 400 or more."""

    def __init__(self, code: int, reason: str, message: str, *, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details
        self.retry_after = (details or {}).get("retryAfterSeconds")
        self.list_metadata: Obj = {}

    def body(self) -> Obj:
        """The Status object that goes on the wire."""
        found: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": self.list_metadata, "status": "Failure"}
        found["message"] = str(self)
        if self.reason:
            found["reason"] = self.reason
        if self.details is not None:
            found["details"] = self.details
        return found | {"code": self.code}


@dataclass(slots=True)
class Problems:
    """Field errors of one object, collected so that all are told at once."""

    causes: list[Cause] = field(default_factory=list)

    def required(self, path: str, detail: str = "") -> None:
        """Note that `path` must be given."""
        self._add("FieldValueRequired", path, "Required value" + (f": {detail}" if detail else ""))

    def invalid(self, path: str, value: Json, detail: str) -> None:
        """Note that `path` holds something that is not allowed there."""
        self._add("FieldValueInvalid", path, f"Invalid value: {shown(value)}: {detail}")

    def unsupported(self, path: str, value: Json, allowed: tuple[str, ...]) -> None:
        """Note that `path` is none of the `allowed` words."""
        words = ", ".join(f'"{word}"' for word in allowed)
        self._add("FieldValueNotSupported", path, f"Unsupported value: {shown(value)}: supported values: {words}")

    def forbidden(self, path: str, detail: str) -> None:
        """Note that `path` may not be given here."""
        self._add("FieldValueForbidden", path, f"Forbidden: {detail}")

    def duplicate(self, path: str, value: Json) -> None:
        """Note that `path` repeats what an earlier item holds."""
        self._add("FieldValueDuplicate", path, f"Duplicate value: {shown(value)}")

    def too_long(self, path: str, most: int) -> None:
        """Note that `path` holds more than `most` bytes."""
        self._add("FieldValueTooLong", path, f"Too long: may not be more than {most} bytes")

    def _add(self, reason: str, path: str, message: str) -> None:
        self.causes.append(Cause(reason, message, path))


def shown(value: Json) -> str:
    """A refused value as the field errors print it."""
    return "null" if value is None else encode(value).decode()


def invalid(kind: Kind, name: str, causes: list[Cause]) -> Refusal:
    """422 with one cause a field."""
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    joined = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    details = about(kind, name) | {"kind": kind.kind, "causes": listed}
    return Refusal(422, "Invalid", f'{_group_kind(kind)} "{name}" is invalid: {joined}', details=details)


def invalid_options(options: str, causes: list[Cause]) -> Refusal:
    """422 about query parameters: they are read as an object of options, which has no name."""
    told = ", ".join(f"{cause.field}: {cause.message}" for cause in causes)
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    details = {"group": "meta.k8s.io", "kind": options, "causes": listed}
    return Refusal(422, "Invalid", f'{options}.meta.k8s.io "" is invalid: {told}', details=details)


def about(kind: Kind, name: str) -> Obj:
    """Details that name one object."""
    return {"name": name} | ({"group": kind.group} if kind.group else {}) | {"kind": kind.resource}


def not_found(kind: Kind, name: str) -> Refusal:
    """404 for a missing object."""
    return Refusal(404, "NotFound", f'{group_resource(kind)} "{name}" not found', details=about(kind, name))


def already_exists(kind: Kind, name: str) -> Refusal:
    """409 for a name that is taken."""
    return Refusal(409, "AlreadyExists", f'{group_resource(kind)} "{name}" already exists', details=about(kind, name))


def conflict(kind: Kind, name: str, why: str = MODIFIED) -> Refusal:
    """409 for a precondition that does not hold."""
    text = f'Operation cannot be fulfilled on {group_resource(kind)} "{name}": {why}'
    return Refusal(409, "Conflict", text, details=about(kind, name))


def forbidden(kind: Kind, name: str, why: str, *, causes: list[Obj] | None = None) -> Refusal:
    """403 from admission."""
    details = about(kind, name) | ({"causes": causes} if causes else {})
    return Refusal(403, "Forbidden", f'{group_resource(kind)} "{name}" is forbidden: {why}', details=details)


def bad_request(message: str) -> Refusal:
    """400 for a request that cannot be understood."""
    return Refusal(400, "BadRequest", message)


def unknown_path() -> Refusal:
    """404 for a path that no resource answers."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed() -> Refusal:
    """405 for a verb that the resource does not take."""
    text = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", text, details={})


def unsupported_media(got: str, allowed: tuple[str, ...]) -> Refusal:
    """415 for a body in a format that the resource does not read."""
    text = f"the body of the request was in an unknown format - accepted media types include: {', '.join(allowed)}"
    return Refusal(415, "UnsupportedMediaType", text, details={"got": got} if got else {})


def not_acceptable(allowed: tuple[str, ...]) -> Refusal:
    """406 for an Accept header that names nothing we write."""
    text = f"only the following media types are accepted: {', '.join(allowed)}"
    return Refusal(406, "NotAcceptable", text, details={})


def internal_error(message: str) -> Refusal:
    """500 for what the API has no better code for."""
    details = {"causes": [{"message": message}]}
    return Refusal(500, "InternalError", f"Internal error occurred: {message}", details=details)


def unauthorized() -> Refusal:
    """401 without a word about what was wrong with the credentials."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> Refusal:
    """410 for history that is no longer kept."""
    return Refusal(410, "Expired", message)


def too_large_revision(asked: int, current: int) -> Refusal:
    """504 for a list at a revision that does not exist yet."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    text = f"Timeout: Too large resource version: {asked}, current: {current}"
    return Refusal(504, "Timeout", text, details={"causes": [cause], "retryAfterSeconds": 1})


def group_resource(kind: Kind) -> str:
    """`services`, or `leases.coordination.k8s.io` outside the core group."""
    return f"{kind.resource}.{kind.group}" if kind.group else kind.resource


def _group_kind(kind: Kind) -> str:
    return f"{kind.kind}.{kind.group}" if kind.group else kind.kind
