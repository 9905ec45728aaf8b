"""Times the stages of the pipeline where they are: at the calls of the driver. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from lbctl.clock import Clock
from lbctl.driver import Driver, Figure

STAGES = frozenset({"facts", "model", "snapshot", "observe", "plan", "apply", "poll", "status"})


class Measures(Protocol):
    """Who is told what drivers do and know (`lbctl.engine.telling.Telling`)."""

    def record_call(self, provider: str, operation: str, code: str, seconds: float) -> None:
        """One cloud call has ended."""

    def record_stage(self, provider: str, stage: str, seconds: float) -> None:
        """One stage has ended, well or not."""

    def show(self, provider: str, figure: Figure, label: str, value: float) -> None:
        """A figure of the cloud, as it is now."""


class Staged:
    """A driver whose stages are timed; everything else of it is the driver's own."""

    def __init__(self, driver: Driver, clock: Clock, record: Callable[[str, float], None]) -> None:
        self._driver = driver
        for stage in STAGES:
            setattr(self, stage, _timed(getattr(driver, stage), clock, partial(record, stage)))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the driver has
        return getattr(self._driver, name)


def timed(provider: str, driver: Driver, clock: Clock, measures: Measures) -> Driver:
    """The driver, with `measures` told of each stage."""
    staged = Staged(driver, clock, lambda stage, seconds: measures.record_stage(provider, stage, seconds))
    return cast("Driver", staged)


def _timed(call: Callable[..., Any], clock: Clock, record: Callable[[float], None]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:  # noqa: ANN401 - as the stage has it
        began = clock.monotonic()
        try:
            return call(*arguments)
        finally:
            record(clock.monotonic() - began)

    return run
