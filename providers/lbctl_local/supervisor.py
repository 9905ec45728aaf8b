"""Brings Envoy back when it dies, with growing pauses while it keeps dying.

One thread, started by the driver once Envoy was seen or started; it ends with the driver, Envoy does not.
"""

from __future__ import annotations

import threading

from lbctl.clock import Clock
from lbctl_local.process import EnvoyProcess

LOOK_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STABLE_SECONDS = 60.0


class Supervisor:
    """Watches one Envoy; `restarts` counts how often it was brought back."""

    def __init__(self, process: EnvoyProcess, clock: Clock) -> None:
        self._process = process
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._pause = 0.0
        self._started_at = clock.monotonic()
        self.restarts = 0

    def watch(self) -> None:
        """Begin to watch; without effect when that is done already."""
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="envoy-supervisor", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop watching; Envoy goes on."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._clock.wait(LOOK_SECONDS, self._stop):
            self._process.reap()
            if not self._process.is_alive() and not self._process.was_stopped():
                self._revive()

    def _revive(self) -> None:
        if self._clock.monotonic() - self._started_at > STABLE_SECONDS:
            self._pause = 0.0
        if self._clock.wait(self._pause, self._stop):
            return
        if self._process.start():
            self.restarts += 1
        self._started_at = self._clock.monotonic()
        self._pause = min(max(self._pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
