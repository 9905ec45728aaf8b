"""The newest view of each watched object, by key and by uid.

A reflector writes, everybody reads, from any thread: a reader gets a state that existed as a whole, and a snapshot
never changes under its hands. Nothing here knows where the views come from.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic

from lbctl.kube.resources import T

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Store(Generic[T]):
    """Views by key and by uid; all methods are safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[str, T] = {}
        self._by_uid: dict[str, T] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[T]:
        """The views of one moment, in no particular order."""
        return iter(self.snapshot())

    def find(self, key: str) -> T | None:
        """The view with this key."""
        return self._by_key.get(key)

    def find_uid(self, uid: str) -> T | None:
        """The view with this uid."""
        return self._by_uid.get(uid)

    def snapshot(self) -> tuple[T, ...]:
        """All views of one moment."""
        with self._lock:
            return tuple(self._by_key.values())

    def apply(self, view: T) -> T | None:
        """Put `view` in; returns the view that it replaces."""
        with self._lock:
            old = self._by_key.get(view.key)
            if old is not None:
                self._by_uid.pop(old.metadata.uid, None)
            self._by_key[view.key] = view
            self._by_uid[view.metadata.uid] = view
            return old

    def remove(self, key: str) -> T | None:
        """Take the view with this key out; returns it."""
        with self._lock:
            old = self._by_key.pop(key, None)
            if old is not None:
                self._by_uid.pop(old.metadata.uid, None)
            return old

    def replace(self, views: Iterable[T]) -> list[tuple[T | None, T | None]]:
        """Hold exactly `views` from now on; returns (old, new) of every key of before and after."""
        by_key = {view.key: view for view in views}
        by_uid = {view.metadata.uid: view for view in by_key.values()}
        with self._lock:
            old, self._by_key, self._by_uid = self._by_key, by_key, by_uid
        gone = [(view, None) for key, view in old.items() if key not in by_key]
        return [*gone, *((old.get(key), view) for key, view in by_key.items())]
