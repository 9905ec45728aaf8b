"""Fixtures: a fresh Envoy a test, gone after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.local.gateway import Gateway

Build = Callable[..., Gateway]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Makes gateways on one state directory; their Envoy is stopped after the test."""
    made: list[Gateway] = []

    def make(**options: object) -> Gateway:
        made.append(Gateway(tmp_path / "s", **options))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture
def gateway(build: Build) -> Gateway:
    """A gateway with the nodes n1 and n2 and nothing else."""
    return build()
