"""The threads that take work: none sleeps over news."""

from __future__ import annotations

import threading

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
        waiting = SystemClock()
        give_up_at = waiting.monotonic() + PATIENCE_SECONDS
        while not world.addresses():
            assert waiting.monotonic() < give_up_at, "the worker slept over it"
            waiting.wait(0.02)
    finally:
        workers.stop()
