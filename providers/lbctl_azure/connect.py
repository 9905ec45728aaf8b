"""From settings to a connected driver: which cloud, which credential, which tenants.

The order of credentials is upstream's: workload identity, managed identity, secret, certificate (cloud-provider-azure
7b31c76, azclient: NewAuthProvider).
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core import PipelineClient
from azure.core.exceptions import AzureError
from azure.core.rest import HttpRequest

from lbctl.driver import DriverInfo, Setup
from lbctl.errors import InvalidSettings, Unreachable
from lbctl_azure.account import Account
from lbctl_azure.authentication import Network, OfTenant
from lbctl_azure.client import Client
from lbctl_azure.driver import AzureDriver, Connection
from lbctl_azure.settings import CloudConfig, Settings
from lbctl_azure.sources import Source, load, warn_of_unknown
from lbctl_azure.vault import VaultToken

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

METADATA = "/metadata/endpoints?api-version=2019-05-01"
AAD_HOSTS = ("login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn")


@dataclass(frozen=True, slots=True)
class Sovereign:
    """Endpoints of one cloud; tokens are for the manager unless `audience` says otherwise.

    `vaults` is the audience of its key vaults.
    """

    manager: str
    authority: str
    audience: str = ""
    vaults: str = ""

    @property
    def scope(self) -> str:
        """What tokens for the manager are asked for with."""
        return f"{(self.audience or self.manager).rstrip('/')}/.default"

    @property
    def options(self) -> dict[str, Any]:
        """What a credential has to know of the cloud; authorities that Microsoft does not run are not looked up."""
        is_known = any(self.authority.rstrip("/").endswith(f"//{host}") for host in AAD_HOSTS)
        return {"authority": self.authority, **({} if is_known else {"disable_instance_discovery": True})}


CLOUDS = {
    "azurepubliccloud": Sovereign(
        "https://management.azure.com", "https://login.microsoftonline.com", vaults="https://vault.azure.net"
    ),
    "azureusgovernmentcloud": Sovereign(
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
        "https://management.core.usgovcloudapi.net",
        "https://vault.usgovcloudapi.net",
    ),
    "azurechinacloud": Sovereign(
        "https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn", vaults="https://vault.azure.cn"
    ),
}


NAMES = {"azurecloud": "azurepubliccloud", "azureusgovernment": "azureusgovernmentcloud"}
"""What Microsoft's own tools and the clouds themselves call what upstream's configuration calls otherwise."""


def connect(info: DriverInfo, setup: Setup) -> AzureDriver:
    """A driver for what azure.json says, now and after it changes; `InvalidSettings` when it cannot be used.

    A configuration that names its own resource manager costs one call, for that cloud's endpoints.
    """
    current = _load(setup)

    def renew() -> Connection | None:
        nonlocal current
        fresh = _load(setup)
        if fresh.config == current.config:
            return None
        current = fresh
        return _connected(setup, fresh)

    return AzureDriver(info, setup, _connected(setup, current), renew=renew)


def _load(setup: Setup) -> Source:
    settings = setup.settings
    assert isinstance(settings, Settings)
    return load(settings, cluster=setup.cluster.name, read=setup.read_document, environment=os.environ)


def _connected(setup: Setup, source: Source) -> Connection:
    warn_of_unknown(source)
    cloud = find_cloud(source.config)
    return connection(setup, source, credential_of(source.config, cloud), cloud=cloud)


def connection(
    setup: Setup, source: Source, credential: TokenCredential, *, cloud: Sovereign, verify: str | bool = True
) -> Connection:
    """A connection that uses this credential; `verify` may name a file of certificates to trust."""
    settings = setup.settings if isinstance(setup.settings, Settings) else Settings()
    config = source.config
    client = Client(
        credential=credential,
        endpoint=cloud.manager,
        scope=cloud.scope,
        subscription=config.group.subscription,
        network=_network(setup, config, credential, cloud=cloud, verify=verify),
        clock=setup.clock,
        user_agent=setup.user_agent,
        record=setup.record,
        show=setup.show,
        verify=verify,
    )
    return Connection(Account(setup.cluster.name, config, settings), client, source)


def _network(
    setup: Setup, config: CloudConfig, credential: TokenCredential, *, cloud: Sovereign, verify: str | bool
) -> Network | None:
    """How requests to the network's subscription sign in where it is of another tenant; None where it is not."""
    if not config.has_two_tenants:
        return None
    if config.is_machine and config.token_provider is not None:
        token = VaultToken(
            config.token_provider,
            credential,
            manager=cloud.manager,
            scope=cloud.scope,
            vault_audience=cloud.vaults,
            clock=setup.clock,
            user_agent=setup.user_agent,
            verify=verify,
        )
        return Network(config.group.subscription, token)
    return Network(config.group.subscription, OfTenant(credential, config.network_tenant_id))


def find_cloud(config: CloudConfig) -> Sovereign:
    """The cloud's endpoints: Microsoft's own are known, another resource manager is asked for its authority."""
    name = _canonical(config.cloud)
    if not config.resource_manager_endpoint:
        if name not in CLOUDS:
            raise InvalidSettings(f"cloud {config.cloud} needs resourceManagerEndpoint in azure.json")
        return CLOUDS[name]
    manager = config.resource_manager_endpoint.rstrip("/")
    known = CLOUDS.get(name, Sovereign(manager, CLOUDS["azurepubliccloud"].authority))
    for entry in _ask_endpoints(manager):
        if _canonical(str(entry.get("name", ""))) == name:
            described = entry.get("authentication") or {}
            audiences = described.get("audiences") or [""]
            authority = str(described.get("loginEndpoint") or known.authority).rstrip("/")
            vaults = str((entry.get("suffixes") or {}).get("keyVaultDns") or "").lstrip(".")
            return Sovereign(
                manager,
                authority.removesuffix("/adfs"),
                str(audiences[0]),
                f"https://{vaults}" if vaults else known.vaults,
            )
    # A door of its own to one of Microsoft's clouds takes that cloud's tokens.
    return Sovereign(manager, known.authority, known.audience or known.manager, known.vaults)


def _canonical(cloud: str) -> str:
    return NAMES.get(cloud.lower(), cloud.lower())


def _ask_endpoints(manager: str) -> list[dict[str, Any]]:
    """What a resource manager says about its clouds; it tells everybody, without a token."""
    try:
        with PipelineClient(manager, policies=[]) as client:
            response = client.send_request(HttpRequest("GET", f"{manager}{METADATA}"))
            response.raise_for_status()
            found = response.json()
    except (AzureError, ValueError) as error:
        raise Unreachable(f"{manager} does not tell its endpoints: {error}") from None
    return found if isinstance(found, list) else [found]


def credential_of(config: CloudConfig, cloud: Sovereign) -> TokenCredential:
    """The first way to authenticate that the configuration offers."""
    for applies, make in WAYS:
        if applies(config):
            return make(config, cloud)
    raise InvalidSettings(
        "azure.json offers no way to authenticate",
        hint="set aadClientId and aadClientSecret, useManagedIdentityExtension, or workload identity",
    )


def _workload(config: CloudConfig, cloud: Sovereign) -> TokenCredential:
    from azure.identity import WorkloadIdentityCredential  # noqa: PLC0415 - only the way in use is loaded

    return WorkloadIdentityCredential(
        tenant_id=_tenant(config),
        client_id=config.client_id,
        token_file_path=config.federated_token_file,
        **_tenants(config),
        **cloud.options,
    )


def _managed(config: CloudConfig, _cloud: Sovereign) -> TokenCredential:
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415 - as above

    identity = config.user_assigned_identity
    if not identity:
        return ManagedIdentityCredential()
    if "/subscriptions/" in identity.lower():
        return ManagedIdentityCredential(identity_config={"resource_id": identity})
    return ManagedIdentityCredential(client_id=identity)


def _secret(config: CloudConfig, cloud: Sovereign) -> TokenCredential:
    from azure.identity import ClientSecretCredential  # noqa: PLC0415 - as above

    return ClientSecretCredential(
        _tenant(config), config.client_id, config.client_secret, **_tenants(config), **cloud.options
    )


def _certificate(config: CloudConfig, cloud: Sovereign) -> TokenCredential:
    from azure.identity import CertificateCredential  # noqa: PLC0415 - as above

    return CertificateCredential(
        _tenant(config),
        config.client_id,
        config.certificate_path,
        password=config.certificate_password or None,
        send_certificate_chain=True,
        **_tenants(config),
        **cloud.options,
    )


def _data_plane(config: CloudConfig, cloud: Sovereign) -> TokenCredential:
    """The identity that a platform hands out as a file: a certificate and whose it is."""
    from azure.identity import CertificateCredential  # noqa: PLC0415 - as above

    try:
        found = json.loads(Path(config.msi_data_plane_path).read_text(encoding="utf-8"))
        return CertificateCredential(
            found["tenant_id"],
            found["client_id"],
            certificate_data=base64.b64decode(found["client_secret"]),
            send_certificate_chain=True,
            **{**cloud.options, "authority": found.get("authentication_endpoint") or cloud.authority},
        )
    except (OSError, ValueError, KeyError) as error:
        text = f"aadMSIDataPlaneIdentityPath {config.msi_data_plane_path} cannot be used: {error}"
        raise InvalidSettings(text, hint="it holds client_id, tenant_id and client_secret") from None


def _tenant(config: CloudConfig) -> str:
    return "adfs" if config.identity_system.lower() == "adfs" else config.tenant_id


def _tenants(config: CloudConfig) -> dict[str, list[str]]:
    """The tenants besides its own that a credential may get tokens of."""
    return {"additionally_allowed_tenants": [config.network_tenant_id]} if config.has_two_tenants else {}


WAYS = (
    (lambda config: config.workload_identity, _workload),
    (lambda config: config.managed_identity, _managed),
    (lambda config: bool(config.client_secret), _secret),
    (lambda config: bool(config.certificate_path), _certificate),
    (lambda config: bool(config.msi_data_plane_path), _data_plane),
)
