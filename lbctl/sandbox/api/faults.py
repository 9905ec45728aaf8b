"""The switches that make the server misbehave, for tests of what lives with a real one.

Set from any thread while the server runs; the HTTP side asks before, during and after each request. What needs the
server's own thread (dropping connections, forgetting history) is done there by the functions that `server` hands in.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WatchList = Literal["serve", "refuse", "ignore"]


@dataclass(slots=True)
class Fault:
    """What happens to the requests that match: `skip` of them pass first, then `times` are hit (-1: all)."""

    verb: str = ""
    path: str = ""
    skip: int = 0
    times: int = 1
    delay_seconds: float = 0.0
    code: int = 0
    retry_after_seconds: int = 0
    lose_answer: bool = False

    def hits(self, verb: str, path: str) -> bool:
        """Whether this request is hit; counts it."""
        if self.times == 0 or self.verb not in ("", verb) or not re.search(self.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class Switches:
    """Functions of the running server that must run in its thread."""

    expire_history: Callable[[], None]
    drop_connections: Callable[[], None]
    set_listening: Callable[[bool], None]
    wake_watches: Callable[[], None]


@dataclass(slots=True)
class Faults:
    """All faults of one server."""

    switches: Switches
    watch_list: WatchList = "serve"
    _faults: list[Fault] = field(default_factory=list)
    _stalled: bool = False
    _torn: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self, code: int, *, verb: str = "", path: str = "", skip: int = 0, times: int = 1, retry_after_seconds: int = 0
    ) -> None:
        """Refuse matching requests, nothing done, with 409, 429, 500 or 503; `path` is a regular expression."""
        fault = Fault(verb, path, skip, times, code=code, retry_after_seconds=retry_after_seconds)
        self._add(fault)

    def lose_answer(self, *, verb: str = "", path: str = "", skip: int = 0, times: int = 1) -> None:
        """Do what matching requests ask, then close the connection without an answer."""
        self._add(Fault(verb, path, skip, times, lose_answer=True))

    def delay(self, seconds: float, *, verb: str = "", path: str = "", times: int = -1) -> None:
        """Let matching requests wait before anything is done."""
        self._add(Fault(verb, path, 0, times, delay_seconds=seconds))

    def expire_history(self) -> None:
        """Forget the past: open watches that are behind and continued lists get 410."""
        self.switches.expire_history()

    def drop_connections(self) -> None:
        """Close every connection at once, without a goodbye."""
        self.switches.drop_connections()

    @contextmanager
    def stalled_watches(self) -> Iterator[None]:
        """Keep watches open and silent, as a peer behind a dead network path does."""
        self._stalled = True
        try:
            yield
        finally:
            self._stalled = False
            self.switches.wake_watches()

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Refuse new connections and drop the open ones; the port stays ours and answers again afterwards."""
        self.switches.set_listening(False)
        self.switches.drop_connections()
        try:
            yield
        finally:
            self.switches.set_listening(True)

    def tear_watch(self, times: int = 1) -> None:
        """Cut the next watch lines in the middle and close their connections."""
        with self._lock:
            self._torn += times

    def clear(self) -> None:
        """Behave again."""
        with self._lock:
            self._faults.clear()
            self._torn = 0
        self.watch_list = "serve"

    def due(self, verb: str, path: str) -> list[Fault]:
        """The faults that hit this request; each is counted."""
        with self._lock:
            found = [fault for fault in self._faults if fault.hits(verb, path)]
            self._faults = [fault for fault in self._faults if fault.times]
            return found

    def stalls(self) -> bool:
        """Whether watches are silent now."""
        return self._stalled

    def tears(self) -> bool:
        """Whether the line that is about to be sent is to be cut; counts it."""
        with self._lock:
            if not self._torn:
                return False
            self._torn -= 1
            return True

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)
