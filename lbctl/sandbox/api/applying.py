"""Server-side apply: merges what a manager declares, removes what it declared before and no longer does.

A field that another manager owns with another value is a conflict, unless forced. Source of the rules: the published
description of server-side apply and structured-merge-diff. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbctl.sandbox.api import fieldsets, schema
from lbctl.sandbox.api.ownership import Author, Owner, owned_part, owners
from lbctl.sandbox.api.status import Refusal

if TYPE_CHECKING:
    from lbctl.sandbox.api.fieldsets import Path
    from lbctl.sandbox.api.kinds import Kind
    from lbctl.sandbox.api.objects import Json, Obj


def applied_fields(kind: Kind, config: Obj) -> frozenset[Path]:
    """The fields that an applied configuration declares."""
    declared = owned_part(config)
    return frozenset(
        path for path in fieldsets.paths(schema.schema_of(kind), declared) if path not in ((), ("f:metadata",))
    )


def apply(kind: Kind, live: Obj, config: Obj, *, author: Author, force: bool) -> Obj:
    """`live` as the manager wants it; raises Refusal 409 with one cause a field that somebody else owns."""
    assert author.applied is not None
    node, everyone = schema.schema_of(kind), owners(live)
    others = [owner for owner in everyone if not owner.is_author(author)]
    if not force:
        _refuse_conflicts(node, live, config, author=author, others=others)
    former = {path for owner in everyone if owner.is_author(author) for path in owner.fields}
    kept = {path for owner in others for path in owner.fields}
    merged: Obj = merge(node, live, config)
    return remove(node, merged, former - author.applied - kept) or {}


def merge(node: Obj, live: Json, config: Json) -> Json:
    """Both in one value: maps and keyed lists part by part, everything else as configured."""
    if schema.is_atomic(node) or type(live) is not type(config):
        return config
    if isinstance(config, dict):
        return live | {name: _merge_member(node, live, name, value) for name, value in config.items()}
    if isinstance(config, list):
        return _merge_list(node, live, config)
    return config


def _merge_member(node: Obj, live: Obj, name: str, value: Json) -> Json:
    inner = schema.member(node, name)
    return merge(inner, live[name], value) if inner is not None and name in live else value


def _merge_list(node: Obj, live: list[Json], config: list[Json]) -> list[Json]:
    inner = schema.items(node)
    wanted = {fieldsets.element(node, item): item for item in config}
    found = []
    for item in live:
        mine = wanted.pop(fieldsets.element(node, item), None)
        found.append(item if mine is None else merge(inner, item, mine))
    return found + list(wanted.values())


def remove(node: Obj, value: Json, gone: set[Path]) -> Json:
    """`value` without the given paths and without what became empty by it; None when nothing is left."""
    if not gone:
        return value
    if () in gone:
        return None
    parts = fieldsets.children(node, value)
    if parts is None:
        return value
    kept = []
    for name, inner, item in parts:
        left = remove(inner, item, {path[1:] for path in gone if path[0] == name})
        if left is not None:
            kept.append((name.removeprefix("f:"), left))
    if not kept:
        return None
    return dict(kept) if isinstance(value, dict) else [item for _, item in kept]


def _refuse_conflicts(node: Obj, live: Obj, config: Obj, *, author: Author, others: list[Owner]) -> None:
    assert author.applied is not None
    differing = set(fieldsets.changed(node, owned_part(config), owned_part(live))) & author.applied
    found = [(owner, sorted(differing & owner.fields)) for owner in others if differing & owner.fields]
    if found:
        raise _conflict(found)


def _conflict(found: list[tuple[Owner, list[Path]]]) -> Refusal:
    causes, told, count = [], [], 0
    for owner, paths in found:
        who = _shown_owner(owner)
        count += len(paths)
        causes += [
            {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": fieldsets.shown(path)}
            for path in paths
        ]
        listed = [fieldsets.shown(path) for path in paths]
        told.append(
            f"conflict with {who}: {listed[0]}"
            if len(listed) == 1
            else "\n- ".join([f"conflicts with {who}:", *listed])
        )
    plural = "" if count == 1 else "s"
    text = f"Apply failed with {count} conflict{plural}: " + "\n".join(told)
    return Refusal(409, "Conflict", text, details={"causes": causes})


def _shown_owner(owner: Owner) -> str:
    text = f'"{owner.manager}"' + (f' with subresource "{owner.subresource}"' if owner.subresource else "")
    return text if owner.operation == "Apply" else f"{text} using {owner.api_version}"
