"""The only module that imports openstacksdk: one session a region, plain requests, errors translated.

Requests are the services' own documents: the SDK's session brings log-in, token renewal, catalog, TLS and time-outs,
which are what is hard. No retries here: the queue does the long ones, and after an unknown reply it looks first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

import keystoneauth1.exceptions as auth_errors
import openstack.exceptions as sdk_errors
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from lbctl.clock import Clock
from lbctl.errors import InvalidSettings, MissingFact, NotAuthenticated
from lbctl.silence import Silence
from lbctl_openstack.cloudconf import Access
from lbctl_openstack.errors import Reply, error_of, text_of

Json = dict[str, Any]
Record = Callable[[str, str, float], None]

BALANCING = "load_balancer"
NETWORK = "network"
SECRETS = "key_manager"
SUCCESS = 300
NOT_FOUND = 404

# cloud.conf -> clouds.yaml; tenants are projects.
AUTH_NAMES = {
    "auth_url": "auth_url",
    "username": "username",
    "user_id": "user_id",
    "password": "password",
    "tenant_id": "project_id",
    "tenant_name": "project_name",
    "tenant_domain_id": "project_domain_id",
    "tenant_domain_name": "project_domain_name",
    "user_domain_id": "user_domain_id",
    "user_domain_name": "user_domain_name",
    "token": "token",
    "trust_id": "trust_id",
    "application_credential_id": "application_credential_id",
    "application_credential_name": "application_credential_name",
    "application_credential_secret": "application_credential_secret",
}


@dataclass(frozen=True, slots=True)
class LogIn:
    """What Keystone says of the token in use."""

    user: str
    project: str
    project_id: str
    roles: frozenset[str]
    expires: datetime


class Client:
    """Calls to one region with one set of credentials; may be shared by threads."""

    def __init__(self, connection: Connection, *, clock: Clock, record: Record) -> None:
        self._connection = connection
        self._clock = clock
        self._record = record

    def get(self, service: str, path: str, **params: Any) -> Json:  # noqa: ANN401 - query values
        """The document at a path."""
        return self._request(service, "GET", path, params=params)

    def find(self, service: str, path: str) -> Json | None:
        """The document at a path, or None when there is none."""
        return self._request(service, "GET", path, missing=True) or None

    def list_children(self, service: str, path: str, key: str) -> list[Json]:
        """All items of a list below some object; none when that has gone."""
        return self._pages(service, path, key, {}, missing=True)

    def _pages(self, service: str, path: str, key: str, params: Json, *, missing: bool) -> list[Json]:
        items: list[Json] = []
        query = params
        while True:
            page = self._request(service, "GET", path, params=query, missing=missing)
            if missing and not page:
                return items
            items += page[key]
            following = [link["href"] for link in page.get(f"{key}_links", ()) if link["rel"] == "next"]
            if not following or not page[key]:
                return items
            query = {**params, "marker": page[key][-1]["id"]}

    def list(self, service: str, path: str, key: str, **params: Any) -> list[Json]:  # noqa: ANN401 - query values
        """All items of a list, every page of it."""
        return self._pages(service, path, key, params, missing=False)

    def post(self, service: str, path: str, body: Json) -> Json:
        """The document that was made."""
        return self._request(service, "POST", path, json=body)

    def put(self, service: str, path: str, body: Json, *, headers: Mapping[str, str] | None = None) -> Json:
        """The document as changed."""
        return self._request(service, "PUT", path, json=body, headers=dict(headers or {}))

    def delete(self, service: str, path: str, **params: Any) -> None:  # noqa: ANN401 - query values
        """Remove; gone already is success."""
        self._request(service, "DELETE", path, params=params, missing=True)

    def log_in(self) -> LogIn:
        """Who we are; no call while the token is good."""
        with _translated("log in"):
            session = self._connection.session
            access = session.auth.get_access(session)
        return LogIn(
            user=str(access.username or access.user_id),
            project=str(access.project_name or access.project_id),
            project_id=str(access.project_id),
            roles=frozenset(access.role_names),
            expires=access.expires,
        )

    def root(self, service: str) -> Json:
        """The versions document of a service."""
        with _translated(f"find {service}"):
            endpoint = str(self._adapter(service).get_endpoint())
        base = endpoint.split("/v2", maxsplit=1)[0].rstrip("/") + "/"
        return self._request(service, "GET", base)

    def close(self) -> None:
        """Close connections."""
        self._connection.close()

    def _adapter(self, service: str) -> Any:  # noqa: ANN401 - an untyped SDK
        return getattr(self._connection, service)

    def _request(self, service: str, method: str, path: str, *, missing: bool = False, **options: Any) -> Json:  # noqa: ANN401
        call = f"{method} {path}"
        start = self._clock.monotonic()
        code = "unreachable"
        try:
            with _translated(call):
                reply = self._adapter(service).request(path, method, raise_exc=False, **options)
            code = str(reply.status_code)
        finally:
            self._record(f"{service} {method}", code, self._clock.monotonic() - start)
        return self._body(call, reply, missing=missing)

    def _body(self, call: str, reply: Any, *, missing: bool) -> Json:  # noqa: ANN401 - an untyped SDK
        body = _json(reply)
        if reply.status_code < SUCCESS or (reply.status_code == SUCCESS and isinstance(body, dict)):
            return body if isinstance(body, dict) else {}
        text = text_of(body)
        if missing and reply.status_code == NOT_FOUND:
            return {}
        raise error_of(
            Reply(
                call,
                reply.status_code,
                text,
                retry_after=reply.headers.get("Retry-After", ""),
                request_id=reply.headers.get("x-openstack-request-id", ""),
            )
        )


REFUSED = (auth_errors.Unauthorized, auth_errors.MissingRequiredOptions, auth_errors.AuthorizationFailure)


@contextmanager
def _translated(call: str) -> Iterator[None]:
    """What the SDK raises, as errors of ours."""
    try:
        yield
    except REFUSED as error:
        raise NotAuthenticated(f"{call}: {_first_line(error)}", hint="check the credentials of this account") from None
    except (auth_errors.EndpointNotFound, sdk_errors.ServiceDisabledException) as error:
        hint = "check the region, and that the service is in Keystone's catalog"
        raise MissingFact(f"{call}: {_first_line(error)}", hint=hint) from None
    except (auth_errors.ClientException, sdk_errors.SDKException, OSError) as error:
        raise Silence.of(error).error(call) from None


def _json(reply: Any) -> Any:  # noqa: ANN401 - any JSON
    if not reply.content:
        return {}
    try:
        return reply.json()
    except ValueError:
        return reply.text


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else ""


def connect(access: Access, *, timeout: float, user_agent: str, clock: Clock, record: Record) -> Client:
    """A client of one region; logs in with the first call. `InvalidSettings` when nothing says how."""
    name, _, version = user_agent.partition("/")
    try:
        config = OpenStackConfig(
            load_yaml_config=access.use_clouds,
            load_envvars=access.use_clouds,
            config_files=[access.clouds_file] if access.clouds_file else None,
            app_name=name,
            app_version=version or None,
        )
        region = config.get_one(**_options(access, timeout))
        return Client(Connection(config=region), clock=clock, record=record)
    except Exception as error:
        hint = "give auth-url and credentials in cloud.conf, or the name of a cloud in clouds.yaml"
        raise InvalidSettings(f"openstack: cannot log in: {_first_line(error)}", hint=hint) from error


def _options(access: Access, timeout: float) -> dict[str, Any]:
    options: dict[str, Any] = {"api_timeout": timeout}
    named = {"region_name": access.region, "interface": access.os_endpoint_type.removesuffix("URL")}
    options |= {key: value for key, value in named.items() if value}
    auth = _credentials(access)
    if access.use_clouds and access.cloud:
        options["cloud"] = access.cloud
    if auth:
        options |= {"auth": auth, "auth_type": _auth_type(access)}
    return options | _tls(access)


def _credentials(access: Access) -> dict[str, str]:
    """What Keystone is told, and no more: files name what it refuses to be told twice.

    Application credentials and trusts have a project of their own, and a credential that is named by its id has a user.
    """
    auth = {new: getattr(access, old) for old, new in AUTH_NAMES.items() if getattr(access, old)}
    for kind, name in product(("user", "project"), ("id", "name")):
        if value := getattr(access, f"domain_{name}"):
            auth.setdefault(f"{kind}_domain_{name}", value)
    unwanted: tuple[str, ...] = ()
    if access.application_credential_secret:
        unwanted = ("project", "password", "token", "trust") + (("user",) if access.application_credential_id else ())
    elif access.trust_id:
        unwanted = ("project",)
        named = {"user_id": access.trustee_id, "password": access.trustee_password}
        auth |= {name: value for name, value in named.items() if value}
    return {name: value for name, value in auth.items() if not name.startswith(unwanted)}


def _auth_type(access: Access) -> str:
    if access.application_credential_secret:
        return "v3applicationcredential"
    return "v3token" if access.token else "v3password"


def _tls(access: Access) -> dict[str, Any]:
    options: dict[str, Any] = {"verify": not access.tls_insecure}
    named = {"cacert": access.ca_file, "cert": access.cert_file, "key": access.key_file}
    return options | {key: value for key, value in named.items() if value}
