"""How a client of the real SDK reaches the endpoint: base URL, api-version, token, no retries, no waiting.

Used by the tests of this folder. Each line answers a trap of the SDK: the constructor ignores `api_version`, the bearer
policy refuses plain http, the default chain registers providers and sleeps through 429, and polls come 30 s apart.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from azure.core.pipeline.policies import RequestIdPolicy, SansIOHTTPPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient

from tests.clouds.azure.cloud import SUBSCRIPTION
from tests.clouds.azure.server import TOKEN

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest

NETWORK_VERSION: Final = "2025-05-01"


class StaticCredential:
    """Hands out one token for ever; the SDK asks for a credential even when a policy sets the header."""

    def __init__(self, token: str) -> None:
        self._token: Final = token

    def get_token(self, *_scopes: str, **_options: Any) -> Any:
        """The token in the form that azure-core wants."""
        from azure.core.credentials import AccessToken

        return AccessToken(self._token, 4102444800)


class BearerOverHttp(SansIOHTTPPolicy):  # type: ignore[misc]  # the SDK is not type-checked here
    """Sets the token where the SDK's own policy insists on TLS."""

    def __init__(self, token: str) -> None:
        self._header: Final = f"Bearer {token}"

    def on_request(self, request: PipelineRequest) -> None:
        """Adds the header."""
        request.http_request.headers["Authorization"] = self._header


class PinApiVersion(SansIOHTTPPolicy):  # type: ignore[misc]  # the SDK is not type-checked here
    """Rewrites the version in every URL that the client builds; URLs that the server gave carry it already."""

    def __init__(self, version: str) -> None:
        self._version: Final = version

    def on_request(self, request: PipelineRequest) -> None:
        """Puts the pinned version into the query."""
        url = urlsplit(request.http_request.url)
        query = {**dict(parse_qsl(url.query)), "api-version": self._version}
        request.http_request.url = urlunsplit(url._replace(query=urlencode(query)))


def network_client(url: str, *, token: str = TOKEN) -> Any:
    """A client of Microsoft.Network."""
    return NetworkManagementClient(**_options(url, token, PinApiVersion(NETWORK_VERSION)))


def compute_client(url: str, *, token: str = TOKEN) -> Any:
    """A client of Microsoft.Compute, with the versions that the SDK chooses."""
    return ComputeManagementClient(**_options(url, token))


def _options(url: str, token: str, *more: SansIOHTTPPolicy) -> dict[str, Any]:
    """The chain of policies is given whole: it has no retries, no registration of providers and no check for TLS."""
    return {
        "credential": StaticCredential(token),
        "subscription_id": SUBSCRIPTION,
        "base_url": url,
        "credential_scopes": [f"{url}/.default"],
        "policies": [RequestIdPolicy(), UserAgentPolicy("lbctl-tests"), *more, BearerOverHttp(token)],
        "polling_interval": 0,
    }


def send(client: Any, method: str, path: str, *, body: object = None, headers: dict[str, str] | None = None) -> Any:
    """The response to a request that the client's methods cannot express; errors are not raised."""
    content = {"content": json.dumps(body), "headers": {"Content-Type": "application/json", **(headers or {})}}
    options: dict[str, Any] = content if body is not None else {"headers": headers or {}}
    return client.send_request(HttpRequest(method, path, **options))
