"""The SDK's own credentials and token policy work against the endpoint, over TLS and as a machine's identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from azure.mgmt.network import NetworkManagementClient

from tests.azure.asking import code_of, get
from tests.azure.bodies import PUBLIC_IP
from tests.clouds.azure.access import Principal
from tests.clouds.azure.client import NETWORK_VERSION, PinApiVersion
from tests.clouds.azure.cloud import SUBSCRIPTION
from tests.clouds.azure.directory import TENANT, Application
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.tls import loopback_tls
from tests.clouds.azure.world import GROUP, World

if TYPE_CHECKING:
    from pathlib import Path


def make_address(url: str, credential: Any, **options: Any) -> str:
    """The state of an address made with the SDK's default chain of policies."""
    with NetworkManagementClient(
        credential,
        SUBSCRIPTION,
        base_url=url,
        credential_scopes=[f"{url}/.default"],
        custom_hook_policy=PinApiVersion(NETWORK_VERSION),
        polling_interval=0,
        **options,
    ) as client:
        made = client.public_ip_addresses.begin_create_or_update(GROUP, "web", PUBLIC_IP).result()
    state: str = made.provisioning_state
    return state


def test_a_service_principal_reaches_the_endpoint_over_tls(tmp_path: Path) -> None:
    """Token and call go over TLS with nothing of the SDK replaced but the api-version."""
    tls = loopback_tls(tmp_path)
    with ArmServer(tls=tls.context) as arm:
        World(arm.cloud)
        arm.arm.directory.add(Application("client", secret="secret"))
        with ClientSecretCredential(
            TENANT,
            "client",
            "secret",
            authority=arm.url,
            disable_instance_discovery=True,
            connection_verify=tls.trusted,
        ) as credential:
            assert make_address(arm.url, credential, connection_verify=tls.trusted) == "Succeeded"


def test_a_machine_gets_a_token_by_its_identity(arm: ArmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata endpoint gives a token that the endpoint takes, if it was made for it."""
    World(arm.cloud)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", arm.url)
    with ManagedIdentityCredential() as credential:
        tokens = [
            credential.get_token(f"{audience}/.default").token for audience in (arm.url, "https://vault.azure.net")
        ]
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}?api-version=2021-04-01"
    assert get(arm, group, token=tokens[0]).status_code == 200
    assert code_of(get(arm, group, token=tokens[1])) == (401, "InvalidAuthenticationTokenAudience")


def test_a_wrong_secret_gets_no_token(tmp_path: Path) -> None:
    """The authority refuses with its published code, and the SDK says so."""
    tls = loopback_tls(tmp_path)
    with ArmServer(tls=tls.context) as arm:
        arm.arm.directory.add(Application("client", secret="secret"))
        options = {"authority": arm.url, "disable_instance_discovery": True, "connection_verify": tls.trusted}
        for tenant, client, secret, code in (
            (TENANT, "client", "other", "AADSTS7000215"),
            (TENANT, "nobody", "secret", "AADSTS700016"),
            ("nowhere", "client", "secret", "AADSTS90002"),
        ):
            with (
                ClientSecretCredential(tenant, client, secret, **options) as credential,
                pytest.raises(ClientAuthenticationError, match=code),
            ):
                credential.get_token(f"{arm.url}/.default")


def test_a_token_of_another_tenant_opens_nothing(arm: ArmServer) -> None:
    """A subscription takes tokens of its own tenant, and links into another tenant need a token of that one beside."""
    World(arm.cloud)
    arm.cloud.tenants[SUBSCRIPTION] = "home"
    arm.access.principals |= {"a": Principal("a", tenant="home"), "b": Principal("b", tenant="abroad")}
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}?api-version=2021-04-01"
    assert get(arm, group, token="a").status_code == 200
    assert code_of(get(arm, group, token="b")) == (401, "InvalidAuthenticationTokenTenant")
