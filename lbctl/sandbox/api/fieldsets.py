"""Sets of fields, as server-side apply sees them: which paths an object holds, which differ between two objects.

A path is a tuple of elements in the notation of FieldsV1: `f:spec`, `k:{"port":80,"protocol":"TCP"}`, `v:"x"`. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lbctl.sandbox.api import schema
from lbctl.sandbox.api.objects import Json, Obj, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

Path: TypeAlias = tuple[str, ...]
SELF = "."


def children(node: Obj, value: Json) -> list[tuple[str, Obj, Json]] | None:
    """The parts of a value that are owned one by one: path element, schema and value; None for an atomic value."""
    if schema.is_atomic(node):
        return None
    if isinstance(value, dict):
        return [(f"f:{name}", schema.member(node, name) or {}, inner) for name, inner in value.items()]
    if isinstance(value, list):
        return [(element(node, item), schema.items(node), item) for item in value]
    return None


def element(node: Obj, item: Json) -> str:
    """The path element of a list's item: its keys, or its value in a set."""
    keys = schema.map_keys(node)
    if not keys:
        return "v:" + encode(item).decode()
    identity = schema.default_of(keys, item)
    return "k:" + encode({key: identity[key] for key in sorted(identity) if identity[key] is not None}).decode()


def paths(node: Obj, value: Json, at: Path = ()) -> Iterator[Path]:
    """Every path that `value` holds: its leaves, and each item of a list besides."""
    parts = children(node, value)
    if not parts:
        yield at
        return
    if at and at[-1].startswith("k:"):
        yield at
    for name, inner, item in parts:
        yield from paths(inner, item, (*at, name))


def changed(node: Obj, new: Json, old: Json, at: Path = ()) -> Iterator[Path]:
    """The paths of `new` that are not in `old` or hold something else there; looks only where the two differ."""
    if new == old:
        return
    parts, former = children(node, new), children(node, old)
    if parts is None or former is None or not parts:
        yield from paths(node, new, at)
        return
    known = {name: item for name, _, item in former}
    for name, inner, item in parts:
        if name in known:
            yield from changed(inner, item, known[name], (*at, name))
        else:
            yield from paths(inner, item, (*at, name))


def to_tree(found: set[Path]) -> Obj:
    """FieldsV1 of a set of paths."""
    tree: Obj = {}
    for path in sorted(found):
        branch = tree
        for name in path:
            branch = branch.setdefault(name, {})
    _mark_inner(tree, found, ())
    return tree


def from_tree(tree: Obj, at: Path = ()) -> Iterator[Path]:
    """The paths of a FieldsV1 tree."""
    for name, inner in tree.items():
        if name == SELF:
            yield at
        elif inner:
            yield from from_tree(inner, (*at, name))
        else:
            yield (*at, name)


def _mark_inner(tree: Obj, found: set[Path], at: Path) -> None:
    """Mark the branches that are members themselves, as leaves need no mark."""
    for name, inner in tree.items():
        _mark_inner(inner, found, (*at, name))
    if at and tree and at in found:
        tree[SELF] = {}


def shown(path: Path) -> str:
    """A path as conflicts print it: `.spec.ports[port=80,protocol="TCP"].name`."""
    return "".join(_shown_element(name) for name in path)


def _shown_element(name: str) -> str:
    form, _, rest = name.partition(":")
    if form == "f":
        return f".{rest}"
    if form == "v":
        return f"[={rest}]"
    keys = decode(rest)
    return "[" + ",".join(f"{key}={encode(value).decode()}" for key, value in keys.items()) + "]"
