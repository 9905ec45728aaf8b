"""Who can sign in, and how: tenants, applications and machines' identities, and the tokens that they are given.

Three endpoints: an authority's token endpoint (client credentials by secret, certificate or federated token), a
machine's own endpoint, and the cloud's description of its endpoints. Each checks what its original checks. Codes are
those of the published list of AADSTS errors. Tokens are JSON web tokens whose claims say whose they are; nobody
verifies their signature, because the endpoint only takes tokens that it gave out itself.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.clouds.azure.access import Access, Principal
from tests.clouds.azure.requests import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

VAULTS: Final = "https://vault.stack.example"
TENANT: Final = "22222222-3333-4444-5555-666666666666"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SECONDS: Final = 3600
_FAR: Final = "4102444800"


@dataclass(frozen=True, slots=True)
class Application:
    """A service principal: the tenants that it is known in, and the ways in which it may prove itself."""

    client_id: str
    tenants: frozenset[str] = frozenset({TENANT})
    secret: str = ""
    certificate: bytes = b""
    federated_token: str = ""


class Refused(Exception):
    """A refusal of an authority or of a machine's endpoint."""

    def __init__(self, status: int, error: str, code: int, description: str) -> None:
        super().__init__(description)
        self.reply = Reply(
            status, {"error": error, "error_description": f"AADSTS{code}: {description}", "error_codes": [code]}
        )


@dataclass(slots=True)
class Directory:
    """Everybody who can sign in. As `cloud`, with this audience and authority, the cloud describes itself.

    `roles` are the actions that an application may do, by its client id; all without an entry.
    """

    applications: dict[str, Application] = field(default_factory=dict)
    machine_identities: dict[str, str] = field(default_factory=lambda: {"": "the-machine"})
    roles: dict[str, frozenset[str]] = field(default_factory=dict)
    cloud: str = "AZURESTACKCLOUD"
    audience: str = ""
    authority: str = ""
    _numbers: Any = field(default_factory=itertools.count)

    def add(self, application: Application) -> None:
        """Let an application sign in."""
        self.applications[application.client_id] = application

    def audience_of(self, request: Request) -> str:
        """Who tokens for the resource manager are made for."""
        return (self.audience or request.base).rstrip("/")

    # The three endpoints

    def describe(self, request: Request) -> Reply:
        """The cloud's endpoints, which it tells everybody."""
        described = {
            "name": self.cloud,
            "resourceManager": request.base,
            "authentication": {
                "loginEndpoint": f"{self.authority or request.base}/",
                "audiences": [self.audience or f"{request.base}/"],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "suffixes": {"keyVaultDns": VAULTS.removeprefix("https://")},
        }
        return Reply(200, [described])

    def sign_in(self, request: Request, access: Access) -> Reply:
        """A token for an application that has proved itself, in the tenant that the path names."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        try:
            self._check_grant(form, request)
            application = self._application(form, request.route.name)
            _check_proof(application, form, request)
        except Refused as refused:
            return refused.reply
        token = self._issue(access, tenant=request.route.name, name=application.client_id, audience=form["scope"])
        answer: dict[str, object] = {"access_token": token, "token_type": "Bearer"}
        return Reply(200, answer | {"expires_in": _SECONDS, "ext_expires_in": _SECONDS})

    def machine_token(self, request: Request, access: Access) -> Reply:
        """A token for the machine itself, or for an identity that was assigned to it."""
        query = request.query
        wanted = next((query[name] for name in ("client_id", "msi_res_id", "mi_res_id") if name in query), "")
        name = self.machine_identities.get(wanted)
        if request.headers.get("metadata", "").lower() != "true" or "resource" not in query or name is None:
            text = "Identity not found" if name is None else "Required metadata header not specified"
            return Reply(400, {"error": "invalid_request", "error_description": text})
        resource = query["resource"]
        token = self._issue(access, tenant=TENANT, name=name, audience=resource)
        answer = {"access_token": token, "token_type": "Bearer", "resource": resource, "expires_on": _FAR}
        return Reply(200, answer | {"expires_in": str(_SECONDS), "ext_expires_in": str(_SECONDS)})

    # Proof

    def _check_grant(self, form: Mapping[str, str], request: Request) -> None:
        if form.get("grant_type") != "client_credentials":
            raise Refused(
                400, "unsupported_grant_type", 70003, f"The grant type {form.get('grant_type')} is not known."
            )
        audience = self.audience_of(request)
        if form.get("scope", "").removesuffix("/.default").rstrip("/") != audience:
            raise Refused(400, "invalid_resource", 500011, f"The resource principal {form.get('scope')} was not found.")

    def _application(self, form: Mapping[str, str], tenant: str) -> Application:
        every = {known for application in self.applications.values() for known in application.tenants}
        if tenant not in every:
            raise Refused(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        found = self.applications.get(form.get("client_id", ""))
        if found is None or tenant not in found.tenants:
            text = f"Application with identifier '{form.get('client_id')}' was not found in the directory '{tenant}'."
            raise Refused(400, "unauthorized_client", 700016, text)
        return found

    def _issue(self, access: Access, *, tenant: str, name: str, audience: str) -> str:
        now = int(time.time())
        claims = {
            "aud": audience.removesuffix("/.default"),
            "iss": f"https://sts.windows.net/{tenant}/",
            "tid": tenant,
            "appid": name,
            "oid": f"object-of-{name}",
            "iat": now,
            "exp": now + _SECONDS,
            "jti": str(next(self._numbers)),
        }
        token = f"{_encoded({'typ': 'JWT', 'alg': 'RS256'})}.{_encoded(claims)}.{_encoded('signature')}"
        audience = str(claims["aud"])
        access.principals[token] = Principal(name, self.roles.get(name), tenant=tenant, audience=audience)
        return token


def _check_proof(application: Application, form: Mapping[str, str], request: Request) -> None:
    if "client_assertion" not in form:
        if not application.secret or form.get("client_secret") != application.secret:
            raise Refused(401, "invalid_client", 7000215, "Invalid client secret provided.")
        return
    assertion = form["client_assertion"]
    if form.get("client_assertion_type") != _ASSERTION_TYPE:
        raise Refused(401, "invalid_client", 50027, "The assertion's type is not known.")
    if application.federated_token and assertion == application.federated_token:
        return
    if not application.certificate or not _is_signed(assertion, application, request):
        raise Refused(401, "invalid_client", 700027, "The certificate used to sign the assertion is not registered.")


def _is_signed(assertion: str, application: Application, request: Request) -> bool:
    """Whether the application's key signed the assertion, for this endpoint and in its own name."""
    signed, _, signature = assertion.rpartition(".")
    header, claims = (_decoded(part) for part in signed.split("."))
    key = x509.load_pem_x509_certificate(application.certificate).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    pad = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if header["alg"] == "PS256" else padding.PKCS1v15()
    try:
        key.verify(_bytes(signature), signed.encode(), pad, hashes.SHA256())
    except InvalidSignature:
        return False
    endpoint = f"{request.base}/{request.route.name}/oauth2/v2.0/token"
    return claims["aud"] == endpoint and claims["iss"] == claims["sub"] == application.client_id


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _decoded(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_bytes(text))
    return found


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
