"""pytest fixtures: `aws`, the cloud of one test. Registered by `tests/aws/conftest.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from moto_fixtures.server import CREDENTIALS, REGION, AwsServer
from moto_fixtures.world import AwsWorld


@pytest.fixture(scope="session")
def aws_server() -> Iterator[AwsServer]:
    """One server a session; tests want `aws`."""
    server = AwsServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def aws(aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsWorld]:
    """An empty account, and credentials in the environment as a driver expects them.

    Fails the test at its end when the counterpart itself broke.
    """
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    aws_server.reset()
    world = AwsWorld(aws_server)
    yield world
    assert world.breakdowns == []
