"""Requests to the API server, over the official client's configuration and connection pool.

The client serialises address and credentials, so that rotated tokens and exec plugins work; the request itself goes
through its urllib3 pool, because its own sending layer hides retries of writes and reads `Retry-After` by sleeping.
One `Rest` is shared by all threads. It must not know what the objects mean: bytes go in and come out.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
from urllib3 import Timeout

from lbctl.kube.access import Access, connect, whereabouts
from lbctl.kube.answers import Answer, error_of
from lbctl.kube.stream import Stream, transport_errors
from lbctl.kube.target import VERSION
from lbctl.kube.throttle import DEFAULT_RATE, Rate, Throttle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import ApiClient

    from lbctl.clock import Clock
    from lbctl.kube.target import Target

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON = "application/json"

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0

_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}
_UNAUTHORIZED = 401


class Rest:
    """Requests named by the verbs of Kubernetes' access rules; every failure is a `KubeError`.

    Each call costs one request, two when the credentials had to be loaded again, and waits for its place within the
    client-side rate. Nothing is retried: after a failed write its caller does not know whether it was done.
    """

    def __init__(self, access: Access, clock: Clock, *, rate: Rate = DEFAULT_RATE) -> None:
        self._access = access
        self._throttle = Throttle(clock, rate)
        self._reload = threading.Lock()
        self._client = connect(access)

    def get(self, target: Target, query: Mapping[str, str] | None = None) -> bytes:
        """The object's JSON."""
        return self.send("get", target, query=query)

    def list(self, target: Target, query: Mapping[str, str] | None = None) -> bytes:
        """The list's JSON, or a page of it when `query` holds a limit."""
        return self.send("list", target, query=query)

    def send(
        self,
        verb: str,
        target: Target,
        *,
        body: Any = None,  # noqa: ANN401 - whatever msgspec can write as JSON
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> bytes:
        """The answer's body."""
        self._throttle.take()
        payload = None if body is None else msgspec.json.encode(body)
        with transport_errors(verb, target, self._where):
            response = self._open(
                verb, target, query=query, payload=payload, content_type=content_type, read_seconds=read_seconds
            )
            return _accepted(verb, target, response, response.data)

    def get_date(self) -> str:
        """The `Date` header of the server's answer to `/version`, empty without one: its clock, to the second."""
        self._throttle.take()
        with transport_errors("get", VERSION, self._where):
            response = self._open(
                "get", VERSION, query=None, payload=None, content_type=JSON, read_seconds=READ_SECONDS
            )
            _accepted("get", VERSION, response, response.data)
            return str(response.headers.get("Date", ""))

    def stream(self, target: Target, query: Mapping[str, str], *, read_seconds: float) -> Stream:
        """An open watch that fails when nothing arrives for `read_seconds`; not counted against the rate."""
        with transport_errors("watch", target, self._where):
            response = self._open(
                "watch", target, query=query, payload=None, content_type=JSON, read_seconds=read_seconds, preload=False
            )
            if response.status >= 300:  # noqa: PLR2004 - all that is not 2xx
                _accepted("watch", target, response, response.read())
            return Stream(response, target, self._where)

    def _where(self) -> str:
        return whereabouts(self._access, self._client)

    def _open(self, verb: str, target: Target, *, payload: bytes | None, **options: Any) -> Any:  # noqa: ANN401 - urllib3's response
        client = self._client
        response = _request(client, verb, target, payload=payload, **options)
        if response.status != _UNAUTHORIZED:
            return response
        response.drain_conn()
        return _request(self._reconnected(client), verb, target, payload=payload, **options)

    def _reconnected(self, refused: ApiClient) -> ApiClient:
        """A client with credentials that were loaded after those of `refused`."""
        with self._reload:
            if self._client is refused:
                self._client = connect(self._access)
            return self._client


def _request(  # the client library is untyped here: `Any` is urllib3's response
    client: ApiClient,
    verb: str,
    target: Target,
    *,
    payload: bytes | None,
    query: Mapping[str, str] | None,
    content_type: str,
    read_seconds: float,
    preload: bool = True,
) -> Any:  # noqa: ANN401 - urllib3's response
    method, url, headers, *_ = client.param_serialize(
        _METHODS[verb],
        target.path,
        query_params=list((query or {}).items()),
        header_params={"Accept": JSON, **({"Content-Type": content_type} if payload is not None else {})},
        auth_settings=["BearerToken"],
    )
    return client.rest_client.pool_manager.request(
        method,
        url,
        body=payload,
        headers=headers,
        timeout=Timeout(connect=CONNECT_SECONDS, read=read_seconds),
        retries=False,
        redirect=False,
        preload_content=preload,
    )


def _accepted(verb: str, target: Target, response: Any, body: bytes) -> bytes:  # noqa: ANN401 - urllib3's response
    if 200 <= response.status < 300:  # noqa: PLR2004 - 2xx
        return body
    raise error_of(verb, target, Answer(response.status, body, response.headers.get("Retry-After", "")))
