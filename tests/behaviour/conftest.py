"""The memory cloud and one lbctl on it."""

from __future__ import annotations

import pytest

from tests.clouds.memory import MemoryCloud, info
from tests.world import World


@pytest.fixture
def cloud():
    """An empty cloud."""
    return MemoryCloud()


@pytest.fixture
def world(cloud):
    """A started lbctl with two nodes; no test may leave a bug behind."""
    world = World(info(cloud))
    world.settle()
    yield world
    assert not world.bugs
