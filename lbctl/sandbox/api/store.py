"""Objects, one revision counter, and the recent past of every kind: a plain object without I/O, locks or a clock.

Every object is encoded once; gets, lists and watches share the bytes. The past is a ring: reads at a revision that is
older than the ring are refused as expired, as after an etcd compaction. One thread at a time may use it.
"""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from lbctl.sandbox.api.objects import Obj, encode, name_of, namespace_of
from lbctl.sandbox.api.status import expired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored state of an object: its value, never changed in place, and its JSON without kind and apiVersion."""

    key: Key
    revision: int
    value: Obj
    body: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the state before (None: created) and after (None: deleted)."""

    revision: int
    old: Entry | None
    new: Entry | None


@dataclass(slots=True)
class Shelf:
    """All objects of one kind with their recent changes."""

    past: deque[Change]
    entries: dict[Key, Entry] = field(default_factory=dict)
    forgotten: int = 0
    listeners: set[Callable[[], None]] = field(default_factory=set)
    ordered: list[Key] | None = None

    def keys(self) -> list[Key]:
        """Keys in the order of lists; sorted again only after a key came or went."""
        if self.ordered is None:
            self.ordered = sorted(self.entries)
        return self.ordered

    def record(self, change: Change) -> None:
        """Append to the past, forgetting the oldest change when the ring is full."""
        if len(self.past) == self.past.maxlen:
            self.forgotten = self.past[0].revision
        self.past.append(change)

    def apply(self, change: Change) -> None:
        """Make the change the present, and tell the watches."""
        if change.new is None:
            assert change.old is not None
            del self.entries[change.old.key]
        else:
            self.entries[change.new.key] = change.new
        if change.old is None or change.new is None:
            self.ordered = None
        self.record(change)
        for listener in tuple(self.listeners):
            listener()


class Store:
    """The storage of one API server."""

    def __init__(self, *, history: int = 10_000) -> None:
        self.revision = 1
        self._history = history
        self._shelves: dict[str, Shelf] = {}

    def next_revision(self) -> int:
        """Use up one revision: every write does, and so do allocations of addresses and ports."""
        self.revision += 1
        return self.revision

    def find(self, storage: str, key: Key) -> Entry | None:
        """The present state of one object."""
        return self._shelf(storage).entries.get(key)

    def put(self, storage: str, value: Obj) -> Entry:
        """Store `value`, which from now on belongs to the store, under a new revision."""
        revision = self.next_revision()
        value["metadata"]["resourceVersion"] = str(revision)
        shelf = self._shelf(storage)
        entry = Entry((namespace_of(value), name_of(value)), revision, value, encode(value))
        shelf.apply(Change(revision, shelf.entries.get(entry.key), entry))
        return entry

    def remove(self, storage: str, key: Key) -> Entry:
        """Delete one object; returns its last state under the revision of the deletion."""
        shelf = self._shelf(storage)
        revision = self.next_revision()
        last = at_revision(shelf.entries[key], revision)
        shelf.apply(Change(revision, shelf.entries[key], None))
        return last

    def entries(self, storage: str, namespace: str = "", *, revision: int | None = None) -> list[Entry]:
        """All objects of one kind in list order, now or as of `revision`.

        Raises Refusal 410 when `revision` is older than the past that is kept.
        """
        shelf = self._shelf(storage)
        if revision is not None and revision < shelf.forgotten:
            raise expired(f"The provided resource version is too old: {revision} ({shelf.forgotten})")
        if revision is None or not shelf.past or shelf.past[-1].revision <= revision:
            present = shelf.entries
            keys = shelf.keys()
        else:
            present = _as_of(shelf, revision)
            keys = sorted(present)
        if namespace:
            first = bisect.bisect_left(keys, (namespace, ""))
            keys = keys[first : bisect.bisect_left(keys, (namespace + "\0", ""))]
        return [present[key] for key in keys]

    def check_kept(self, storage: str, revision: int) -> None:
        """Raise Refusal 410 when changes after `revision` are no longer all known."""
        forgotten = self._shelf(storage).forgotten
        if revision < forgotten:
            raise expired(f"too old resource version: {revision} ({forgotten})")

    def changes(self, storage: str, *, after: int) -> list[Change]:
        """All changes after a revision, oldest first; raises Refusal 410 when some are forgotten."""
        self.check_kept(storage, after)
        past = self._shelf(storage).past
        behind = 0
        for change in reversed(past):
            if change.revision <= after:
                break
            behind += 1
        return list(islice(past, len(past) - behind, None))

    def listen(self, storage: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener` called after each change of one kind; returns what ends it."""
        listeners = self._shelf(storage).listeners
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    def expire_history(self) -> None:
        """Forget the past of every kind: watches and continued lists of earlier revisions end with 410."""
        for shelf in self._shelves.values():
            shelf.past.clear()
            shelf.forgotten = self.next_revision()
            for listener in tuple(shelf.listeners):
                listener()

    def everything(self) -> Iterator[tuple[str, Entry]]:
        """Each stored object with the name of its storage."""
        for storage, shelf in self._shelves.items():
            for entry in tuple(shelf.entries.values()):
                yield storage, entry

    def _shelf(self, storage: str) -> Shelf:
        found = self._shelves.get(storage)
        if found is None:
            found = self._shelves[storage] = Shelf(deque(maxlen=self._history))
        return found


def _as_of(shelf: Shelf, revision: int) -> dict[Key, Entry]:
    state = dict(shelf.entries)
    for change in reversed(shelf.past):
        if change.revision <= revision:
            break
        _undo(state, change)
    return state


def _undo(state: dict[Key, Entry], change: Change) -> None:
    if change.old is not None:
        state[change.old.key] = change.old
    elif change.new is not None:
        state.pop(change.new.key, None)


def at_revision(entry: Entry, revision: int) -> Entry:
    """The same state under another revision: what a DELETED event shows."""
    value = entry.value | {"metadata": entry.value["metadata"] | {"resourceVersion": str(revision)}}
    return Entry(entry.key, revision, value, encode(value))
