"""Refusals of ARM: status, code and text, as the service words them.

Raised by the rules, turned into an answer in one place. Codes that were never seen in a published answer are listed
in the README of this folder. Nothing here decides when to refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.clouds.azure.ids import ResourceId


@dataclass(slots=True)
class ArmError(Exception):
    """An answer other than success; `details` are further errors as ARM nests them."""

    status: int
    code: str
    message: str
    details: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, object]:
        """The answer's content."""
        return {"error": error_content(self.code, self.message, self.details)}


def error_content(code: str, message: str, details: tuple[tuple[str, str], ...] = ()) -> dict[str, object]:
    """An error as ARM spells it inside an answer or an operation."""
    return {
        "code": code,
        "message": message,
        "details": [{"code": inner, "message": text} for inner, text in details],
    }


def bad_request(code: str, message: str) -> ArmError:
    """A request that breaks a rule of the resource."""
    return ArmError(400, code, message)


def invalid_format(code: str, message: str) -> ArmError:
    """A request that the network provider cannot read; the reason is in the details."""
    return ArmError(400, "InvalidRequestFormat", "Cannot parse the request.", ((code, message),))


def not_found(target: ResourceId) -> ArmError:
    """A resource that is not there."""
    path = "/".join(f"{kind}/{name}" for kind, name in zip(target.types, target.names, strict=True))
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{target.namespace}/{path}' under resource group '{target.group}' was not found. For more "
        "details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def missing_reference(referenced: str, by: object) -> ArmError:
    """A reference to something that is not there."""
    return bad_request(
        "InvalidResourceReference",
        f"Resource {referenced} referenced by resource {by} was not found. Please make sure that the referenced "
        "resource exists, and that both resources are in the same region.",
    )


def busy(operation_url: str) -> ArmError:
    """Another change of the same resource is under way."""
    return ArmError(
        409,
        "AnotherOperationInProgress",
        "Another operation on this or dependent resource is in progress. To retrieve status of the operation use "
        f"uri: {operation_url}.",
    )


def retryable(code: str, message: str) -> ArmError:
    """A 429 that is no throttling: a resource that the request depends on is being changed."""
    return ArmError(
        429, "RetryableError", "A retryable error occurred.", ((code, message),), headers={"Retry-After": "10"}
    )
