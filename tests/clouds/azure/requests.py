"""A call and its answer as values, and the checks that look at the call alone or at an ETag.

Made by the server, read by everything that answers. Nothing here changes state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec

from tests.clouds.azure.errors import ArmError, bad_request, invalid_format
from tests.clouds.azure.paths import Asked, Counted, Route, action_of, counted_as

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.clouds.azure.cloud import Resource
    from tests.clouds.azure.ids import ResourceId

# The versions whose description the bodies are checked against.
API_VERSIONS: Final[Mapping[str, frozenset[str]]] = {
    "microsoft.network": frozenset({"2025-05-01"}),
    "microsoft.compute": frozenset({"2025-04-01", "2026-04-01", "2026-03-03", "2026-03-02"}),
    "microsoft.keyvault": frozenset({"2023-07-01"}),
    "microsoft.authorization": frozenset({"2022-04-01"}),
    "microsoft.resources": frozenset({"2021-04-01", "2022-09-01", "2024-11-01", "2025-04-01"}),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A call; header names in lower case, `base` is the address that the client used."""

    method: str
    route: Route
    path: str
    base: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def action(self) -> str:
        """The permission that the call needs."""
        return action_of(self.method, self.route)

    @property
    def counted(self) -> Counted:
        """What the call counts as."""
        return counted_as(self.method, self.route)


@dataclass(slots=True)
class Reply:
    """An answer; None as body means no content."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


def parse_query(text: str) -> dict[str, str]:
    """The query of a URL, names as written."""
    return dict(parse_qsl(text, keep_blank_values=True))


def decoded(request: Request) -> Any:
    """The content of the call; raises ArmError when it is no JSON."""
    try:
        return msgspec.json.decode(request.body)
    except msgspec.DecodeError as error:
        raise invalid_format("InvalidJson", f"The request content is no JSON: {error}") from None


def check_api_version(request: Request) -> None:
    """Refuses a missing version and one whose description is not known here."""
    version = request.query.get("api-version")
    if not version:
        raise bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    namespace = request.route.namespace.lower()
    supported = API_VERSIONS.get(namespace, frozenset())
    if request.route.asked in (Asked.PROVIDER, Asked.REGISTER, Asked.GROUP, Asked.GROUPS):
        supported = API_VERSIONS["microsoft.resources"]
    elif request.route.target is not None and "networkinterfaces" in request.path.lower():
        supported = API_VERSIONS["microsoft.network"]
    if version not in supported:
        raise bad_request(
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{','.join(sorted(supported))}'.",
        )


def check_preconditions(
    request: Request, resource: Resource | None, target: ResourceId, *, exists: bool | None = None
) -> None:
    """If-Match and If-None-Match, against the ETag of the whole."""
    wanted = request.headers.get("if-match", "")
    there = exists if exists is not None else resource is not None
    if wanted and wanted != "*" and (resource is None or wanted != resource.etag):
        current = resource.etag if resource else "none"
        raise ArmError(
            412,
            "PreconditionFailed",
            f"Etag provided in if-match header {wanted} does not match etag {current} of resource {target} in NRP data "
            "store.",
        )
    if wanted == "*" and not there:
        raise ArmError(412, "PreconditionFailed", f"The resource {target} does not exist.")
    if request.headers.get("if-none-match", "") == "*" and there:
        raise ArmError(412, "PreconditionFailed", f"The resource {target} already exists.")
