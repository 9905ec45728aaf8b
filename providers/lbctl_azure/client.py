"""Requests through the Azure SDK: documents in, documents out, one request a call.

The SDK's client is used for what it is good at (authentication, pipeline, connection pool) on plain documents, so that
a field that it does not know survives. Its retries, its polling and its registration of providers are left out: the
core does long waits, and a thread never sleeps in here. Answers that are no success become `lbctl.errors`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import RequestIdPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.network import NetworkManagementClient

from lbctl.clock import Clock
from lbctl.driver import Figure
from lbctl.errors import CloudError, NotAuthenticated, Throttled
from lbctl.model.resource import nothing
from lbctl.silence import Silence
from lbctl_azure.authentication import Network, authentication
from lbctl_azure.errors import answer_of, error_of, is_throttling
from lbctl_azure.ids import last_segment, segment_after

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

NETWORK_VERSION = "2025-05-01"
RESOURCES_VERSION = "2021-04-01"
VERSIONS = {
    "microsoft.network": NETWORK_VERSION,
    "microsoft.compute": "2025-04-01",
    "microsoft.authorization": "2022-04-01",
}
CONNECT_SECONDS = 10
READ_SECONDS = 60
OK = 200
CREATED = 201
ACCEPTED = 202
NO_CONTENT = 204
NOT_FOUND = 404
SUCCESSES = (OK, CREATED, ACCEPTED, NO_CONTENT)

Document = dict[str, Any]
Record = Callable[[str, str, float], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a write was answered; `operation` is where to ask for its outcome, empty when it is over."""

    status: int
    document: Document | None = None
    operation: str = ""
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=nothing, hash=False)


class Gate:
    """Closed for one kind of call while the subscription is throttled; nobody waits at it, everybody is told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def check(self, kind: str) -> None:
        """`Throttled` with the rest of the pause while the gate is closed."""
        left = self._open_at.get(kind, 0.0) - self._clock.monotonic()
        if left > 0:
            raise Throttled(f"{kind}s of the subscription are throttled", after_seconds=left)

    def close(self, kind: str, seconds: float) -> None:
        """Close the gate for a while, never shorter than it is closed already."""
        with self._lock:
            self._open_at[kind] = max(self._open_at.get(kind, 0.0), self._clock.monotonic() + seconds)


REMAINING = {kind: f"x-ms-ratelimit-remaining-subscription-{kind}s" for kind in ("write", "delete")}
EMPTY_SECONDS = 1.0
KINDS = {"GET": "read", "HEAD": "read", "DELETE": "delete"}


class Client:
    """One subscription of one cloud; safe to use from several threads."""

    def __init__(
        self,
        *,
        credential: TokenCredential,
        endpoint: str,
        subscription: str,
        clock: Clock,
        user_agent: str,
        record: Record,
        show: Callable[[Figure, str, float], None] = lambda _figure, _label, _value: None,
        scope: str = "",
        network: Network | None = None,
        verify: str | bool = True,
    ) -> None:
        scope = scope or f"{endpoint.rstrip('/')}/.default"
        self._credential = credential
        self._endpoint = endpoint
        self._network = network
        self._scope = scope
        self._clock = clock
        self._record = record
        self._show = show
        self._gate = Gate(clock)
        self._subscription = subscription
        self._sdk = NetworkManagementClient(
            credential,
            subscription,
            base_url=endpoint,
            credential_scopes=[scope],
            policies=[
                RequestIdPolicy(),
                UserAgentPolicy(user_agent),
                authentication(credential, endpoint, scope, network),
            ],
            connection_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            connection_verify=verify,
        )

    def get(self, path: str) -> Document:
        """One object; `Conflict` when it does not exist."""
        return self._document("GET", path)

    def find(self, path: str) -> Document | None:
        """One object; None when it does not exist."""
        response = self._send("GET", path, missing_is_fine=True)
        return None if response.status_code == NOT_FOUND else _json(response)

    def list(self, path: str) -> list[Document]:
        """All objects of a collection, in one call a page."""
        found: list[Document] = []
        link = path
        while link:
            page = self._document("GET", link)
            found.extend(page.get("value") or [])
            link = page.get("nextLink") or ""
        return found

    def provider(self, namespace: str) -> Document:
        """What a resource provider says about itself."""
        return self._document("GET", f"/subscriptions/{self._subscription}/providers/{namespace}")

    def put(self, path: str, document: Document, *, etag: str = "", is_new: bool = False) -> Reply:
        """Write a whole object: only if it still has this ETag, or only if it does not exist."""
        return _reply(self._send("PUT", path, document, _conditions(etag, is_new=is_new)))

    def patch(self, path: str, document: Document, *, etag: str = "") -> Reply:
        """Write parts of an object."""
        return _reply(self._send("PATCH", path, document, _conditions(etag)))

    def post(self, path: str) -> Reply:
        """Ask a question of an object that takes time to answer."""
        return _reply(self._send("POST", path))

    def answer(self, operation: str) -> Document | None:
        """The answer to a question; None while there is none yet."""
        response = self._send("GET", operation)
        return None if response.status_code == ACCEPTED else _json(response)

    def delete(self, path: str) -> Reply:
        """Remove an object; one that is not there counts as removed."""
        response = self._send("DELETE", path, missing_is_fine=True)
        return Reply(NO_CONTENT) if response.status_code == NOT_FOUND else _reply(response)

    def ask(self, operation: str) -> Document:
        """State of an operation: `status`, and `error` when it failed."""
        response = self._send("GET", operation)
        document = _json(response)
        if "status" in document:
            return document
        return {"status": "InProgress" if response.status_code == ACCEPTED else "Succeeded"}

    def token(self) -> tuple[str, float]:
        """A token of the identity, and the seconds until it ends; `NotAuthenticated` when there is none."""
        try:
            token = self._credential.get_token(self._scope)
        except ClientAuthenticationError as error:
            hint = "check the credentials in azure.json"
            raise NotAuthenticated(f"no token for {self._scope}: {error.message}", hint=hint) from None
        return token.token, token.expires_on - self._clock.now().timestamp()

    def error_of(self, subject: str, error: Document) -> CloudError:
        """The error that a failed operation means."""
        answer = answer_of("write", subject, 400, body=error, headers={}, now=self._clock.now())
        return error_of(answer)

    def close(self) -> None:
        """Let go of connections, those of the credentials too where they have any."""
        self._sdk.close()
        others = [self._network.credential] if self._network else []
        for credential in (*others, self._credential):
            if hasattr(credential, "close"):
                credential.close()

    def _document(self, method: str, path: str) -> Document:
        return _json(self._send(method, path))

    def _send(
        self,
        method: str,
        path: str,
        document: Document | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        missing_is_fine: bool = False,
    ) -> HttpResponse:
        kind = KINDS.get(method, "write")
        if kind != "read":
            self._gate.check(kind)
        call, subject = f"{_kind_of(path)}/{kind}", last_segment(urlsplit(path).path)
        response = self._exchange(_request(method, path, document, headers), call, subject)
        left = response.headers.get(REMAINING[kind], "") if kind != "read" else ""
        if left.isdecimal():
            self._show(Figure.BUDGET_LEFT, f"subscription {kind}s", int(left))
        if left == "0":
            # The next call of this kind would be refused: a short pause costs less than a refusal does.
            self._gate.close(kind, EMPTY_SECONDS)
        if response.status_code in SUCCESSES or (missing_is_fine and _is_missing(response)):
            return response
        answer = answer_of(
            call, subject, response.status_code, body=_json(response), headers=response.headers, now=self._clock.now()
        )
        error = error_of(answer)
        if is_throttling(answer):
            self._gate.close(kind, error.after_seconds)
        raise error

    def _exchange(self, request: HttpRequest, call: str, subject: str) -> HttpResponse:
        started = self._clock.monotonic()
        code = "unreachable"
        try:
            response = self._sdk.send_request(request)
            code = str(response.status_code)
        except ClientAuthenticationError as error:
            code = "unauthenticated"
            hint = "check the credentials in azure.json"
            raise NotAuthenticated(f"no token for {call} of {subject}: {error.message}", hint=hint) from None
        except AzureError as error:
            silence = Silence.of(error.inner_exception or error, url=self._endpoint)
            raise silence.error(f"{call} of {subject}") from None
        finally:
            self._record(call, code, self._clock.monotonic() - started)
        return response


def _request(method: str, path: str, document: Document | None, headers: Mapping[str, str] | None) -> HttpRequest:
    # A URL that the server gave (a page, an operation) carries its own version and is used as it is.
    params = None if "api-version=" in path else {"api-version": _version_of(path)}
    return HttpRequest(method, path, params=params, headers=dict(headers or {}), json=document)


def _version_of(path: str) -> str:
    namespace = segment_after(path, "providers").lower()
    if path.lower().endswith(f"/providers/{namespace}"):
        return RESOURCES_VERSION
    return VERSIONS[namespace]


def _kind_of(path: str) -> str:
    parts = [part for part in urlsplit(path).path.split("/") if part]
    lowered = [part.lower() for part in parts]
    start = lowered.index("providers") + 2 if "providers" in lowered else 0
    return "/".join(parts[start::2]) or "subscriptions"


def _conditions(etag: str, *, is_new: bool = False) -> dict[str, str]:
    if is_new:
        return {"If-None-Match": "*"}
    return {"If-Match": etag} if etag else {}


def _is_missing(response: HttpResponse) -> bool:
    return bool(response.status_code == NOT_FOUND) and _code(response) not in (
        "ResourceGroupNotFound",
        "SubscriptionNotFound",
    )


def _code(response: HttpResponse) -> str:
    return str((_json(response).get("error") or {}).get("code") or "")


def _json(response: HttpResponse) -> Document:
    if not response.content:
        return {}
    try:
        document: Document = response.json()
    except ValueError:
        return {}
    return document


def _reply(response: HttpResponse) -> Reply:
    headers = response.headers
    operation = headers.get("Azure-AsyncOperation") or (
        headers.get("Location", "") if response.status_code == ACCEPTED else ""
    )
    seconds = headers.get("Retry-After", "")
    document = _json(response) or None
    return Reply(
        response.status_code,
        document,
        operation,
        float(seconds) if seconds.isdigit() else None,
        headers,
    )
