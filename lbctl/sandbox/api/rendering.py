"""Turns stored entries into response bodies in the form that the client accepts: object, metadata only, or table.

Pure. The plain form joins bytes that the store encoded once; the others are made a request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbctl.sandbox.api import tables
from lbctl.sandbox.api.events_group import to_group
from lbctl.sandbox.api.objects import Obj, encode
from lbctl.sandbox.api.status import not_acceptable

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from lbctl.sandbox.api.kinds import Kind
    from lbctl.sandbox.api.lists import Page
    from lbctl.sandbox.api.store import Entry

MEDIA = ("application/json", "application/yaml", "*/*", "application/*")
META_V1 = "meta.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Form:
    """What the client wants to see: `shape` is empty, Table or PartialObjectMetadata; YAML instead of JSON."""

    shape: str = ""
    yaml: bool = False
    include: str = "Metadata"


def parse_accept(header: str, *, include: str = "Metadata") -> Form:
    """The first form of an Accept header that we can write; raises Refusal 406 when there is none."""
    for part in (header or "*/*").split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        options = dict(re.findall(r"(\w+)=([^;,\s]+)", ";".join(parameters)))
        shape = options.get("as", "").removesuffix("List")
        if media in MEDIA and shape in ("", "Table", "PartialObjectMetadata") and options.get("v", "v1") == "v1":
            return Form(shape, yaml=media == "application/yaml", include=include)
    raise not_acceptable(MEDIA[:2])


def stream_form(form: Form) -> Form:
    """The form of a watch's objects, which are never YAML."""
    return Form(form.shape, include=form.include)


def renderer(kind: Kind, form: Form, now: Callable[[], dt.datetime]) -> Callable[[Entry], bytes]:
    """What turns one entry into the JSON of a get or a watch event."""
    if form.shape == "Table":
        return lambda entry: encode(
            _table(kind, [entry], {"resourceVersion": str(entry.revision)}, form=form, now=now())
        )
    if form.shape == "PartialObjectMetadata":
        return lambda entry: encode(_partial(entry))
    return lambda entry: full(kind, entry)


def full(kind: Kind, entry: Entry) -> bytes:
    """The whole object with kind and apiVersion."""
    return kind.envelope + _body(kind, entry)[1:]


def list_body(kind: Kind, page: Page, form: Form, *, now: dt.datetime) -> bytes:
    """The whole list."""
    if form.shape == "Table":
        return encode(_table(kind, page.entries, page.metadata, form=form, now=now))
    if form.shape == "PartialObjectMetadata":
        items = [_partial(entry) for entry in page.entries]
        return encode(
            {"kind": "PartialObjectMetadataList", "apiVersion": META_V1, "metadata": page.metadata, "items": items}
        )
    head = f'{{"kind":"{kind.kind}List","apiVersion":"{kind.api_version}","metadata":'.encode() + encode(page.metadata)
    return b"".join((head, b',"items":[', b",".join([_body(kind, entry) for entry in page.entries]), b"]}"))


def _body(kind: Kind, entry: Entry) -> bytes:
    return encode(to_group(entry.value)) if kind.group == "events.k8s.io" else entry.body


def _partial(entry: Entry) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": META_V1, "metadata": entry.value["metadata"]}


def _table(kind: Kind, entries: list[Entry], metadata: Obj, *, form: Form, now: dt.datetime) -> Obj:
    rows = [_row(kind, entry, form, now) for entry in entries]
    columns = tables.definitions(kind.storage)
    return {"kind": "Table", "apiVersion": META_V1, "metadata": metadata, "columnDefinitions": columns, "rows": rows}


def _row(kind: Kind, entry: Entry, form: Form, now: dt.datetime) -> Obj:
    row: Obj = {"cells": tables.cells(kind.storage, entry.value, now)}
    if form.include == "Object":
        row["object"] = {"kind": kind.kind, "apiVersion": kind.api_version} | entry.value
    elif form.include != "None":
        row["object"] = _partial(entry)
    return row
