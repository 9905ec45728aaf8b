"""From settings to a connected driver: which cloud, which credential.

The only place besides `client` that loads the SDK. The order of credentials is upstream's: workload identity, managed
identity, secret, certificate (cloud-provider-azure 7b31c76, azclient: NewAuthProvider).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbctl.driver import DriverInfo, Setup
from lbctl.errors import InvalidSettings
from lbctl_azure.account import Account
from lbctl_azure.azure_json import load_cloud_config
from lbctl_azure.client import Client
from lbctl_azure.driver import AzureDriver
from lbctl_azure.settings import CloudConfig, Settings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


@dataclass(frozen=True, slots=True)
class Sovereign:
    """Endpoints of one of Microsoft's clouds."""

    manager: str
    authority: str


CLOUDS = {
    "azurepubliccloud": Sovereign("https://management.azure.com", "https://login.microsoftonline.com"),
    "azureusgovernmentcloud": Sovereign("https://management.usgovcloudapi.net", "https://login.microsoftonline.us"),
    "azurechinacloud": Sovereign("https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"),
}


def connect(info: DriverInfo, setup: Setup) -> AzureDriver:
    """A driver for what azure.json says; `InvalidSettings` when it cannot be used."""
    settings = setup.settings
    assert isinstance(settings, Settings)
    config = load_cloud_config(settings.cloud_config, cluster=setup.cluster.name)
    return build(info, setup, config, credential_of(config))


def build(
    info: DriverInfo, setup: Setup, config: CloudConfig, credential: TokenCredential, *, verify: str | bool = True
) -> AzureDriver:
    """A driver that uses this credential; `verify` may name a file of certificates to trust."""
    settings = setup.settings if isinstance(setup.settings, Settings) else Settings()
    client = Client(
        credential=credential,
        endpoint=config.resource_manager_endpoint or cloud_of(config).manager,
        subscription=config.group.subscription,
        clock=setup.clock,
        user_agent=setup.user_agent,
        record=setup.record,
        show=setup.show,
        verify=verify,
    )
    return AzureDriver(info, setup, Account(setup.cluster.name, config, settings), client)


def cloud_of(config: CloudConfig) -> Sovereign:
    """The cloud's endpoints; a cloud of one's own names its own."""
    known = CLOUDS.get(config.cloud.lower())
    if known is not None:
        return known
    if not config.resource_manager_endpoint:
        raise InvalidSettings(f"cloud {config.cloud} needs resourceManagerEndpoint in azure.json")
    return Sovereign(config.resource_manager_endpoint, CLOUDS["azurepubliccloud"].authority)


def credential_of(config: CloudConfig) -> TokenCredential:
    """The first way to authenticate that the configuration offers."""
    for applies, make in WAYS:
        if applies(config):
            return make(config)
    raise InvalidSettings(
        "azure.json offers no way to authenticate",
        hint="set aadClientId and aadClientSecret, useManagedIdentityExtension, or workload identity",
    )


def _workload(config: CloudConfig) -> TokenCredential:
    from azure.identity import WorkloadIdentityCredential  # noqa: PLC0415 - only the way in use is loaded

    return WorkloadIdentityCredential(
        tenant_id=_tenant(config),
        client_id=config.client_id,
        token_file_path=config.federated_token_file,
        authority=cloud_of(config).authority,
    )


def _managed(config: CloudConfig) -> TokenCredential:
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415 - as above

    identity = config.user_assigned_identity
    if not identity:
        return ManagedIdentityCredential()
    if "/subscriptions/" in identity.lower():
        return ManagedIdentityCredential(identity_config={"resource_id": identity})
    return ManagedIdentityCredential(client_id=identity)


def _secret(config: CloudConfig) -> TokenCredential:
    from azure.identity import ClientSecretCredential  # noqa: PLC0415 - as above

    return ClientSecretCredential(
        _tenant(config), config.client_id, config.client_secret, authority=cloud_of(config).authority
    )


def _certificate(config: CloudConfig) -> TokenCredential:
    from azure.identity import CertificateCredential  # noqa: PLC0415 - as above

    return CertificateCredential(
        _tenant(config),
        config.client_id,
        config.certificate_path,
        password=config.certificate_password or None,
        authority=cloud_of(config).authority,
    )


def _tenant(config: CloudConfig) -> str:
    return "adfs" if config.identity_system.lower() == "adfs" else config.network_tenant_id or config.tenant_id


WAYS = (
    (lambda config: config.workload_identity, _workload),
    (lambda config: config.managed_identity, _managed),
    (lambda config: bool(config.client_secret), _secret),
    (lambda config: bool(config.certificate_path), _certificate),
)
