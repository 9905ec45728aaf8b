"""Keeps `metadata.managedFields`: who wrote which field last, by which verb.

Every write passes through `record`; server-side apply asks `owners` for conflicts. Fields of the server itself are
nobody's. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbctl.sandbox.api import fieldsets, schema
from lbctl.sandbox.api.objects import Obj, metadata

if TYPE_CHECKING:
    from lbctl.sandbox.api.fieldsets import Path
    from lbctl.sandbox.api.kinds import Kind

SYSTEM_METADATA = (
    *("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "name"),
    *("namespace", "resourceVersion", "selfLink", "uid"),
)


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, when, by which verb and through which subresource; `applied` holds the fields of an apply."""

    manager: str
    time: str
    subresource: str = ""
    applied: frozenset[Path] | None = None

    @property
    def operation(self) -> str:
        """The verb in the notation of managed fields."""
        return "Update" if self.applied is None else "Apply"


@dataclass(slots=True)
class Owner:
    """The fields of one manager; `same` tells whether two entries are about the same hand."""

    manager: str
    operation: str
    subresource: str
    api_version: str
    time: str
    fields: set[Path] = field(default_factory=set)

    def is_author(self, author: Author) -> bool:
        """Whether a write by `author` belongs to this entry."""
        mine = (self.manager, self.operation, self.subresource)
        return mine == (author.manager, author.operation, author.subresource)

    def as_entry(self) -> Obj:
        """The entry of `managedFields`."""
        shown: Obj = {"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version}
        shown |= {"time": self.time, "fieldsType": "FieldsV1", "fieldsV1": fieldsets.to_tree(self.fields)}
        return shown | ({"subresource": self.subresource} if self.subresource else {})


def owners(obj: Obj) -> list[Owner]:
    """Everybody who owns fields of the object."""
    return [
        Owner(
            manager=entry.get("manager", ""),
            operation=entry.get("operation", ""),
            subresource=entry.get("subresource", ""),
            api_version=entry.get("apiVersion", ""),
            time=entry.get("time", ""),
            fields=set(fieldsets.from_tree(entry.get("fieldsV1", {}))),
        )
        for entry in metadata(obj).get("managedFields", ())
    ]


def owned_part(obj: Obj) -> Obj:
    """The object without the fields that belong to the server."""
    meta = {name: value for name, value in metadata(obj).items() if name not in SYSTEM_METADATA}
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")} | {"metadata": meta}


def record(kind: Kind, new: Obj, old: Obj | None, author: Author) -> None:
    """Note in `new` who changed what since `old`; a client that empties the list starts over."""
    given = metadata(new).get("managedFields")
    kept = owners(old) if old and given != [{}] else []
    node = schema.schema_of(kind)
    before, after = owned_part(old) if old else {"metadata": {}}, owned_part(new)
    touched = set(fieldsets.changed(node, after, before)) - {("f:metadata",)}
    gone = set(fieldsets.changed(node, before, after)) - touched if old else set()
    mine = touched if author.applied is None else set(author.applied)
    if not mine and not gone and author.applied is None:
        _write(new, kept)
        return
    _write(
        new,
        _reassigned(kept, author, mine=mine, lost=mine if author.applied is None else touched, gone=gone, kind=kind),
    )


def _reassigned(
    kept: list[Owner], author: Author, *, mine: set[Path], lost: set[Path], gone: set[Path], kind: Kind
) -> list[Owner]:
    own = next((owner for owner in kept if owner.is_author(author)), None)
    if own is None:
        own = Owner(author.manager, author.operation, author.subresource, kind.api_version, author.time)
        kept = [*kept, own]
    for owner in kept:
        owner.fields -= gone
        if owner is not own:
            owner.fields -= lost
    former = set(own.fields)
    own.fields = mine if author.applied is not None else own.fields | mine
    if own.fields != former or mine:
        own.time = author.time
    return [owner for owner in kept if owner.fields]


def _write(obj: Obj, entries: list[Owner]) -> None:
    meta = metadata(obj)
    meta.pop("managedFields", None)
    if entries:
        meta["managedFields"] = [owner.as_entry() for owner in entries]
