"""What is measured at each scrape, as plain values: the engine fills it in, `Metrics` shows it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Waiting:
    """A Service that is not ready, since when (in seconds) and why."""

    namespace: str
    service: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """Keys that are due, how long the oldest has been, how many were ever added and retried; who is being worked on."""

    depth: int = 0
    oldest_seconds: float = 0.0
    added: int = 0
    retried: int = 0
    running_seconds: tuple[float, ...] = ()


@dataclass(slots=True)
class Figures:
    """One look at a process.

    `services` counts by (provider, state), `held` by hazard, `orphans` by (provider, kind), `watch_restarts` by
    (resource, reason).
    """

    services: Counter[tuple[str, str]] = field(default_factory=Counter)
    waiting: list[Waiting] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)
    orphans: Counter[tuple[str, str]] = field(default_factory=Counter)
    foreign_finalizers: frozenset[str] = frozenset()
    queue: QueueFigures = field(default_factory=QueueFigures)
    watch_restarts: Counter[tuple[str, str]] = field(default_factory=Counter)
    leading: bool = False
