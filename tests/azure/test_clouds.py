"""Microsoft's clouds and one's own: which hosts are spoken to, where tokens are got, and for whom they are made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.core import AzureClouds
from azure.mgmt.core.tools import get_arm_endpoints

from lbctl_azure import DRIVER
from lbctl_azure.connect import find_cloud
from lbctl_azure.settings import CloudConfig, Settings
from tests.azure.cluster import AZURE_JSON, Time
from tests.clouds.azure.directory import TENANT, Application
from tests.clouds.azure.limits import UNLIMITED
from tests.clouds.azure.proxy import Proxy
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.tls import loopback_tls
from tests.clouds.azure.world import World as Azure
from tests.world import World, service

APP = "app-of-lbctl"
STACK = "https://management.local.azurestack.external"
REGION = "https://westeurope.management.azure.com"


@dataclass(frozen=True)
class Case:
    """A configuration, and what it must lead to; `calls_itself` is the cloud's name in its own description."""

    name: str
    config: dict[str, str]
    manager: str
    authority: str
    audience: str
    calls_itself: str = ""


CASES = [
    Case("public", {}, "management.azure.com", "login.microsoftonline.com", "https://management.azure.com"),
    Case(
        "china",
        {"cloud": "AzureChinaCloud"},
        "management.chinacloudapi.cn",
        "login.chinacloudapi.cn",
        "https://management.chinacloudapi.cn",
    ),
    *(
        Case(
            name,
            {"cloud": name},
            "management.usgovcloudapi.net",
            "login.microsoftonline.us",
            "https://management.core.usgovcloudapi.net",
        )
        for name in ("AzureUSGovernmentCloud", "AzureUSGovernment")
    ),
    Case(
        "stack",
        {"cloud": "AZURESTACKCLOUD", "resourceManagerEndpoint": f"{STACK}/"},
        "management.local.azurestack.external",
        "login.local.azurestack.external",
        "https://management.local.onmicrosoft.com/0123",
        "AzureStackCloud",
    ),
    Case(
        "a-door-of-ones-own-that-is-described",
        {"resourceManagerEndpoint": REGION},
        "westeurope.management.azure.com",
        "login.microsoftonline.com",
        "https://management.core.windows.net",
        "AzureCloud",
    ),
    Case(
        "a-door-of-ones-own-that-is-not",
        {"resourceManagerEndpoint": REGION},
        "westeurope.management.azure.com",
        "login.microsoftonline.com",
        "https://management.azure.com",
        "somewhere else",
    ),
]
HOSTS = sorted({host for case in CASES for host in (case.manager, case.authority)} | {"login.microsoftonline.com"})


@pytest.fixture
def reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ArmServer, Proxy, Time]]:
    """The endpoint under the names of the real hosts, by a proxy and a certificate that the environment names."""
    tls, time = loopback_tls(tmp_path, *HOSTS), Time()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls.trusted)
    with ArmServer(now=time, limits=UNLIMITED, tls=tls.context) as server, Proxy(server.url) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        server.access.principals.clear()
        yield server, proxy, time


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_service_is_served_in_each_cloud_by_its_own_hosts(
    reached: tuple[ArmServer, Proxy, Time], tmp_path: Path, case: Case
) -> None:
    """No other host is spoken to; the authority and the manager both refuse tokens of another audience."""
    server, proxy, time = reached
    directory = server.arm.directory
    directory.add(Application(APP, secret="s"))
    directory.audience, directory.authority = case.audience, f"https://{case.authority}"
    directory.cloud = case.calls_itself
    Azure(server.cloud)
    path = tmp_path / "azure.json"
    config: dict[str, Any] = {**AZURE_JSON, "aadClientId": APP, "aadClientSecret": "s", **case.config}
    path.write_text(json.dumps(config))
    world = World(DRIVER, settings=Settings(str(path), ""), nodes=())
    time.read = world.clock.monotonic
    world.settle()
    world.apply(service())
    assert world.addresses(), world.kube.events
    identity = next(finding for finding in world.driver.check() if finding.subject == "identity")
    assert TENANT in identity.message
    world.delete("web")
    world.settle(60)
    assert not world.exists()
    world.driver.close()
    assert not world.bugs
    assert proxy.hosts == {case.manager, case.authority}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("AzurePublicCloud", AzureClouds.AZURE_PUBLIC_CLOUD),
        ("AzureChinaCloud", AzureClouds.AZURE_CHINA_CLOUD),
        ("AzureUSGovernmentCloud", AzureClouds.AZURE_US_GOVERNMENT),
    ],
)
def test_managers_and_scopes_are_those_that_the_sdk_knows(ours: str, theirs: AzureClouds) -> None:
    """What is written down here for Microsoft's clouds is what their SDK has for them."""
    found, known = find_cloud(CloudConfig(cloud=ours)), get_arm_endpoints(theirs)
    assert found.manager == known["resource_manager"].rstrip("/")
    assert [found.scope] == known["credential_scopes"]
