"""Fixtures: a running server, and one lbctl on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.server import CloudStackServer
from tests.cloudstack.stage import Stage

Serve = Callable[..., CloudStackServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers, each for a cloud; they end with the test."""
    with ExitStack() as stack:
        yield lambda cloud=None: stack.enter_context(CloudStackServer(cloud or Cloud()))


@pytest.fixture
def server(serve: Serve) -> CloudStackServer:
    """A server with an empty cloud of the newest release."""
    return serve()


@pytest.fixture
def stage(server: CloudStackServer) -> Iterator[Stage]:
    """An isolated network with two nodes; no test may leave a bug behind."""
    stage = Stage(server)
    yield stage
    assert not stage.bugs
    stage.driver.close()
