"""Answers list requests: which revision, which page, which bytes.

Pages are consistent: a continued list is read as of the revision of its first page, from the store's recent past.
Pure over the store.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from lbctl.sandbox.api.objects import Obj, decode, encode
from lbctl.sandbox.api.selectors import Selector
from lbctl.sandbox.api.status import Problems, Refusal, bad_request, expired, invalid_options, too_large_revision

if TYPE_CHECKING:
    from lbctl.sandbox.api.kinds import Kind
    from lbctl.sandbox.api.store import Entry, Key, Store

TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
CURRENT = -1


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list request asks for, as it came."""

    selector: Selector = field(default_factory=Selector)
    limit: int = 0
    continued: str = ""
    revision: str = ""
    match: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Objects and the list's metadata."""

    entries: list[Entry]
    metadata: Obj


def read_page(store: Store, kind: Kind, namespace: str, options: ListOptions) -> Page:
    """One page; raises Refusal 400, 410 (the revision is forgotten) or 504 (it is still to come)."""
    revision, start = _position(store, kind, options)
    shown = store.revision if revision is None else revision
    entries = store.entries(kind.storage, namespace, revision=revision)
    if start is not None:
        entries = [entry for entry in entries if entry.key >= start]
    if options.selector:
        entries = [entry for entry in entries if options.selector.accepts(entry.value)]
    limit = 0 if options.revision == "0" else options.limit
    metadata: Obj = {"resourceVersion": str(shown)}
    if limit and len(entries) > limit:
        metadata["continue"] = _token(shown, entries[limit].key)
        if not options.selector:
            metadata["remainingItemCount"] = len(entries) - limit
        entries = entries[:limit]
    return Page(entries, metadata)


def parse_revision(text: str, *, watch: bool = False) -> int:
    """A resourceVersion of a request; raises Refusal 400 for what is no number, and 500 where a watch asks."""
    if not text or text.isdecimal():
        return int(text or 0)
    why = f'resourceVersion: Invalid value: "{text}"'
    raise Refusal(500, "", why) if watch else bad_request(f"invalid resource version: {why}")


def _position(store: Store, kind: Kind, options: ListOptions) -> tuple[int | None, Key | None]:
    if options.continued:
        return _continued(store, kind, options)
    asked = parse_revision(options.revision)
    _check_match(options)
    if asked > store.revision:
        raise too_large_revision(asked, store.revision)
    exact = options.match == "Exact" or (asked and options.limit and not options.match)
    return (asked if exact else None), None


def _check_match(options: ListOptions) -> None:
    problems = Problems()
    if options.match and not options.revision:
        problems.forbidden(
            "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
        )
    elif options.match not in ("", "Exact", "NotOlderThan"):
        problems.unsupported("resourceVersionMatch", options.match, ("Exact", "NotOlderThan"))
    elif options.match == "Exact" and options.revision == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        problems.forbidden("resourceVersionMatch", why)
    if problems.causes:
        raise invalid_options("ListOptions", problems.causes)


def _continued(store: Store, kind: Kind, options: ListOptions) -> tuple[int | None, Key]:
    if options.revision not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    revision, start = _read_token(options.continued)
    if revision == CURRENT:
        return None, start
    try:
        store.check_kept(kind.storage, revision)
    except Refusal as gone:
        refusal = expired(TOO_OLD)
        refusal.list_metadata = {"continue": _token(CURRENT, start)}
        raise refusal from gone
    return revision, start


def _token(revision: int, start: Key) -> str:
    return base64.urlsafe_b64encode(encode({"v": "meta.k8s.io/v1", "rv": revision, "start": start})).decode()


def _read_token(text: str) -> tuple[int, Key]:
    try:
        found = decode(base64.urlsafe_b64decode(text))
        namespace, name = found["start"]
        return int(found["rv"]), (namespace, name)
    except (binascii.Error, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
