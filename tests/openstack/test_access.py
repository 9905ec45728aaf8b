"""Logging in to a real Keystone in every way that cloud.conf knows, and what the doctor finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbctl.driver import Cluster, Level, Setup
from lbctl_openstack import DRIVER
from lbctl_openstack.settings import OpenStackSettings
from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import CloudTime, Scene, cloud_conf, password_conf
from tests.world import service


def findings(cloud: Cloud, folder: Path, text: str, **options: str) -> list:
    """What the doctor finds with this cloud.conf."""
    path = folder / "cloud.conf"
    path.write_text(text)
    settings = OpenStackSettings(cloud_config=str(path), **options)
    driver = DRIVER.connect(Setup(Cluster("doctor", "doctor"), CloudTime(cloud), settings, "lbctl/test", lambda: 0.5))
    try:
        return list(driver.check())
    finally:
        driver.close()


def subjects(found: list) -> dict[str, Level]:
    """The worst level of each subject."""
    return {finding.subject: finding.level for finding in found}


HEALTHY = {"cloud.conf": Level.OK, "octavia": Level.OK, "neutron": Level.OK, "names": Level.OK}


@pytest.mark.spec("OS-090")
def test_password_application_credential_and_token_log_in(cloud: Cloud, tmp_path):
    """A password, an application credential and a token of a real Keystone all reach Octavia and Neutron."""
    assert subjects(findings(cloud, tmp_path, password_conf(cloud))) == HEALTHY
    user = cloud.connect()
    identity = f"users/{user.current_user_id}/application_credentials"
    body = {"application_credential": {"name": tmp_path.name, "unrestricted": False}}
    made = user.identity.post(f"/{identity}", json=body).json()["application_credential"]
    access = f"auth-url = {cloud.credentials['auth_url']}\nregion = RegionOne\n"
    by_credential = f"application-credential-id = {made['id']}\napplication-credential-secret = {made['secret']}\n"
    assert subjects(findings(cloud, tmp_path, f"[Global]\n{access}{by_credential}")) == HEALTHY
    by_token = f"token = {user.auth_token}\ntenant-name = demo\ntenant-domain-name = Default\n"
    assert subjects(findings(cloud, tmp_path, f"[Global]\n{access}{by_token}")) == HEALTHY


@pytest.mark.spec("OS-090")
def test_the_file_wins_over_clouds_yaml(cloud: Cloud, tmp_path):
    """clouds.yaml logs in, and a password of [Global] is taken instead of its wrong one."""
    clouds = tmp_path / "clouds.yaml"
    auth = {**cloud.credentials, "password": "wrong"}
    lines = "".join(f"      {key}: {value}\n" for key, value in auth.items())
    clouds.write_text(f"clouds:\n  dev:\n    region_name: RegionOne\n    auth:\n{lines}")
    text = f"[Global]\nuse-clouds = true\nclouds-file = {clouds}\ncloud = dev\n"
    assert subjects(findings(cloud, tmp_path, text))["octavia"] is Level.FAILED
    assert subjects(findings(cloud, tmp_path, f"{text}password = demo\n")) == HEALTHY


def test_what_is_wrong_is_found(cloud: Cloud, tmp_path):
    """A wrong password fails each look with its reason; an unknown key fails with the nearest known one."""
    wrong = password_conf(cloud).replace('password = "demo"', "password = nonsense")
    found = findings(cloud, tmp_path, wrong)
    assert subjects(found)["octavia"] is Level.FAILED
    assert not any("nonsense" in finding.message + finding.hint for finding in found)
    typed = findings(cloud, tmp_path, cloud_conf(cloud, "floating-netwrk-id = x"))
    assert any("did you mean floating-network-id?" in finding.message for finding in typed)


def test_a_region_that_is_not_there_is_a_finding(cloud: Cloud, tmp_path):
    """Another region of the same Keystone has no Octavia, and that is said, not raised."""
    found = findings(cloud, tmp_path, cloud_conf(cloud), region="Elsewhere")
    assert subjects(found)["octavia"] is Level.FAILED


@pytest.mark.spec("OS-089")
def test_a_revoked_token_is_renewed_once(scene: Scene, cloud: Cloud):
    """When Keystone has forgotten the token, the next call logs in again and goes through."""
    scene.settle()
    token = scene.driver._client._connection.auth_token
    admin = cloud.connect("admin")
    admin.identity.delete("/auth/tokens", headers={"X-Subject-Token": token})
    scene.apply(service())
    assert len(scene.balancers()) == 1
