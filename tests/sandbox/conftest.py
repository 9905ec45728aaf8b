"""What the tests of the simulated nodes share: addresses of their own, a loop, a traffic client, views as builders."""

from __future__ import annotations

import ipaddress
import os
import random
from typing import TYPE_CHECKING

import pytest

from lbctl.clock import ManualClock
from lbctl.sandbox.nodes.addresses import AddressPool, tcp_socket
from lbctl.sandbox.nodes.loop import LoopThread
from lbctl.sandbox.nodes.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

# Apart from the defaults, so that a sandbox that runs on this machine does not meet its tests.
_BLOCKS = tuple(ipaddress.ip_network("127.192.0.0/10").subnets(new_prefix=21))
_LOCK_PORT = 19999


@pytest.fixture
def block() -> Iterator[ipaddress.IPv4Network]:
    """2,048 loopback addresses that no other test on this machine uses, held by a bound port on the last one."""
    for index in range(len(_BLOCKS)):
        chosen = _BLOCKS[(os.getpid() * 7 + index) % len(_BLOCKS)]
        try:
            held = tcp_socket(str(chosen.broadcast_address), _LOCK_PORT)
        except OSError:
            continue
        with held:
            yield chosen
        return
    raise AssertionError("no free block of loopback addresses")


@pytest.fixture
def addresses(block: ipaddress.IPv4Network) -> AddressPool:
    """Addresses of this test's block."""
    return AddressPool(str(block))


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """An event loop that ends with the test."""
    thread = LoopThread("test")
    yield thread
    thread.stop()


@pytest.fixture
def traffic() -> Iterator[Traffic]:
    """A client."""
    with Traffic() as client:
        yield client


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
def rng() -> random.Random:
    """Randomness that repeats."""
    return random.Random(7)
