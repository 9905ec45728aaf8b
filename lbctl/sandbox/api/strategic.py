"""Strategic merge patch: lists merge by the keys that the published schema names, and directives steer the rest.

Directives: `$patch: delete|replace|merge`, `$deleteFromPrimitiveList/NAME`, `$setElementOrder/NAME`, `$retainKeys`.
Source of the rules: apimachinery `util/strategicpatch`. Pure; raises `PatchFault` for what cannot be merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbctl.sandbox.api import schema

if TYPE_CHECKING:
    from lbctl.sandbox.api.objects import Json, Obj

DIRECTIVE, ORDER, DELETE, RETAIN = "$patch", "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"


class PatchFault(Exception):
    """A patch that does not fit the object or contradicts itself."""


def merge(node: Obj, live: Obj, patch: Obj) -> Obj:
    """`live` with `patch` merged in; `live` may be changed."""
    directive = patch.get(DIRECTIVE)
    if directive == "replace":
        return {name: _plain(value) for name, value in patch.items() if name != DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchFault(f"unknown patch type: {directive}")
    _retain(live, patch)
    former = {name: list(value) for name, value in live.items() if isinstance(value, list)}
    for name, value in patch.items():
        if not name.startswith("$"):
            _merge_member(node, live, name, value)
    for name, value in patch.items():
        _follow_deletion(live, name, value)
    for name in patch:
        _arrange_member(node, live, name.removeprefix(ORDER), patch=patch, former=former)
    return live


def _merge_member(node: Obj, live: Obj, name: str, value: Json) -> None:
    inner = schema.member(node, name)
    if value is None:
        live.pop(name, None)
    elif isinstance(value, dict):
        present = live.get(name)
        base = present if isinstance(present, dict) else {}
        merged = merge(inner or {}, base, value)
        if value.get(DIRECTIVE) == "delete":
            live.pop(name, None)
        else:
            live[name] = merged
    elif isinstance(value, list):
        live[name] = _merge_list(inner, live.get(name) or [], value)
    else:
        live[name] = value


def _merge_list(node: Obj | None, live: list[Json], patch: list[Json]) -> list[Json]:
    if not schema.patch_merges(node):
        return [_plain(item) for item in patch if not _is_directive_only(item)]
    assert node is not None
    key = schema.patch_key(node)
    if not key:
        return live + [item for index, item in enumerate(patch) if item not in live and item not in patch[:index]]
    if any(isinstance(item, dict) and item.get(DIRECTIVE) == "replace" for item in patch):
        return [_plain(item) for item in patch if not _is_directive_only(item)]
    return _merge_items(schema.items(node), live, patch, key)


def _merge_items(node: Obj, live: list[Json], patch: list[Json], key: str) -> list[Json]:
    found = list(live)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise PatchFault(f"map: {item!r} does not contain declared merge key: {key}")
        matches = [index for index, present in enumerate(found) if present.get(key) == item[key]]
        if item.get(DIRECTIVE) == "delete":
            found = [present for present in found if present.get(key) != item[key]]
        elif matches:
            found[matches[0]] = merge(node, dict(found[matches[0]]), item)
        else:
            found.append(merge(node, {}, item))
    return found


def _follow_deletion(live: Obj, name: str, value: Json) -> None:
    member = name.removeprefix(DELETE)
    if name.startswith(DELETE) and member in live:
        live[member] = [item for item in live[member] if item not in value]


def _arrange_member(node: Obj, live: Obj, name: str, *, patch: Obj, former: dict[str, list[Json]]) -> None:
    """Put a merged list in order, if it is one: as the client says, or else as its patch lists the items."""
    inner, order = schema.member(node, name), patch.get(ORDER + name, patch.get(name))
    if isinstance(live.get(name), list) and isinstance(order, list) and schema.patch_merges(inner):
        key = schema.patch_key(inner)
        live[name] = _arranged(
            {_identity(item, key): item for item in live[name]},
            former=[_identity(item, key) for item in former.get(name, ())],
            order=[_identity(item, key) for item in order],
        )


def _arranged(items: dict[Json, Json], *, former: list[Json], order: list[Json]) -> list[Json]:
    """Ordered items in their order; the others are kept before those that they stood before, else behind."""
    named = [identity for identity in order if identity in items]
    others = [identity for identity in items if identity not in order]
    arranged = []
    while named and others:
        stood = named[0] in former and others[0] in former
        first = others if stood and former.index(others[0]) < former.index(named[0]) else named
        arranged.append(first.pop(0))
    return [items[identity] for identity in (*arranged, *named, *others)]


def _identity(item: Json, key: str) -> Json:
    return item.get(key) if key and isinstance(item, dict) else item


def _retain(live: Obj, patch: Obj) -> None:
    kept = patch.get(RETAIN)
    if kept is not None:
        for name in [name for name in live if name not in kept]:
            del live[name]


def _is_directive_only(item: Json) -> bool:
    return isinstance(item, dict) and set(item) == {DIRECTIVE}


def _plain(value: Json) -> Json:
    """A patch's value as it is stored: without directives and nulls."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if not name.startswith("$") and item is not None}
    return [_plain(item) for item in value] if isinstance(value, list) else value
