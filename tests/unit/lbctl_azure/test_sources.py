"""azure.json from a file, from a Secret, or from both, in upstream's order."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lbctl.errors import InvalidSettings, KubeDenied
from lbctl_azure.settings import Settings
from lbctl_azure.sources import Source, load, warn_of_unknown
from tests.cli.console import lbctl

NEEDED = {"tenantId": "t", "subscriptionId": "s", "resourceGroup": "rg"}
SECRET = "secrets/kube-system/azure-cloud-provider"


def loaded(tmp_path: Path, file: Mapping[str, Any] | None, secret: Mapping[str, Any] | None = None) -> Source:
    """What is read where the file and the Secret hold these keys; None where there is none."""
    path = tmp_path / "azure.json"
    if file is not None:
        path.write_text(json.dumps(file))
    secrets = {} if secret is None else {SECRET: {"cloud-config": json.dumps(secret)}}
    return load(Settings(str(path)), cluster="kubernetes", read=secrets.get, environment={})


@pytest.mark.spec("AZ-089")
def test_the_secret_alone_is_enough(tmp_path: Path) -> None:
    """Where there is no file, everything comes from the Secret, and its name is told."""
    source = loaded(tmp_path, None, {**NEEDED, "location": "north"})
    assert (source.config.resource_group, source.config.location) == ("rg", "north")
    assert source.origin == "the Secret kube-system/azure-cloud-provider"


def test_keys_of_the_secret_win_over_those_of_the_file(tmp_path: Path) -> None:
    """Merging is the default: what the Secret names counts, in whichever case, and the file has the rest."""
    file = {**NEEDED, "vnetName": "v", "aadClientSecret": "old"}
    source = loaded(tmp_path, file, {"AADClientSecret": "new", "ResourceGroup": "rg2"})
    config = source.config
    assert (config.client_secret, config.resource_group, config.vnet_name) == ("new", "rg2", "v")


@pytest.mark.parametrize(("kind", "group"), [("file", "rg"), ("secret", "rg2")])
def test_the_file_says_which_of_the_two_holds_alone(tmp_path: Path, kind: str, group: str) -> None:
    """`cloudConfigType` file leaves the Secret out, secret leaves the file out."""
    file = {**NEEDED, "vnetName": "v", "cloudConfigType": kind}
    config = loaded(tmp_path, file, {**NEEDED, "resourceGroup": "rg2"}).config
    assert config.resource_group == group
    assert config.vnet_name == ("v" if kind == "file" else "")


def test_a_file_that_holds_alone_makes_no_call(tmp_path: Path) -> None:
    """With `cloudConfigType` file the API server is not asked."""
    path = tmp_path / "azure.json"
    path.write_text(json.dumps({**NEEDED, "cloudConfigType": "file"}))

    def read(_key: str) -> Mapping[str, str]:
        raise AssertionError

    assert load(Settings(str(path)), cluster="kubernetes", read=read, environment={}).config.location == ""


def test_a_secret_that_may_not_be_read_stops_nothing_where_the_file_has_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the right to read the Secret the file counts alone, with a warning; needed, its absence is the error."""
    path = tmp_path / "azure.json"
    path.write_text(json.dumps(NEEDED))

    def denied(key: str) -> Mapping[str, str]:
        raise KubeDenied(f"{key} may not be read")

    source = load(Settings(str(path)), cluster="kubernetes", read=denied, environment={})
    assert source.config.resource_group == "rg"
    assert SECRET in caplog.text
    path.unlink()
    with pytest.raises(KubeDenied):
        load(Settings(str(path)), cluster="kubernetes", read=denied, environment={})


def test_neither_is_an_error_that_names_both(tmp_path: Path) -> None:
    """The operator learns where was looked, and what a Secret without the right key lacks."""
    with pytest.raises(InvalidSettings, match=r"azure\.json and no Secret kube-system/azure-cloud-provider"):
        loaded(tmp_path, None)
    read = {SECRET: {"other": ""}}.get
    with pytest.raises(InvalidSettings, match="cloud-config"):
        load(Settings(str(tmp_path / "none")), cluster="kubernetes", read=read, environment={})
    with pytest.raises(InvalidSettings, match="cloudConfigType 'files'"):
        loaded(tmp_path, {**NEEDED, "cloudConfigType": "files"})


@pytest.mark.spec("AZ-090")
def test_the_environment_supplies_what_the_file_lacks(tmp_path: Path) -> None:
    """A tenant that only the environment names is not missing."""
    path = tmp_path / "azure.json"
    path.write_text(json.dumps({"subscriptionId": "s", "resourceGroup": "rg"}))
    given = {"AZURE_TENANT_ID": "t9"}
    source = load(Settings(str(path)), cluster="kubernetes", read=lambda _key: None, environment=given)
    assert source.config.tenant_id == "t9"
    with pytest.raises(InvalidSettings, match=r"azure\.json\[tenantId\]: is required and missing"):
        load(Settings(str(path)), cluster="kubernetes", read=lambda _key: None, environment={})


@pytest.mark.spec("AZ-089")
def test_an_unknown_key_warns_a_controller_and_fails_config_show(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`run` goes on with a warning that suggests the key; `config show` ends with exit code 4 and the same sentence."""
    source = loaded(tmp_path, {**NEEDED, "secrityGroupName": "g"})
    with caplog.at_level(logging.WARNING):
        warn_of_unknown(source)
    assert "did you mean securityGroupName?" in caplog.text
    path = tmp_path / "azure.json"
    said = lbctl("config", "show", "--provider", "azure", "--set", f"accounts.azure.settings.cloud_config={path}")
    assert said.code == 4
    assert "did you mean securityGroupName?" in said.err
    assert "accounts.azure.settings.cloud_config" in said.out
    path.write_text(json.dumps(NEEDED))
    said = lbctl("config", "show", "--provider", "azure", "--set", f"accounts.azure.settings.cloud_config={path}")
    assert (said.code, said.err) == (0, "")
