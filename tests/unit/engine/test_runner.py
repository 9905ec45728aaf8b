"""The threads that take work: none sleeps over news, none ends before it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from lbctl.clock import ManualClock, SystemClock
from lbctl.engine.runner import Workers
from tests.clouds.memory import MemoryCloud, info
from tests.world import World, service

PATIENCE_SECONDS = 5.0


class LateNews(ManualClock):
    """A clock on which something happens between a worker's last look at the queue and its nap, once."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.happens = lambda: None

    def monotonic(self) -> float:
        """The world's time; a worker asks for it when it has found nothing to do."""
        happens, self.happens = self.happens, lambda: None
        now = self._world.clock.monotonic()
        happens()
        return now


@pytest.fixture
def world() -> World:
    """A started lbctl that has nothing to do."""
    world = World(info(MemoryCloud()))
    world.settle()
    return world


def wait_until(holds: Callable[[], object], otherwise: str) -> None:
    """Let the workers go on until something holds."""
    waiting = SystemClock()
    give_up_at = waiting.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert waiting.monotonic() < give_up_at, otherwise
        waiting.wait(0.02)


def test_news_that_come_just_before_a_nap_are_not_slept_over(world: World):
    """A Service that appears after the queue was looked at, and before the wait begins, is served at once."""
    clock, told = LateNews(world), threading.Event()
    workers = Workers(world.controller, clock, 1)

    def appear() -> None:
        world.kube.put(service())
        world.clock.advance(1.0)
        workers.wake()
        told.set()

    clock.happens = appear
    workers.start()
    try:
        assert told.wait(PATIENCE_SECONDS)
        wait_until(world.addresses, "the worker slept over it")
    finally:
        workers.stop()


def test_a_fence_that_was_shut_for_a_moment_costs_a_pause_and_no_worker(world: World):
    """A renewal comes late: the work that met the shut fence is done when it is open again, by the same threads."""
    workers = Workers(world.controller, world.clock, 1)
    world.leading = False
    world.kube.put(service())
    world.clock.advance(1.0)
    workers.start()
    try:
        wait_until(lambda: world.controller.retried, "the worker did not get to the fence")
        assert not world.addresses()
        world.leading = True
        world.clock.advance(10.0)
        workers.wake()
        wait_until(world.addresses, "nobody works any more")
        assert workers.trouble() == ""
    finally:
        workers.stop()
