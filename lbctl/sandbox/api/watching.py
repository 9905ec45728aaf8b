"""Turns changes of the store into the lines of one watch.

A watch with a selector sees an object that stops matching as DELETED and one that starts to match as ADDED, as on a
real server. Pure: the HTTP side waits, asks for lines and writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbctl.sandbox.api.objects import Obj, encode
from lbctl.sandbox.api.selectors import Selector
from lbctl.sandbox.api.store import Change, Entry, Store, at_revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbctl.sandbox.api.kinds import Kind
    from lbctl.sandbox.api.status import Refusal

END_OF_LIST = "k8s.io/initial-events-end"


@dataclass(slots=True)
class Watch:
    """One client's view of one kind: where it stands and what it wants to see."""

    store: Store
    kind: Kind
    render: Callable[[Entry], bytes]
    namespace: str = ""
    selector: Selector = field(default_factory=Selector)
    revision: int = 0

    def initial_lines(self) -> Iterator[bytes]:
        """Everything that is there now, as ADDED; the watch then stands at the present."""
        self.revision = self.store.revision
        for entry in self.store.entries(self.kind.storage, self.namespace):
            if self._sees(entry):
                yield self._line("ADDED", entry)

    def new_lines(self) -> list[bytes]:
        """What happened since the last call; raises Refusal 410 when the watch fell behind the kept past."""
        changes = self.store.changes(self.kind.storage, after=self.revision)
        # Taken before rendering: also a change that this watch does not see moves its bookmark.
        self.revision = max(self.revision, self.store.revision)
        return [line for change in changes if (line := self._translated(change)) is not None]

    def bookmark(self, *, ends_list: bool = False) -> bytes:
        """A line that tells only how far the watch has come."""
        metadata: Obj = {"resourceVersion": str(self.revision), "creationTimestamp": None}
        if ends_list:
            metadata["annotations"] = {END_OF_LIST: "true"}
        shown = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}
        return encode({"type": "BOOKMARK", "object": shown}) + b"\n"

    def _sees(self, entry: Entry | None) -> bool:
        if entry is None or (self.namespace and entry.key[0] != self.namespace):
            return False
        return not self.selector or self.selector.accepts(entry.value)

    def _translated(self, change: Change) -> bytes | None:
        before, after = self._sees(change.old), self._sees(change.new)
        if after:
            assert change.new is not None
            return self._line("MODIFIED" if before else "ADDED", change.new)
        if before:
            assert change.old is not None
            return self._line("DELETED", at_revision(change.old, change.revision))
        return None

    def _line(self, event: str, entry: Entry) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (event.encode(), self.render(entry))


def error_line(refusal: Refusal) -> bytes:
    """The last line of a watch that cannot go on."""
    return encode({"type": "ERROR", "object": refusal.body()}) + b"\n"
