"""A Compute server and an lbctl on it; no look-up of a name leaves this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbctl.clock import ManualClock
from tests.clouds.gce.server import ComputeServer
from tests.clouds.gce.world import Google

Build = Callable[..., Google]


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A look-up of any other host than the server's is refused, and fails the test whichever thread asked."""
    resolve, asked, before = socket.getaddrinfo, [], set(threading.enumerate())

    def guarded(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("127.0.0.1", "localhost"):
            return resolve(host, *args, **options)
        asked.append(host)
        raise AssertionError(f"the name {host} was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert not asked


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Makes worlds, each with a cloud of its own; all are looked over in the end."""
    made: list[tuple[ComputeServer, Google]] = []

    def make(**options: Any) -> Google:
        server = ComputeServer(ManualClock().monotonic)
        server.__enter__()
        made.append((server, Google(server, tmp_path, **options)))
        made[-1][1].settle()
        return made[-1][1]

    yield make
    for server, world in made:
        world.driver.close()
        server.__exit__()
    for _, world in made:
        world.all_done()


@pytest.fixture
def world(build: Build) -> Google:
    """Two nodes in one zone, new Services get a backend service."""
    return build()
