"""What to ask the API server next, and when: the rules of listing and watching, without a thread or a connection.

A reflector asks `wait_seconds` and `ask`, does the request, and tells what happened. Everything takes `now`, seconds
of a monotonic clock; the only randomness is the generator that is passed in. Objects never come here, only their
versions. The figures are those of client-go (tools/cache/reflector.go) where it has them.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from lbctl.errors import KubeError

_REFUSED = frozenset({400, 422})
_BAD_REQUEST = 400
_EXPIRED = 410
_THROTTLED = 429
_SERVER_ERROR = 500
_PASSING = frozenset({0, 401, 403, _THROTTLED})
_SAYS_WHEN = frozenset({_THROTTLED, 503, 504})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Times in seconds, and counts.

    `bookmark_silence` is how long a server that sends a bookmark each minute may be silent, `first_bookmark_silence`
    the same before its first one, of which it may miss two. `timeout_slack` is what a server without bookmarks gets on
    top of the time after which it ends the watch itself. A streamed list is given up `list_silence` after its last
    object; the slack makes sure that a read which gave up was silent for that long. `count_pause` is the time between
    two comparisons of the store with the server's count.
    """

    first_pause: float = 0.8
    longest_pause: float = 30.0
    healthy_after: float = 120.0
    shortest_watch: float = 1.0
    shortest_timeout: int = 240
    longest_timeout: int = 300
    bookmark_silence: float = 90.0
    first_bookmark_silence: float = 150.0
    timeout_slack: float = 10.0
    list_silence: float = 10.0
    list_silence_slack: float = 0.5
    list_answer: float = 60.0
    page_size: int = 500
    server_errors: int = 3
    count_pause: float = 3600.0


class Phase(enum.Enum):
    """What the next request is."""

    STREAM_LIST = "a watch that begins with all objects"
    LIST = "a page of a list"
    WATCH = "a watch from a version on"


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """A request to make; it has failed when nothing arrives for `read_seconds`."""

    phase: Phase
    query: Mapping[str, str]
    read_seconds: float


class Backoff:
    """Growing pauses with jitter, which begin anew after a healthy time."""

    def __init__(self, rng: random.Random, figures: Figures) -> None:
        self._rng = rng
        self._figures = figures
        self._failures = 0
        self._failed_at = 0.0

    def pause(self, now: float) -> float:
        """Seconds to wait after a failure at `now`: doubled with each one, and up to doubled again by chance."""
        if now - self._failed_at >= self._figures.healthy_after:
            self._failures = 0
        base = min(self._figures.longest_pause, self._figures.first_pause * 2.0**self._failures)
        self._failures += 1
        self._failed_at = now
        return base * (1.0 + self._rng.random())


class WatchProtocol:
    """The state of one resource's list and watch.

    `resource_version` is the version to go on from, empty before the first load. `synced` turns true with the first
    complete load and stays so.
    """

    def __init__(self, *, rng: random.Random, field_selector: str = "", figures: Figures | None = None) -> None:
        self._rng = rng
        self._figures = figures or Figures()
        self._backoff = Backoff(rng, self._figures)
        self.field_selector = field_selector
        self.phase = Phase.STREAM_LIST
        self.resource_version = ""
        self.synced = False
        self._streams_lists = True
        self._paged = True
        self._continue = ""
        self._loaded_version = ""
        self._not_before = 0.0
        self._server_errors = 0
        self._opened_at: float | None = None
        self._progress_at = 0.0
        self._heard = False
        self._timeout = 0
        self._silence_after_bookmark = 0.0
        self._counted_at = 0.0

    @property
    def loading(self) -> bool:
        """True while the objects that arrive belong to a list that is not complete yet."""
        return self.phase is not Phase.WATCH

    @property
    def silence_seconds(self) -> float:
        """How long the open watch may be silent before it counts as dead."""
        if self.phase is Phase.STREAM_LIST:
            return self._figures.list_silence + self._figures.list_silence_slack
        return self._silence_after_bookmark or self._timeout + self._figures.timeout_slack

    def wait_seconds(self, now: float) -> float:
        """Seconds until the next request may be made."""
        return max(0.0, self._not_before - now)

    def ask(self, now: float) -> Ask:
        """The next request."""
        self._opened_at = None
        self._heard = False
        if self.phase is Phase.LIST:
            return Ask(Phase.LIST, self._list_query(), self._figures.list_answer)
        self._timeout = self._rng.randint(self._figures.shortest_timeout, self._figures.longest_timeout)
        self._not_before = now + self._figures.shortest_watch
        return Ask(self.phase, self._watch_query(), self.silence_seconds)

    def is_count_due(self, now: float) -> bool:
        """True when it is time to ask how many objects there are; the server counts only what no selector narrows.

        Bookmarks and 410 make a lost object a fault of the server; this is the cheap guard against one.
        """
        return not self.loading and not self.field_selector and now - self._counted_at >= self._figures.count_pause

    def on_count(self, now: float, *, differs: bool) -> None:
        """The server has counted; a store that holds another number of objects is loaded again."""
        self._counted_at = now
        if differs:
            self.load_again()

    def on_open(self, now: float) -> None:
        """The server has accepted the watch."""
        self._opened_at = self._progress_at = now

    def on_page(self, resource_version: str, continue_token: str) -> bool:
        """A page has arrived; True when it was the last, which `on_loaded` has to follow."""
        self._continue = continue_token
        self._loaded_version = resource_version
        return not continue_token

    def on_bookmark(self, now: float, resource_version: str, *, ends_list: bool) -> bool:
        """A bookmark has arrived; True when it ends the list, which `on_loaded` has to follow."""
        self._on_sign_of_life(now, progress=False)
        if ends_list and self.loading:
            self._silence_after_bookmark = self._silence_after_bookmark or self._figures.first_bookmark_silence
            self._loaded_version = resource_version
            return True
        if not self.loading:
            self._silence_after_bookmark = self._figures.bookmark_silence
            self.resource_version = resource_version or self.resource_version
        return False

    def on_loaded(self, now: float) -> None:
        """All objects of the list are in the store."""
        self._counted_at = now
        self.resource_version = self._loaded_version
        self.synced = True
        self.phase = Phase.WATCH
        self._continue = ""
        self._paged = True

    def on_object(self, now: float, resource_version: str, *, added: bool) -> None:
        """An object has arrived and was dealt with."""
        self._on_sign_of_life(now, progress=added)
        if not self.loading:
            self.resource_version = resource_version or self.resource_version

    def lists_in_vain(self, now: float) -> bool:
        """True when the server takes the streamed list for a plain watch: changes may come, but no end of the list."""
        silent = self._opened_at is not None and now - self._progress_at >= self._figures.list_silence
        return self.phase is Phase.STREAM_LIST and silent

    def on_end(self, now: float) -> None:
        """The server has ended the watch without an error."""
        opened_at = now if self._opened_at is None else self._opened_at
        if self.loading or (not self._heard and now - opened_at < self._figures.shortest_watch):
            self._pause(now)

    def on_failure(self, now: float, error: KubeError) -> None:
        """The request has failed, the stream has broken, or an ERROR event has ended it."""
        if self.lists_in_vain(now) or (self.phase is Phase.STREAM_LIST and error.status in _REFUSED):
            self._on_refusal(error)
        elif error.status == _BAD_REQUEST and self.field_selector:
            self._drop_selector()
        else:
            self._pause(now, at_least=_retry_after(error))
            self._choose_after(error.status)

    def load_again(self) -> None:
        """Begin a new load with the next request."""
        self._continue = ""
        self.phase = Phase.STREAM_LIST if self._streams_lists else Phase.LIST

    def _on_sign_of_life(self, now: float, *, progress: bool) -> None:
        self._heard = True
        self._server_errors = 0
        if progress:
            self._progress_at = now

    def _on_refusal(self, error: KubeError) -> None:
        if self.field_selector and "field label" in error.message:
            self._drop_selector()
        else:
            self._streams_lists = False
            self.load_again()

    def _drop_selector(self) -> None:
        self.field_selector = ""
        self.load_again()

    def _choose_after(self, status: int) -> None:
        """Decide between the same request and a new load.

        Without an answer, and when asked to wait, the same page or watch is asked for again; a server error earns that
        a few times; anything else says that the token or the version is of no use any more.
        """
        if status == _EXPIRED and self._continue:
            self._paged = False
        if not self._resumes(status) or (self.loading and not self._continue):
            self.load_again()

    def _resumes(self, status: int) -> bool:
        if status < _SERVER_ERROR:
            return status in _PASSING
        self._server_errors += 1
        return self._server_errors <= self._figures.server_errors

    def _pause(self, now: float, *, at_least: float = 0.0) -> None:
        self._not_before = now + max(at_least, self._backoff.pause(now))

    def _list_query(self) -> dict[str, str]:
        query = {"limit": str(self._figures.page_size)} if self._paged else {}
        if self._continue:
            query["continue"] = self._continue
        return query | self._selection()

    def _watch_query(self) -> dict[str, str]:
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(self._timeout)}
        if self.phase is Phase.STREAM_LIST:
            # Without bookmarks the server would never say that the list is complete (measured on 1.36).
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        else:
            query["resourceVersion"] = self.resource_version
        return query | self._selection()

    def _selection(self) -> dict[str, str]:
        return {"fieldSelector": self.field_selector} if self.field_selector else {}


def _retry_after(error: KubeError) -> float:
    return error.after_seconds if error.status in _SAYS_WHEN else 0.0
