"""What lists and watches look like on the wire, decoded straight into views.

A watch line is decoded in one pass into its view; only lines that do not fit (bookmarks, errors, damaged objects) are
looked at a second time. An object that cannot be decoded never hides the others: it comes out as `Undecodable`.
"""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeAlias

import msgspec

from lbctl.kube.answers import Status
from lbctl.kube.resources import T

_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})
_END_OF_LIST = "k8s.io/initial-events-end"


class Change(msgspec.Struct, Generic[T], frozen=True):
    """An object was added, modified or deleted, as `type` says in capitals."""

    type: str
    object: T


@dataclasses.dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to this version was seen; `ends_list` marks the end of the objects that existed at the start."""

    resource_version: str
    ends_list: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Undecodable:
    """An object that does not fit its view; `key` is empty when not even its name can be read."""

    type: str
    key: str
    resource_version: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `continue_token` is empty on the last, `remaining` counts what is behind this page."""

    views: list[T]
    damaged: list[Undecodable]
    resource_version: str
    continue_token: str
    remaining: int = 0


Event: TypeAlias = Change[T] | Bookmark | Status | Undecodable


class _Envelope(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    annotations: dict[str, str] = {}

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class _Object(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()


class _ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")
    remaining_item_count: int = 0


class _List(msgspec.Struct, Generic[T], frozen=True):
    items: list[T] | None = None
    metadata: _ListMeta = _ListMeta()


class _RawList(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw] | None = None
    metadata: _ListMeta = _ListMeta()


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_OBJECT = msgspec.json.Decoder(_Object)
_STATUS = msgspec.json.Decoder(Status)
_RAW_LIST = msgspec.json.Decoder(_RawList)


class Codec(Generic[T]):
    """Decoders of one resource's objects, watch lines and lists."""

    def __init__(self, view: type[T]) -> None:
        self._view = msgspec.json.Decoder(view)
        self._change: msgspec.json.Decoder[Change[T]] = msgspec.json.Decoder(Change[view])  # type: ignore[valid-type] # the class is a value here
        self._list: msgspec.json.Decoder[_List[T]] = msgspec.json.Decoder(_List[view])  # type: ignore[valid-type] # the class is a value here

    def view(self, body: bytes) -> T:
        """One object; raises msgspec.MsgspecError when it does not fit its view."""
        return self._view.decode(body)

    def event(self, line: bytes) -> Event[T]:
        """One line of a watch; never raises."""
        try:
            change = self._change.decode(line)
        except msgspec.MsgspecError as error:
            return _other_event(line, str(error))
        return change if change.type in _CHANGES else _other_event(line, f"unknown event {change.type}")

    def page(self, body: bytes) -> Page[T]:
        """One page of a list; raises msgspec.MsgspecError when it is no list at all."""
        try:
            page = self._list.decode(body)
        except msgspec.ValidationError:
            return self._salvaged(body)
        return _page(page.items or [], [], page.metadata)

    def _salvaged(self, body: bytes) -> Page[T]:
        page = _RAW_LIST.decode(body)
        views: list[T] = []
        damaged: list[Undecodable] = []
        for raw in page.items or []:
            try:
                views.append(self._view.decode(raw))
            except msgspec.MsgspecError as error:
                damaged.append(_undecodable("ADDED", raw, str(error)))
        return _page(views, damaged, page.metadata)


def _page(views: list[T], damaged: list[Undecodable], meta: _ListMeta) -> Page[T]:
    return Page(views, damaged, meta.resource_version, meta.continue_token, meta.remaining_item_count)


def _other_event(line: bytes, why: str) -> Bookmark | Status | Undecodable:
    try:
        envelope = _ENVELOPE.decode(line)
        if envelope.type == "BOOKMARK":
            meta = _OBJECT.decode(envelope.object).metadata
            return Bookmark(meta.resource_version, meta.annotations.get(_END_OF_LIST) == "true")
        if envelope.type == "ERROR":
            return _STATUS.decode(envelope.object)
    except msgspec.MsgspecError as error:
        return Undecodable("", "", "", str(error))
    return _undecodable(envelope.type, envelope.object, why)


def _undecodable(kind: str, raw: msgspec.Raw, why: str) -> Undecodable:
    try:
        meta = _OBJECT.decode(raw).metadata
    except msgspec.MsgspecError:
        return Undecodable(kind, "", "", why)
    return Undecodable(kind, meta.key, meta.resource_version, why)
