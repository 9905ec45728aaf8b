"""Who lbctl is to Google Cloud: credentials of a file, tokens of a server that gce.conf names, else the default chain.

Beside `client.py` the only module that imports `google.auth`.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import google.auth
from google.auth import identity_pool
from google.auth.credentials import Credentials as SdkCredentials
from google.auth.credentials import TokenState
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.oauth2 import service_account

from lbctl.errors import NotAuthenticated
from lbctl.kube.throttle import Bucket, Rate
from lbctl_gce.settings import TokenServer

log = logging.getLogger(__name__)

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
TOKEN_RATE = Rate(per_second=1 / 20.0, burst=3.0)
OK, SERVER_ERROR, TOO_MANY = 200, 500, 429
MOST_TOLD = 200

Credentials: TypeAlias = Any
"""One of google.auth's, which is not typed."""


def load_credentials(file: str = "", *, confined: bool = False) -> Credentials:
    """Credentials of this file (service account key or workload identity federation), else the default chain.

    With `confined` they ask for tokens and for nothing else.
    """
    try:
        loaded = _from_file(file) if file else google.auth.default(scopes=SCOPES)[0]
    except (GoogleAuthError, OSError, ValueError) as error:
        raise NotAuthenticated(
            f"no credentials for Google Cloud: {error}",
            hint="give the Pod a workload identity, or set `credentials_file` or GOOGLE_APPLICATION_CREDENTIALS",
        ) from None
    return Confined(loaded) if confined else loaded


def _from_file(file: str) -> Credentials:
    kind = json.loads(Path(file).read_text(encoding="utf-8")).get("type")
    if kind == "service_account":
        return service_account.Credentials.from_service_account_file(file, scopes=SCOPES)
    if kind == "external_account":
        return identity_pool.Credentials.from_file(file, scopes=SCOPES)
    raise ValueError(f"{file} holds credentials of type {kind}; a service account or an external account is needed")


class Confined(SdkCredentials):  # type: ignore[misc]  # the SDK is not typed
    """The tokens of other credentials, and no call but those that get them.

    Of themselves google.auth's credentials ask `iamcredentials.googleapis.com` beside every request, in a thread of its
    own and whatever endpoint is configured, in which regions the token may be used, and tell Google's own endpoint
    so (its regional access boundary, for which there is no switch). No other endpoint has a use for that.
    """

    def __init__(self, source: Credentials) -> None:
        super().__init__()
        self.source = source

    @property
    def quota_project_id(self) -> str | None:
        """The project that calls are counted against, where it is not their own."""
        project: str | None = self.source.quota_project_id
        return project

    @property
    def universe_domain(self) -> str:
        """The domain of the cloud that the token is good for."""
        domain: str = self.source.universe_domain
        return domain

    def refresh(self, request: Any) -> None:  # noqa: ANN401 - one of google.auth's transports
        """Get another token."""
        self.source.refresh(request)
        self.token, self.expiry = self.source.token, self.source.expiry


class Granted(SdkCredentials):  # type: ignore[misc]  # the SDK is not typed
    """The tokens that a server grants to whom the instance's own token proves (cloud-provider-gcp, token_source.go).

    `own_token` gives the instance's, empty where there is none. At most three are asked for at once, and one every 20 s
    from then on. A token is renewed some minutes before it ends; while that fails the old one is used.
    """

    def __init__(self, server: TokenServer, own_token: Callable[[], str], now: Callable[[], float]) -> None:
        super().__init__()
        self.token: str | None = None
        self._server, self._own_token, self._now = server, own_token, now
        self._bucket = Bucket(TOKEN_RATE, now())
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """The server's address without what may be secret in it."""
        split = urlsplit(self._server.url)
        return f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}"

    def refresh(self, request: Any) -> None:  # noqa: ANN401 - one of google.auth's transports
        """Get another token, unless another thread has just done so."""
        before = self.token
        with self._lock:
            if self.token != before:
                return
            try:
                self.token, self.expiry = self._ask(request)
            except GoogleAuthError as error:
                if self.token_state is TokenState.INVALID:
                    raise
                log.warning("the present token is used on: %s", error)

    def _ask(self, request: Any) -> tuple[str, datetime | None]:  # noqa: ANN401 - as above
        if not self._bucket.take(self._now()):
            raise TransportError(f"POST {self.place} waits: one token in 20 s is asked for, after three at once")
        own = self._own_token()
        headers = {"Authorization": f"Bearer {own}"} if own else {}
        try:
            reply = request(url=self._server.url, method="POST", body=self._server.body.encode(), headers=headers)
        except TransportError:
            raise TransportError(f"POST {self.place} has no answer") from None
        if reply.status != OK:
            raise self._refusal(reply.status, reply.data, known="" if own else ", asked without a token of an instance")
        return self._granted(reply.data)

    def _refusal(self, status: int, data: bytes, *, known: str) -> GoogleAuthError:
        text = f"POST {self.place} was answered with {status}{known}: {_message(data)}"
        passes = status >= SERVER_ERROR or status == TOO_MANY
        return TransportError(text) if passes else RefreshError(text)

    def _granted(self, data: bytes) -> tuple[str, datetime | None]:
        """The token and its end, without a zone as google.auth has it; None for one that does not end."""
        answer = _object(data)
        token, until = answer.get("accessToken"), answer.get("expireTime")
        if not isinstance(token, str) or not token:
            raise RefreshError(f"POST {self.place} was answered without an accessToken")
        try:
            ends = datetime.fromisoformat(str(until)).astimezone(UTC).replace(tzinfo=None) if until else None
        except ValueError:
            raise RefreshError(f"POST {self.place} was answered with a token whose expireTime is no time") from None
        return token, ends


def _message(data: bytes) -> str:
    """What an error in Google's form says; nothing else of an answer is told, which may hold a secret."""
    error = _object(data).get("error")
    text = error.get("message") if isinstance(error, dict) else error
    return text[:MOST_TOLD] if isinstance(text, str) else "it does not say why"


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, and until when its present token is good; `until` is empty for one that does not expire."""

    name: str
    until: str = ""


def identity_of(credentials: Credentials) -> Identity:
    """Account or audience of the credentials, else their kind; no call."""
    source = credentials.source if isinstance(credentials, Confined) else credentials
    name = getattr(source, "service_account_email", "") or getattr(source, "info", {}).get("audience", "")
    if isinstance(source, Granted):
        name = f"the account that {source.place} knows"
    until = credentials.expiry.isoformat(timespec="seconds") + "Z" if credentials.expiry else ""
    return Identity(str(name) or type(source).__name__, until)
