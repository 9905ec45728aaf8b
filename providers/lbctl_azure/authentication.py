"""Which token goes on which request. With `client` and `connect` the only modules that load the SDK.

A cluster whose network lives in another tenant has two: requests to the network's subscription carry a token of the
network's tenant; all others carry one of the cluster's, and one of the network's beside it, because what they write
refers to the network (cloud-provider-azure 7b31c76, azclient: NewAuthProvider; Azure Resource Manager, "Authenticate
requests across tenants").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.pipeline.policies import HTTPPolicy, SansIOHTTPPolicy
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy, AuxiliaryAuthenticationPolicy

from lbctl_azure.ids import segment_after

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline import PipelineRequest, PipelineResponse

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Network:
    """The subscription of a network in another tenant, and the credential whose tokens are of that tenant."""

    subscription: str
    credential: Any


class LoopbackToken(SansIOHTTPPolicy):  # type: ignore[misc]  # the SDK is not type-checked
    """Sets the token on plain http, which the SDK refuses; used for loopback endpoints alone."""

    def __init__(self, credential: TokenCredential, scope: str) -> None:
        self._credential = credential
        self._scope = scope

    def on_request(self, request: PipelineRequest) -> None:
        """Add the header."""
        token = self._credential.get_token(self._scope)
        request.http_request.headers["Authorization"] = f"Bearer {token.token}"


class OfTenant:
    """A credential whose tokens are of one tenant, whichever tenant the credential itself is of."""

    def __init__(self, credential: TokenCredential, tenant: str) -> None:
        self._credential = credential
        self._tenant = tenant

    def get_token(self, *scopes: str, **options: Any) -> Any:  # noqa: ANN401 - the SDK's protocol
        """A token of the tenant."""
        return self._credential.get_token(*scopes, **{**options, "tenant_id": self._tenant})


class BySubscription(HTTPPolicy):  # type: ignore[misc]  # the SDK is not type-checked
    """Requests to one subscription go through one policy; all others through another, with a second token beside."""

    def __init__(self, subscription: str, *, inside: HTTPPolicy, outside: HTTPPolicy, beside: SansIOHTTPPolicy) -> None:
        super().__init__()
        self._subscription = subscription.lower()
        self._inside = inside
        self._outside = outside
        self._beside = beside

    def send(self, request: PipelineRequest) -> PipelineResponse:
        """Hand the request on."""
        wanted = segment_after(urlsplit(request.http_request.url).path, "subscriptions").lower()
        policy = self._inside if wanted == self._subscription else self._outside
        if policy is self._outside:
            self._beside.on_request(request)
        policy.next = self.next
        return policy.send(request)


def authentication(credential: TokenCredential, endpoint: str, scope: str, network: Network | None) -> Any:  # noqa: ANN401 - a policy
    """The policy of the pipeline that puts tokens on requests."""
    url = urlsplit(endpoint)
    if url.scheme == "http" and url.hostname in LOOPBACK:
        return LoopbackToken(credential, scope)
    own = ARMChallengeAuthenticationPolicy(credential, scope)
    if network is None:
        return own
    return BySubscription(
        network.subscription,
        inside=ARMChallengeAuthenticationPolicy(network.credential, scope),
        outside=own,
        beside=AuxiliaryAuthenticationPolicy([network.credential], scope),
    )
