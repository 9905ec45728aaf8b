"""Every way to sign in that azure.json offers, with the SDK's own credentials against endpoints that check them."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate

from lbctl.driver import Finding
from lbctl_azure import DRIVER
from lbctl_azure.settings import Settings
from tests.azure.cluster import AZURE_JSON, Time
from tests.clouds.azure.access import Principal
from tests.clouds.azure.cloud import SUBSCRIPTION
from tests.clouds.azure.directory import TENANT, Application
from tests.clouds.azure.limits import UNLIMITED
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.tls import loopback_tls, signing_certificate
from tests.clouds.azure.vaults import Vault
from tests.clouds.azure.world import World as Azure
from tests.world import World, node, service

APP = "app-of-lbctl"
ABROAD = "99999999-3333-4444-5555-666666666666"
MACHINES = "77777777-2222-3333-4444-555555555555"
RESOURCE_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/lb"


@dataclass
class Place:
    """A folder for files, an endpoint over TLS that the whole process trusts, and what stands in its cloud."""

    folder: Path
    server: ArmServer
    azure: Azure
    time: Time

    @contextmanager
    def signed_in(self, **config: Any) -> Iterator[World]:
        """A cluster whose driver was connected as in production, by this azure.json."""
        path = self.folder / "azure.json"
        own = {"cloud": self.server.arm.directory.cloud, "resourceManagerEndpoint": self.server.url}
        path.write_text(json.dumps({**AZURE_JSON, **own, **config}))
        world = World(DRIVER, settings=Settings(str(path), ""), nodes=())
        self.time.read = world.clock.monotonic
        world.settle()
        yield world
        world.driver.close()
        assert not world.bugs

    def write(self, name: str, content: bytes) -> str:
        """The path of a new file."""
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes]:
    """One for all tests: its key takes a while to find."""
    return signing_certificate()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An endpoint whose authority the SDK trusts by the environment, as it trusts a company's own."""
    tls, time = loopback_tls(tmp_path), Time()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls.trusted)
    with ArmServer(now=time, limits=UNLIMITED, tls=tls.context) as server:
        server.access.principals.clear()
        yield Place(tmp_path, server, Azure(server.cloud, machines_subscription=MACHINES), time)


def serves(world: World) -> bool:
    """Whether a Service gets its address, and doctor is content with the identity."""
    world.apply(service())
    assert identity_of(world).level.value == "ok", identity_of(world)
    return bool(world.addresses())


def test_a_service_principal_signs_in_by_its_secret(place: Place) -> None:
    """`aadClientId` and `aadClientSecret` are enough; doctor names who it is and how long the token lasts."""
    place.server.arm.directory.add(Application(APP, secret="s"))
    with place.signed_in(aadClientId=APP, aadClientSecret="s") as world:
        assert serves(world)
        identity = identity_of(world)
        assert f"{APP} of tenant {TENANT}" in identity.message
        assert "minutes more" in identity.message


def test_a_service_principal_signs_in_by_its_certificate(place: Place, certificate: tuple[bytes, bytes]) -> None:
    """`aadClientCertPath` names certificate and key; the authority verifies the signature."""
    public, both = certificate
    place.server.arm.directory.add(Application(APP, certificate=public))
    with place.signed_in(aadClientId=APP, aadClientCertPath=place.write("app.pem", both)) as world:
        assert serves(world)


def test_the_identity_that_a_platform_hands_out_as_a_file_signs_in(
    place: Place, certificate: tuple[bytes, bytes]
) -> None:
    """`aadMSIDataPlaneIdentityPath` names a file with the certificate of an identity."""
    public, both = certificate
    place.server.arm.directory.add(Application(APP, certificate=public))
    key = serialization.load_pem_private_key(both, None)
    whole = pkcs12.serialize_key_and_certificates(
        None, key, load_pem_x509_certificate(public), None, serialization.NoEncryption()
    )
    document = {"client_id": APP, "tenant_id": TENANT, "client_secret": base64.b64encode(whole).decode()}
    path = place.write("identity.json", json.dumps(document).encode())
    with place.signed_in(aadMSIDataPlaneIdentityPath=path) as world:
        assert serves(world)


def test_a_pod_signs_in_by_its_workload_identity(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the webhook puts into the environment wins over everything that the file offers."""
    place.server.arm.directory.add(Application(APP, federated_token="projected"))
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", APP)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", place.write("token", b"projected"))
    with place.signed_in(aadClientSecret="wrong", useManagedIdentityExtension=True) as world:
        assert serves(world)


@pytest.mark.parametrize("identity", ["", "client-of-the-identity", RESOURCE_ID])
def test_a_machine_signs_in_by_its_identity(place: Place, monkeypatch: pytest.MonkeyPatch, identity: str) -> None:
    """The machine's own identity, or one that was assigned to it, by client id or by resource id."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", place.server.url)
    place.server.arm.directory.machine_identities = {identity: "identity-of-the-machine"}
    with place.signed_in(useManagedIdentityExtension=True, userAssignedIdentityID=identity) as world:
        assert serves(world)


def test_a_cloud_of_ones_own_tells_who_its_authority_is(place: Place) -> None:
    """Another resource manager is asked for its authority and audience, as Azure Stack and sovereign clouds have."""
    directory = place.server.arm.directory
    directory.audience = "https://management.stack.example/one"
    directory.add(Application(APP, secret="s"))
    with place.signed_in(aadClientId=APP, aadClientSecret="s") as world:
        assert serves(world)


def test_a_wrong_secret_is_told_as_it_is(place: Place) -> None:
    """The Service waits with the authority's reason, nothing is written, and doctor stops at the identity."""
    place.server.arm.directory.add(Application(APP, secret="s"))
    with place.signed_in(aadClientId=APP, aadClientSecret="wrong") as world:
        world.apply(service())
        assert world.addresses() == []
        (identity,) = world.driver.check()
        assert (identity.level.value, "AADSTS7000215" in identity.message) == ("failed", True)
        assert "azure.json" in identity.hint
    assert not [call for call in place.server.journal.calls if call.method == "PUT"]


def test_a_token_of_another_tenant_than_azure_json_names_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine's identity is of its own tenant, whatever azure.json says; doctor names both."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", place.server.url)
    with place.signed_in(useManagedIdentityExtension=True, tenantId=ABROAD) as world:
        (identity,) = world.driver.check()
        assert identity.level.value == "failed"
        assert TENANT in identity.message
        assert ABROAD in identity.message


def test_a_network_of_another_tenant_is_served_with_tokens_of_both(place: Place) -> None:
    """Balancers are written with the network's token, machines with the cluster's and the network's beside it."""
    place.server.arm.directory.add(Application(APP, secret="s", tenants=frozenset({TENANT, ABROAD})))
    place.server.cloud.tenants |= {MACHINES: TENANT, SUBSCRIPTION: ABROAD}
    machines = place.azure.uniform_set(count=1)
    with place.signed_in(
        aadClientId=APP,
        aadClientSecret="s",
        subscriptionId=MACHINES,
        networkResourceTenantID=ABROAD,
        networkResourceSubscriptionID=SUBSCRIPTION,
        loadBalancerBackendPoolConfigurationType="nodeIPConfiguration",
    ) as world:
        for machine in machines:
            world.see_node(node(machine.name, provider_id=machine.provider_id))
        world.settle()
        world.apply(service())
        world.settle(60)
        assert world.addresses()
        (pool,) = place.azure.state()[place.azure.id("loadBalancers", "kubernetes")]["properties"][
            "backendAddressPools"
        ]
        assert len(pool["properties"]["backendIPConfigurations"]) == 1
        assert world.plans() == []
        world.delete("web")
        world.settle(300)
        assert not world.exists()
    assert [call for call in place.server.journal.calls if call.status in (401, 403)] == []


HOME = {"subscriptionID": MACHINES, "resourceGroup": "cluster-rg", "vaultName": "shared", "secretName": "token"}
TWO_TENANTS = {
    "useManagedIdentityExtension": True,
    "subscriptionId": MACHINES,
    "networkResourceTenantID": ABROAD,
    "networkResourceSubscriptionID": SUBSCRIPTION,
    "loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration",
}


@dataclass
class Keeper:
    """Somebody who keeps a token of the network's tenant in a key vault, on the time of the endpoint."""

    place: Place
    made: int = 0

    def keep(self, *, ends: dt.datetime) -> str:
        """Put a new token there that is good until then."""
        self.made += 1
        token = f"token-from-abroad-{self.made}"
        audience = self.place.server.url
        self.place.server.access.principals[token] = Principal("network", tenant=ABROAD, audience=audience)
        secret = json.dumps({"access_token": token, "expires_on": ends.isoformat().replace("+00:00", "Z")})
        vault = Vault({"token": secret}, {"the-machine"})
        self.place.server.arm.vaults.vaults["shared"] = vault
        return token


@pytest.fixture
def abroad(place: Place, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    """A machine of one tenant whose network is in another, and a key vault that both can reach."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", place.server.url)
    place.server.cloud.tenants |= {MACHINES: TENANT, SUBSCRIPTION: ABROAD}
    place.server.cloud.add_group("cluster-rg", subscription=MACHINES)
    return Keeper(place)


def test_a_machine_serves_a_network_of_another_tenant_by_a_token_from_a_key_vault(abroad: Keeper) -> None:
    """Balancers are written with the vault's token, machines with their own and the vault's beside it."""
    machines = abroad.place.azure.uniform_set(count=1)
    place = abroad.place
    with place.signed_in(auxiliaryTokenProvider=HOME, **TWO_TENANTS) as world:
        abroad.keep(ends=world.clock.now() + dt.timedelta(hours=1))
        for machine in machines:
            world.see_node(node(machine.name, provider_id=machine.provider_id))
        world.settle(60)
        world.apply(service())
        world.settle(60)
        assert world.addresses(), world.kube.events
        balancer = place.azure.state()[place.azure.id("loadBalancers", "kubernetes")]
        (pool,) = balancer["properties"]["backendAddressPools"]
        assert len(pool["properties"]["backendIPConfigurations"]) == 1
        assert place.server.arm.vaults.read == 1
        assert world.plans() == []


def test_a_token_of_a_key_vault_is_read_again_before_it_ends(abroad: Keeper) -> None:
    """Five minutes before its end the newest token is read; one that nobody renewed is told as ended."""
    with abroad.place.signed_in(auxiliaryTokenProvider=HOME, **TWO_TENANTS) as world:
        start = world.clock.now()
        old = abroad.keep(ends=start + dt.timedelta(hours=1))
        world.settle(60)
        world.apply(service())
        world.settle(60)
        world.settle((start + dt.timedelta(minutes=54) - world.clock.now()).total_seconds())
        del abroad.place.server.access.principals[old]
        abroad.keep(ends=start + dt.timedelta(hours=2))
        world.settle(120)
        world.apply(service("second", ports=(81,)))
        world.settle(60)
        assert world.addresses("second"), world.kube.events
        world.settle(3 * 3600)
        world.apply(service("third", ports=(82,)))
        world.settle(120)
        assert world.addresses("third") == []
        assert "has ended, and nobody has renewed it" in world.condition("third").message


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("vault", "key vault shared cannot be read: ResourceNotFound"),
        ("right", "secret token of key vault shared cannot be read: Forbidden"),
        ("secret", "secret token of key vault shared cannot be read: SecretNotFound"),
        ("form", 'holds no {"access_token"'),
    ],
)
def test_what_is_missing_of_a_key_vault_is_told(abroad: Keeper, fault: str, words: str) -> None:
    """Nothing is written, doctor tells the vault's reason, and never what the secret holds."""
    with abroad.place.signed_in(auxiliaryTokenProvider=HOME, **TWO_TENANTS) as world:
        abroad.keep(ends=world.clock.now() + dt.timedelta(hours=1))
        vaults = abroad.place.server.arm.vaults.vaults
        if fault == "vault":
            vaults.clear()
        elif fault == "right":
            vaults["shared"].readers.clear()
        elif fault == "secret":
            vaults["shared"].secrets.clear()
        else:
            vaults["shared"].secrets["token"] = "very-secret"
        world.settle(60)
        world.apply(service())
        world.settle(60)
        findings = " ".join(finding.message for finding in world.driver.check())
        assert words in findings
        assert "very-secret" not in findings
    writes = [call for call in abroad.place.server.journal.calls if call.method == "PUT"]
    assert writes == []


def test_a_rotated_secret_is_used_without_a_restart(place: Place) -> None:
    """azure.json is read again with every snapshot: a new secret works, a broken file changes nothing."""
    place.server.arm.directory.add(Application(APP, secret="old"))
    with place.signed_in(aadClientId=APP, aadClientSecret="old") as world:
        world.apply(service())
        path = place.folder / "azure.json"
        text = path.read_text()
        path.write_text(text.replace(SUBSCRIPTION, ""))
        world.settle(700)
        assert (identity_of(world).level.value, world.plans()) == ("ok", [])
        place.server.arm.directory.add(Application(APP, secret="new"))
        place.server.access.principals.clear()
        path.write_text(text.replace('"old"', '"new"'))
        world.settle(700)
        assert identity_of(world).level.value == "ok"
        world.apply(service("second", ports=(81,)))
        world.settle(60)
        assert world.addresses("second")


def identity_of(world: World) -> Finding:
    """What doctor says of the identity."""
    return next(finding for finding in world.driver.check() if finding.subject == "identity")
