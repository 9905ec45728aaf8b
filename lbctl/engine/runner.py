"""The threads of a running controller: watches, workers, lease and one that keeps time.

Everything that decides lives in modules without threads; here it is only called. A worker exhausts one piece of work
at a time; the queue guarantees that no scope runs twice at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field

from lbctl.clock import Clock
from lbctl.engine.controller import Controller, Work
from lbctl.errors import KubeError, LostLease

log = logging.getLogger(__name__)

LONGEST_NAP_SECONDS = 30.0
STUCK_SECONDS = 900.0


def run_until_idle(controller: Controller, clock: Clock, *, deadline: float) -> bool:
    """Work in this thread until nothing but timers beyond `deadline` is left; False when time ran out with work left.

    For commands that do one round: `deadline` is in seconds of the monotonic clock.
    """
    while True:
        controller.tick()
        work = controller.next_work()
        if work is not None:
            exhaust(controller, work)
            continue
        due = controller.next_due()
        if controller.is_settled:
            return True
        if due is None or due > deadline or clock.monotonic() >= deadline:
            return False
        clock.wait(due - clock.monotonic())


def exhaust(controller: Controller, work: Work, *, is_over: Callable[[], bool] = lambda: False) -> None:
    """Do one piece of work to its end, or up to the next write once it `is_over`, and hand it back."""
    try:
        with closing(controller.run(work)) as steps:
            for _ in steps:
                if is_over():
                    return
    finally:
        controller.done(work)


@dataclass(slots=True)
class Workers:
    """A fixed number of threads that take work until told to stop."""

    controller: Controller
    clock: Clock
    count: int
    around: Callable[[Work], AbstractContextManager[None]] = lambda _work: nullcontext()
    on_result: Callable[[Work, float, bool], None] = lambda _work, _seconds, _ok: None
    on_bug: Callable[[BaseException], None] = lambda _error: None
    _stop: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Condition = field(default_factory=threading.Condition)
    _wakings: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)
    _busy_since: dict[int, float] = field(default_factory=dict)

    def start(self) -> None:
        """Start the workers and the timekeeper."""
        for index in range(self.count):
            self._spawn(f"worker-{index}", self._work)
        self._spawn("time", self._keep_time)

    def wake(self) -> None:
        """Have somebody look at the queue now; called after each event that may have dirtied something."""
        with self._wake:
            self._wakings += 1
            self._wake.notify_all()

    def stop(self) -> None:
        """Let each worker finish its present call and end."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(timeout=60)

    def running_seconds(self) -> list[float]:
        """For how long each busy worker has been at its present piece of work."""
        now = self.clock.monotonic()
        return [now - since for since in list(self._busy_since.values())]

    def trouble(self) -> str:
        """What is wrong with the threads, empty when all is well."""
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        if dead and not self._stop.is_set():
            return f"threads ended: {', '.join(dead)}"
        now = self.clock.monotonic()
        stuck = [since for since in list(self._busy_since.values()) if now - since > STUCK_SECONDS]
        return f"{len(stuck)} workers have been busy with one scope for over {STUCK_SECONDS:.0f} s" if stuck else ""

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while not self._stop.is_set():
            wakings = self._wakings
            work = self.controller.next_work()
            if work is None:
                self._nap(wakings)
            else:
                self._do(work)

    def _do(self, work: Work) -> None:
        with self.around(work):
            self._do_alone(work)

    def _do_alone(self, work: Work) -> None:
        started = self.clock.monotonic()
        self._busy_since[threading.get_ident()] = started
        ok = False
        try:
            exhaust(self.controller, work, is_over=self._stop.is_set)
            ok = True
        except (LostLease, KubeError) as error:
            # A late renewal opens the fence again: whether the Lease is lost is for the election alone to say.
            log.warning("%s", error)
            self.controller.retry(work)
        except Exception as bug:
            log.exception("a pass over %s failed; this is a bug", work.scope)
            self.on_bug(bug)
            self.controller.retry(work)
        finally:
            del self._busy_since[threading.get_ident()]
            self.on_result(work, self.clock.monotonic() - started, ok)
            self.wake()

    def _nap(self, wakings: int) -> None:
        """Wait for what is due next, or for news; not at all when news came since `wakings` was read."""
        due = self.controller.next_due()
        now = self.clock.monotonic()
        seconds = LONGEST_NAP_SECONDS if due is None else min(max(due - now, 0.005), LONGEST_NAP_SECONDS)
        with self._wake:
            if not self._stop.is_set() and self._wakings == wakings:
                self._wake.wait(seconds)

    def _keep_time(self) -> None:
        while not self._stop.is_set():
            wakings = self._wakings
            self.controller.tick()
            self._nap(wakings)
