"""An event loop in a thread of its own, for classes that are asynchronous inside and plain outside.

`Fleet` and `Traffic` each own one. Nothing here knows what runs on it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

T = TypeVar("T")

CALL_SECONDS = 60.0


class LoopThread:
    """A running event loop; `stop` cancels what still runs and ends the thread."""

    def __init__(self, name: str) -> None:
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._started.wait()

    def call(self, coroutine: Coroutine[object, object, T], *, timeout_seconds: float = CALL_SECONDS) -> T:
        """The coroutine's result, or its exception; `TimeoutError` after `timeout_seconds`."""
        future = self.spawn(coroutine)
        try:
            return future.result(timeout_seconds)
        except TimeoutError:
            future.cancel()
            raise

    def spawn(self, coroutine: Coroutine[object, object, T]) -> Future[T]:
        """The future result of a coroutine that runs in the background."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self) -> None:
        """Cancel all tasks, wait for them and end the thread; a second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._started.set()
        await self._ended.wait()
