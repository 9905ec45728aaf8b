"""OpenAPI v3 documents, one a group version, as kubectl needs them to validate, explain and merge.

Made on demand from the published schemas and kept; pure. Paths carry just the operations that kubectl looks at: which
kind a PATCH is for and that it takes `fieldValidation`.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING

from lbctl.sandbox.api import schema
from lbctl.sandbox.api.kinds import GROUP_VERSIONS, KINDS, Kind
from lbctl.sandbox.api.objects import Obj, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

QUERY = ("dryRun", "fieldManager", "fieldValidation", "force", "pretty")
PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
REFERENCE = re.compile(rb'"#/components/schemas/([^"]+)"')


@functools.cache
def index() -> bytes:
    """/openapi/v3: where each document is, under a hash that lets clients keep it."""
    return encode(
        {
            "paths": {
                _root(group, version): {"serverRelativeURL": _address(group, version)}
                for group, version in GROUP_VERSIONS
            }
        }
    )


@functools.cache
def document(group: str, version: str) -> bytes | None:
    """/openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION; None for what is not served."""
    kinds = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    if not kinds:
        return None
    names = _closure(
        [schema.definition_name(kind.group, kind.version, kind.kind) for kind in kinds]
        + [schema.META + "DeleteOptions"]
    )
    schemas = {name: schema.definitions()[name] for name in names}
    paths = {path: item for kind in kinds for path, item in _paths(kind)}
    info = {"title": "Kubernetes", "version": "v1.37.0"}
    return encode({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}})


def _root(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _address(group: str, version: str) -> str:
    digest = hashlib.sha512(document(group, version) or b"").hexdigest().upper()
    return f"/openapi/v3/{_root(group, version)}?hash={digest}"


def _closure(roots: Iterable[str]) -> list[str]:
    """The definitions that the given ones refer to, directly or not."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [reference.decode() for reference in REFERENCE.findall(encode(schema.definitions()[name]))]
    return sorted(found)


def _paths(kind: Kind) -> list[tuple[str, Obj]]:
    base = (
        f"/{_root(kind.group, kind.version)}/" + ("namespaces/{namespace}/" if kind.namespaced else "") + kind.resource
    )
    made = base, {"post": _operation(kind, "post", ("application/json",))}
    if kind.create_only:
        return [made]
    one = {"patch": _operation(kind, "patch", PATCH_TYPES), "put": _operation(kind, "put", ("application/json",))}
    parts = [(f"{base}/{{name}}/status", one)] if kind.status else []
    return [made, (f"{base}/{{name}}", one), *parts]


def _operation(kind: Kind, action: str, types: tuple[str, ...]) -> Obj:
    name = schema.definition_name(kind.group, kind.version, kind.kind)
    body = {"content": {media: {"schema": {"$ref": schema.REF + name}} for media in types}}
    parameters = [{"name": query, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for query in QUERY]
    about = {"group": kind.group, "kind": kind.kind, "version": kind.version}
    return {
        "parameters": parameters,
        "requestBody": body,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": about,
    }
