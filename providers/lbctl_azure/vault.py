"""A token of another tenant that somebody keeps fresh in a key vault. One of the few modules that load the SDK.

A managed identity has tokens of its own tenant only. `auxiliaryTokenProvider` of azure.json names the secret in which a
token for the network's tenant is kept, as `{"access_token": …, "expires_on": …}` (cloud-provider-azure 7b31c76,
azclient: KeyVaultCredential). The vault is asked with the identity itself: one call for its address, once, and one a
token.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from azure.core import PipelineClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest

from lbctl.clock import Clock
from lbctl_azure.ids import Group
from lbctl_azure.settings import TokenProvider

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

VAULT_VERSION = "2023-07-01"
SECRET_VERSION = "7.4"  # noqa: S105 - the version of an API
FRESH_SECONDS = 300.0
HTTP_OK = 200


class VaultToken:
    """A credential whose tokens are what the secret holds, read again five minutes before one ends."""

    def __init__(
        self,
        place: TokenProvider,
        identity: TokenCredential,
        *,
        manager: str,
        scope: str,
        vault_audience: str,
        clock: Clock,
        user_agent: str,
        verify: str | bool = True,
    ) -> None:
        self._place = place
        self._clock = clock
        self._endpoint = manager
        self._manager = _Reader(identity, manager, scope, user_agent, verify=verify)
        self._vaults = _Reader(identity, manager, f"{vault_audience}/.default", user_agent, verify=verify)
        self._uri = ""
        self._token: AccessToken | None = None
        self._lock = threading.Lock()

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:  # noqa: ANN401 - the SDK's protocol
        """The token; `ClientAuthenticationError` with what is missing where there is none, never with its text."""
        with self._lock:
            if self._token is None or self._ends_within(self._token, FRESH_SECONDS):
                self._token = self._read()
            if self._ends_within(self._token, 0):
                raise ClientAuthenticationError(f"the token in {self._place} has ended, and nobody has renewed it")
            return self._token

    def close(self) -> None:
        """Let go of connections."""
        self._manager.close()
        self._vaults.close()

    def _ends_within(self, token: AccessToken, seconds: float) -> bool:
        return bool(token.expires_on - self._clock.now().timestamp() <= seconds)

    def _read(self) -> AccessToken:
        vault = Group(self._place.subscription, self._place.group)
        if not self._uri:
            url = f"{self._endpoint}{vault.id()}/providers/Microsoft.KeyVault/vaults/{self._place.vault}"
            found = self._manager.get(url, VAULT_VERSION, f"key vault {self._place.vault}")
            self._uri = str((found.get("properties") or {}).get("vaultUri") or "").rstrip("/")
        secret = self._vaults.get(f"{self._uri}/secrets/{self._place.secret}", SECRET_VERSION, str(self._place))
        try:
            content = json.loads(str(secret.get("value")))
            return AccessToken(str(content["access_token"]), _timestamp(content["expires_on"]))
        except (ValueError, TypeError, KeyError):
            raise ClientAuthenticationError(f'{self._place} holds no {{"access_token": …, "expires_on": …}}') from None


class _Reader:
    """GETs with the identity's own token, for one audience."""

    def __init__(
        self, identity: TokenCredential, endpoint: str, scope: str, user_agent: str, *, verify: str | bool
    ) -> None:
        policies = [UserAgentPolicy(user_agent), BearerTokenCredentialPolicy(identity, scope)]
        self._client = PipelineClient(endpoint, policies=policies, connection_verify=verify)

    def get(self, url: str, version: str, subject: str) -> Mapping[str, Any]:
        try:
            response = self._client.send_request(HttpRequest("GET", url, params={"api-version": version}))
            document = response.json()
        except ClientAuthenticationError:
            raise
        except (AzureError, ValueError) as error:
            raise ClientAuthenticationError(f"{subject} cannot be read: {error}") from None
        if response.status_code != HTTP_OK:
            told = document.get("error") or {}
            said = f"{told.get('code', response.status_code)}: {told.get('message', response.reason)}"
            raise ClientAuthenticationError(f"{subject} cannot be read: {said}")
        found: Mapping[str, Any] = document
        return found

    def close(self) -> None:
        self._client.close()


def _timestamp(value: Any) -> int:  # noqa: ANN401 - as the secret has it
    """Seconds since 1970, of a number or of a time in ISO 8601; UTC where it names no zone."""
    if isinstance(value, (int, float)):
        return int(value)
    time = datetime.fromisoformat(str(value))
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
