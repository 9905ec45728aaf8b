"""Who lbctl is to Google Cloud: credentials of a file, else of the default chain.

Beside `client.py` the only module that imports `google.auth`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import google.auth
from google.auth import identity_pool
from google.auth.credentials import Credentials as SdkCredentials
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import service_account

from lbctl.errors import NotAuthenticated

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)

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


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, and until when its present token is good; `until` is empty for one that does not expire."""

    name: str
    until: str = ""


def identity_of(credentials: Credentials) -> Identity:
    """Account or audience of the credentials, else their kind; no call."""
    source = credentials.source if isinstance(credentials, Confined) else credentials
    name = getattr(source, "service_account_email", "") or getattr(source, "info", {}).get("audience", "")
    until = credentials.expiry.isoformat(timespec="seconds") + "Z" if credentials.expiry else ""
    return Identity(str(name) or type(source).__name__, until)
