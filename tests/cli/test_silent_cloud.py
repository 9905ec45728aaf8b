"""A cloud that gives no answer: who was asked, why there is none and what to check, once, and no secret."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.office import Office

SECRET = "not-a-secret-anybody-should-read"
AWS_KEYS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
AWS_SERVICES = ("ec2", "elb", "elbv2", "sts", "iam", "servicequotas", "service-quotas", "cloudwatch")


def settings_of(provider: str, url: str, folder: Path) -> dict[str, Any]:
    """The settings of an account whose cloud is at this address."""
    auth = {"auth_url": f"{url}/v3", "username": "me", "password": SECRET, "project_name": "shop"}
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    (folder / "clouds.yaml").write_text(json.dumps({"clouds": {"mine": {"auth": auth | domains}}}))
    return {
        "aws": {"region": "eu-central-1", "vpc_id": "vpc-1", "endpoints": dict.fromkeys(AWS_SERVICES, url)},
        "cloudstack": {"api_url": f"{url}/client/api", "api_key": "me", "secret_key": SECRET},
        "openstack": {"cloud": "mine", "clouds_file": str(folder / "clouds.yaml"), "region": "RegionOne"},
    }[provider]


@pytest.fixture
def closed() -> Iterator[str]:
    """An address at which nobody listens, and nobody can meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture(params=["aws", "cloudstack", "openstack"])
def silent(request, office: Office, closed: str, monkeypatch, tmp_path) -> Office:
    """An office whose account leads to that address."""
    for name, value in AWS_KEYS.items():
        monkeypatch.setenv(name, value)
    account = {"provider": request.param, "settings": settings_of(request.param, closed, tmp_path)}
    office.config.write_text(json.dumps({"accounts": {"mine": account}}))
    return office


def test_a_plan_says_once_who_did_not_answer(silent: Office, closed: str):
    """`plan` ends with exit code 1 and one line: call, address, cause and what to check."""
    said = silent.run("plan", "--config", str(silent.config))
    lines = [line for line in said.err.splitlines() if "no answer" in line]
    assert said.code == 1
    assert len(lines) == 1
    assert lines[0].startswith("lbctl: ")
    assert f"no answer from {closed}: Connection refused. check " in lines[0]
    assert SECRET not in said.out + said.err


def test_doctor_tells_a_silent_cloud_once(silent: Office, closed: str):
    """One failed finding with address, cause and remedy; what could not be looked at is named in another."""
    said = silent.run("doctor", "--config", str(silent.config), "-o", "json")
    told = [one for one in said.document["findings"] if closed in one["message"]]
    failed = [one for one in told if one["level"] == "failed"]
    assert said.code == 2
    assert len(failed) == 1
    assert f"no answer from {closed}: Connection refused" in failed[0]["message"]
    assert failed[0]["hint"]
    assert [one["message"].partition(":")[0] for one in told if one not in failed] == ["not looked at while http"]
    assert SECRET not in said.out + said.err
