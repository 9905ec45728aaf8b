"""Fixtures of the endpoint's own tests: a clock moved by hand, a running endpoint, a world in it, and SDK clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.clouds.azure.client import compute_client, network_client
from tests.clouds.azure.limits import UNLIMITED
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


class HandClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """The seconds of now."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.seconds += seconds


@pytest.fixture
def clock() -> HandClock:
    """A clock that stands still until it is moved."""
    return HandClock()


@pytest.fixture
def arm(clock: HandClock) -> Iterator[ArmServer]:
    """A running endpoint without limits on its rate."""
    with ArmServer(now=clock, limits=UNLIMITED) as server:
        yield server


@pytest.fixture
def world(arm: ArmServer) -> World:
    """An empty cluster in the endpoint."""
    return World(arm.cloud)


@pytest.fixture
def network(arm: ArmServer) -> Iterator[Any]:
    """The SDK's client of Microsoft.Network."""
    with network_client(arm.url) as client:
        yield client


@pytest.fixture
def compute(arm: ArmServer) -> Iterator[Any]:
    """The SDK's client of Microsoft.Compute."""
    with compute_client(arm.url) as client:
        yield client
