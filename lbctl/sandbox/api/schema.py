"""The published schema of every served kind: which members exist, how lists merge.

The data is `schemas.json`, made from the Kubernetes API description. Decoding, patches, server-side apply and
OpenAPI walk it through the few questions below; nothing here knows an object.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import TYPE_CHECKING

from lbctl.sandbox.api.objects import Json, Obj, decode

if TYPE_CHECKING:
    from lbctl.sandbox.api.kinds import Kind

REF = "#/components/schemas/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."


@functools.cache
def definitions() -> dict[str, Obj]:
    """All definitions by their published name."""
    found: dict[str, Obj] = decode(files(__package__).joinpath("schemas.json").read_bytes())
    return found


@functools.cache
def definition_name(group: str, version: str, kind: str) -> str:
    """The published name of a kind's definition."""
    wanted = {"group": group, "version": version, "kind": kind}
    for name, body in definitions().items():
        if wanted in body.get("x-kubernetes-group-version-kind", ()):
            return name
    raise KeyError(f"no published definition of {kind} in {group}/{version}: make schemas.json again")


def schema_of(kind: Kind) -> Obj:
    """The definition of a served kind."""
    return definitions()[definition_name(kind.group, kind.version, kind.kind)]


def type_name(node: Obj) -> str:
    """The short name of the definition that `node` refers to, or its plain type."""
    reference = node.get("$ref", "")
    return str(reference.rpartition(".")[2] or node.get("format") or node.get("type", ""))


def resolve(node: Obj) -> Obj:
    """The schema itself, with one reference followed; the strategy hints stay on the node that refers."""
    reference = node.get("$ref")
    return definitions()[reference.removeprefix(REF)] if reference else node


def member(node: Obj, name: str) -> Obj | None:
    """The schema of one member of a struct or map; None where none may exist."""
    shape = resolve(node)
    found: Obj | None = shape.get("properties", {}).get(name)
    return found if found is not None else shape.get("additionalProperties")


def is_open(node: Obj) -> bool:
    """Whether anything may be inside: the schema of raw JSON (ControllerRevision data, managed fields)."""
    shape = resolve(node)
    return "properties" not in shape and "additionalProperties" not in shape and shape.get("type") in (None, "object")


def is_struct(node: Obj) -> bool:
    """Whether the members are named by the schema; an empty struct means something, an empty map does not."""
    return "properties" in resolve(node)


def items(node: Obj) -> Obj:
    """The schema of a list's items."""
    found: Obj = resolve(node).get("items", {})
    return found


def patch_key(node: Obj | None) -> str:
    """The member by which a strategic merge patch matches items of this list; empty for plain values."""
    return str((node or {}).get("x-kubernetes-patch-merge-key", ""))


def patch_merges(node: Obj | None) -> bool:
    """Whether a strategic merge patch merges into this list, where it would otherwise replace it."""
    return "merge" in str((node or {}).get("x-kubernetes-patch-strategy", "")).split(",")


def map_keys(node: Obj) -> tuple[str, ...]:
    """The members that identify an item in server-side apply; empty unless the list is a map."""
    return tuple(node.get("x-kubernetes-list-map-keys", ())) if node.get("x-kubernetes-list-type") == "map" else ()


def is_set(node: Obj) -> bool:
    """Whether server-side apply owns this list value by value."""
    return node.get("x-kubernetes-list-type") == "set"


def is_atomic(node: Obj) -> bool:
    """Whether server-side apply owns this node as one value."""
    shape = resolve(node)
    if "items" in node or "items" in shape:
        return not map_keys(node) and not is_set(node)
    return "atomic" in (node.get("x-kubernetes-map-type"), shape.get("x-kubernetes-map-type")) or is_open(node)


def default_of(keys: tuple[str, ...], item: Json) -> Obj:
    """The identifying members of a list item, with the one default that the API has for such a key."""
    return {key: item.get(key, "TCP" if key == "protocol" else None) for key in keys}
