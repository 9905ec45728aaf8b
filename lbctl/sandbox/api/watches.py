"""Keeps watch connections going: waits for changes, writes lines, bookmarks and the end; stalls and tears on demand.

Belongs to the HTTP side and runs in its event loop; what the lines say is `watching`'s.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbctl.sandbox.api import lists
from lbctl.sandbox.api.rendering import renderer, stream_form
from lbctl.sandbox.api.status import Problems, Refusal, invalid_options
from lbctl.sandbox.api.verbs import Call, list_options
from lbctl.sandbox.api.watching import Watch, error_line

if TYPE_CHECKING:
    import datetime as dt
    import random
    from collections.abc import Callable, Iterator, Mapping

    from aiohttp import web

    from lbctl.sandbox.api.faults import Faults
    from lbctl.sandbox.api.store import Store

SHORTEST, LONGEST = 1800, 3600
BATCH_BYTES = 256 * 1024


@dataclass(slots=True, eq=False)
class Open:
    """One watch and how it begins."""

    watch: Watch
    initial: bool
    bookmarks: bool
    marks_end: bool
    seconds: float
    failure: Refusal | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Watches:
    """All watch connections of one server."""

    def __init__(
        self,
        store: Store,
        faults: Faults,
        *,
        bookmark_seconds: float,
        now: Callable[[], dt.datetime],
        chance: random.Random,
    ) -> None:
        self._store = store
        self._faults = faults
        self._bookmark_seconds = bookmark_seconds
        self._now = now
        self._chance = chance
        self._open: set[Open] = set()

    def open(self, call: Call) -> Open:
        """Settle where the watch begins; raises Refusal 400 or 422, but not 410: that comes in the stream."""
        query, options = call.query, list_options(call)
        sends = query.get("sendInitialEvents", "")
        if self._faults.watch_list == "ignore":
            sends = ""
        elif sends or options.match:
            _check_watch_list(sends, options.match, served=self._faults.watch_list == "serve")
        render = renderer(call.target.kind, stream_form(call.form), self._now)
        revision = lists.parse_revision(options.revision, watch=True)
        watch = Watch(self._store, call.target.kind, render, call.target.namespace, options.selector, revision)
        initial = sends == "true" or (sends != "false" and revision == 0)
        opened = Open(watch, initial, _is_true(query, "allowWatchBookmarks"), sends == "true", self._seconds(query))
        if not initial:
            opened.failure = self._failure(watch)
        return opened

    async def serve(self, opened: Open, response: web.StreamResponse, call: Call) -> None:
        """Write until the time is over, the client leaves, or the past is forgotten."""
        writer = _Writer(response, self._faults)
        if opened.failure is not None:
            await writer.write(error_line(opened.failure))
            return
        stop_listening = self._store.listen(call.target.kind.storage, opened.wake.set)
        self._open.add(opened)
        try:
            async with asyncio.timeout(opened.seconds):
                await self._run(opened, writer)
        except TimeoutError:
            return
        finally:
            self._open.discard(opened)
            stop_listening()

    def wake_all(self) -> None:
        """Let every watch look again: after a stall."""
        for opened in tuple(self._open):
            opened.wake.set()

    async def _run(self, opened: Open, writer: _Writer) -> None:
        watch = opened.watch
        if opened.initial:
            await writer.write_all(watch.initial_lines())
        if opened.marks_end and opened.bookmarks:
            await writer.write(watch.bookmark(ends_list=True))
        while True:
            if not self._faults.stalls():
                try:
                    lines = watch.new_lines()
                except Refusal as refusal:
                    await writer.write(error_line(refusal))
                    return
                await writer.write_all(iter(lines))
            if await self._is_quiet(opened) and opened.bookmarks and not self._faults.stalls():
                await writer.write(watch.bookmark())

    async def _is_quiet(self, opened: Open) -> bool:
        """Wait for a change, at most until the next bookmark is due; whether none came."""
        try:
            async with asyncio.timeout(self._bookmark_seconds):
                await opened.wake.wait()
        except TimeoutError:
            return True
        opened.wake.clear()
        return False

    def _failure(self, watch: Watch) -> Refusal | None:
        try:
            self._store.check_kept(watch.kind.storage, watch.revision)
        except Refusal as refusal:
            return refusal
        return None

    def _seconds(self, query: Mapping[str, str]) -> float:
        text = query.get("timeoutSeconds", "")
        return float(text) if text.isdecimal() and int(text) else self._chance.uniform(SHORTEST, LONGEST)


class _Writer:
    """Writes lines in batches, and cuts one where a fault asks for it."""

    def __init__(self, response: web.StreamResponse, faults: Faults) -> None:
        self._response = response
        self._faults = faults

    async def write_all(self, lines: Iterator[bytes]) -> None:
        """Write many lines in few chunks."""
        batch: list[bytes] = []
        size = 0
        for line in lines:
            batch.append(line)
            size += len(line)
            if size > BATCH_BYTES:
                await self.write(b"".join(batch))
                batch, size = [], 0
        if batch:
            await self.write(b"".join(batch))

    async def write(self, data: bytes) -> None:
        """Write whole lines; raises ConnectionError after a torn one."""
        if self._faults.tears():
            await self._response.write(data[: len(data) // 2])
            raise ConnectionResetError
        await self._response.write(data)


def _is_true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "") in ("1", "true")


def _check_watch_list(sends: str, match: str, *, served: bool) -> None:
    problems = Problems()
    if not served and sends:
        problems.forbidden(
            "sendInitialEvents", "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        )
    elif sends and match != "NotOlderThan":
        problems.forbidden(
            "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    elif match and not sends:
        problems.forbidden(
            "resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        )
    if problems.causes:
        raise invalid_options("ListOptions", problems.causes)
