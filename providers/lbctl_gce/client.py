"""The Compute API through `google-cloud-compute`: the only module that imports the SDK, but for its credentials.

Everything else works on the JSON form of objects, as the API documents it. Calls use explicit REST transports and the
`*_unary` methods: the SDK's own waiting would poll the public endpoint even when another one is configured. The SDK
has no client for `httpHealthChecks`; these go through the same credentials by an `AuthorizedSession`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import google.auth.exceptions
import requests
from google.api_core import exceptions as api
from google.api_core.gapic_v1.client_info import ClientInfo
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import compute_v1
from requests.adapters import HTTPAdapter

from lbctl.clock import Clock
from lbctl.errors import NotAuthenticated
from lbctl_gce.credentials import Credentials, Identity, identity_of
from lbctl_gce.errors import ApiError
from lbctl_gce.methods import METHODS, Method

CALL_SECONDS = 60.0
PAGE = 500
MOST_PERMISSIONS = 100
SESSION = "session"
NO_CONTENT = 204
ERROR = 400

Json = dict[str, Any]
NO_PATH: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API is, and in whose projects; `scheme` is `http` only for servers on this machine."""

    project: str
    network_project: str
    region: str
    host: str = "compute.googleapis.com"
    scheme: str = "https"


@dataclass
class Client:
    """Calls by method id, such as `forwardingRules.insert`; raises `ApiError`, without a token `NotAuthenticated`."""

    endpoint: Endpoint
    credentials: Credentials
    user_agent: str
    clock: Clock
    record: Callable[[str, str, float], None] = lambda _operation, _code, _seconds: None
    _clients: dict[str, Any] = field(default_factory=dict)
    _connections: HTTPAdapter = field(default_factory=HTTPAdapter)

    def call(
        self,
        method: str,
        path: Mapping[str, str] = NO_PATH,
        *,
        body: Mapping[str, Any] | None = None,
        request_id: str = "",
    ) -> Json:
        """The reply to one call; `path` are the parameters of the URL beyond project and region."""
        return self._recorded(method, lambda: self._call(method, body, request_id, path))

    def find(self, method: str, path: Mapping[str, str]) -> Json | None:
        """The object, or None when it does not exist; one call."""
        try:
            return self.call(method, path)
        except ApiError as error:
            if error.is_missing:
                return None
            raise

    def items(self, method: str, path: Mapping[str, str] = NO_PATH, *, matching: str = "") -> Iterator[Json]:
        """Everything that a list holds, in one call per 500 objects."""
        token = ""
        while True:
            query = {"filter": matching, "page_token": token}
            page = self._recorded(method, lambda query=query: self._page(method, query, path))  # type: ignore[misc]  # bound per round
            yield from _flat(page)
            token = page.get("nextPageToken", "")
            if not token:
                return

    def identity(self) -> Identity:
        """Who we are to the cloud; asks for a token unless there is one."""

        def sign_in() -> Json:
            if not self.credentials.valid:
                self.credentials.refresh(Request())
            return {}

        self._recorded("credentials.refresh", sign_in)
        return identity_of(self.credentials)

    def granted(self, project: str, permissions: Sequence[str]) -> frozenset[str]:
        """Those of the permissions that we have in a project; one call for a hundred, which needs no right itself."""
        host = self.endpoint.host.replace("compute.", "cloudresourcemanager.", 1)
        url = f"{self.endpoint.scheme}://{host}/v1/projects/{project}:testIamPermissions"
        found: set[str] = set()
        for start in range(0, len(permissions), MOST_PERMISSIONS):
            body = {"permissions": list(permissions[start : start + MOST_PERMISSIONS])}
            reply = self._recorded("projects.testIamPermissions", lambda body=body: self._send("POST", url, body))  # type: ignore[misc]  # bound per round
            found.update(reply.get("permissions", ()))
        return frozenset(found)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()
        self._clients.clear()

    def new_request_id(self) -> str:
        """An id by which the API recognises a repeated request."""
        return str(uuid.uuid4())

    def _call(self, name: str, body: Mapping[str, Any] | None, request_id: str, path: Mapping[str, str]) -> Json:
        method = METHODS[name]
        if not method.client:
            return self._http_check(name, body=body, path=path)
        fields = self._fields(method, path)
        request = self._request(method, fields, body=body, request_id=request_id)
        sdk = self._client(method.client)
        verb = _snake(name.split(".")[1])
        call = getattr(sdk, f"{verb}_unary", None) or getattr(sdk, verb)
        return _to_json(call(request, retry=None, timeout=CALL_SECONDS))

    def _page(self, name: str, query: dict[str, str], path: Mapping[str, str]) -> Json:
        method = METHODS[name]
        if not method.client:
            return self._http_check(name, query={**query, "maxResults": str(PAGE)}, path=path)
        given = {key: value for key, value in query.items() if value}
        request = self._request(method, {**self._fields(method, path), **given, "max_results": PAGE})
        pager = getattr(self._client(method.client), _snake(name.split(".")[1]))
        return _to_json(next(pager(request, retry=None, timeout=CALL_SECONDS).pages))

    def _fields(self, method: Method, path: Mapping[str, str]) -> dict[str, Any]:
        project = self.endpoint.network_project if method.network else self.endpoint.project
        region = {"region": self.endpoint.region} if method.place == "region" else {}
        return {"project": project, **region, **path}

    def _request(
        self, method: Method, fields: dict[str, Any], *, body: Mapping[str, Any] | None = None, request_id: str = ""
    ) -> Any:  # noqa: ANN401 - one of the SDK's request types
        kind = getattr(compute_v1, method.request)
        request = kind(**fields)
        if request_id and "request_id" in kind.meta.fields:
            request.request_id = request_id
        if body is not None:
            name = next(field for field in kind.meta.fields if field.endswith("_resource"))
            message = kind.meta.fields[name].message
            setattr(request, name, message.from_json(json.dumps(dict(body))))
        return request

    def _client(self, name: str) -> Any:  # noqa: ANN401 - one of the SDK's clients
        if name not in self._clients:
            sdk = getattr(compute_v1, f"{name}Client")
            transport = sdk.get_transport_class("rest")(
                host=self.endpoint.host,
                url_scheme=self.endpoint.scheme,
                credentials=self.credentials,
                client_info=ClientInfo(user_agent=self.user_agent),
            )
            self._pool(transport._session)  # noqa: SLF001 - there is no public way to its session
            self._clients[name] = sdk(transport=transport)
        return self._clients[name]

    def _session(self) -> AuthorizedSession:
        if SESSION not in self._clients:
            self._clients[SESSION] = self._pool(AuthorizedSession(self.credentials))
        session: AuthorizedSession = self._clients[SESSION]
        return session

    def _pool(self, session: AuthorizedSession) -> AuthorizedSession:
        """Let a session share the connections of all: the SDK would open some of its own for every collection."""
        session.mount(f"{self.endpoint.scheme}://", self._connections)
        return session

    def _http_check(
        self,
        name: str,
        *,
        path: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        base = f"{self.endpoint.scheme}://{self.endpoint.host}/compute/v1/projects/{self.endpoint.project}"
        parts = [base, "global", "httpHealthChecks", *path.values()]
        verb = {"insert": "POST", "patch": "PATCH", "delete": "DELETE"}.get(name.split(".")[1], "GET")
        given = {("pageToken" if key == "page_token" else key): value for key, value in (query or {}).items() if value}
        return self._send(verb, "/".join(parts), body, given)

    def _send(
        self, verb: str, url: str, body: Mapping[str, Any] | None, query: Mapping[str, str] | None = None
    ) -> Json:
        reply = self._session().request(
            verb,
            url,
            params=query,
            json=dict(body) if body is not None else None,
            headers={"User-Agent": self.user_agent},
            timeout=CALL_SECONDS,
        )
        if reply.status_code >= ERROR:
            raise api.from_http_response(reply)
        answer: Json = reply.json()
        return answer

    def _recorded(self, name: str, call: Callable[[], Json]) -> Json:
        started = self.clock.monotonic()
        code = "ok"
        try:
            return call()
        except api.GoogleAPICallError as error:
            failure = _api_error(error)
            code = failure.outcome
            raise failure from None
        except google.auth.exceptions.TransportError as error:
            code = "unreachable"
            raise ApiError(0, "unreachable", f"no token: {error}") from None
        except google.auth.exceptions.GoogleAuthError as error:
            code = "unauthenticated"
            raise NotAuthenticated(f"{name}: {error}", hint="check the credentials of lbctl") from None
        except requests.exceptions.RequestException as error:
            code = "unreachable"
            raise ApiError(0, "unreachable", f"no answer ({type(error).__name__})") from None
        finally:
            self.record(name, code, self.clock.monotonic() - started)


def _api_error(error: api.GoogleAPICallError) -> ApiError:
    details = error.errors or [{}]
    first = details[0] if isinstance(details[0], dict) else {}
    status = int(error.code or 0)
    return ApiError(status, str(first.get("reason", "")), str(first.get("message") or error.message))


def _to_json(message: Any) -> Json:  # noqa: ANN401 - any of the SDK's messages
    plain: Json = type(message).to_dict(
        message,
        preserving_proto_field_name=False,
        use_integers_for_enums=False,
        always_print_fields_with_no_presence=False,
    )
    return plain


def _flat(page: Json) -> Iterator[Json]:
    """Objects of a page; aggregated lists hold them by place and under the collection's name."""
    items = page.get("items", [])
    if isinstance(items, list):
        yield from items
        return
    for place in items.values():
        for value in place.values():
            if isinstance(value, list):
                yield from value


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: f"_{found.group(1).lower()}", name)
