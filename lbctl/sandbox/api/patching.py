"""The four patch formats, behind one function that says what an object becomes.

Called by the HTTP side for PATCH. JSON patch is the library's; JSON merge patch is RFC 7386. What a patch makes is read
like a body: unknown members are reported and wrong types refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonpatch

from lbctl.sandbox.api import decoding, schema, strategic
from lbctl.sandbox.api.status import Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbctl.sandbox.api.kinds import Kind
    from lbctl.sandbox.api.objects import Json, Obj

JSON, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
FORMATS = (JSON, MERGE, STRATEGIC, APPLY)


def patched(kind: Kind, live: Obj, patch: Json, content_type: str) -> Json:
    """`live` after the patch, not yet read against the schema; raises Refusal 400 or 422."""
    return PATCHES[content_type](kind, live, patch)


def merged(live: Json, patch: Json) -> Json:
    """JSON merge patch: null removes, mappings merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    base = dict(live) if isinstance(live, dict) else {}
    for name, value in patch.items():
        if value is None:
            base.pop(name, None)
        else:
            base[name] = merged(base.get(name), value)
    return base


def read_patched(kind: Kind, tree: Json, *, warn: Callable[[str], None], field_validation: str) -> Obj:
    """What a patch made, read against the schema; a misfit is 422 here, as the object and not the body is wrong."""
    try:
        return decoding.read(kind, tree, warn=warn, field_validation=field_validation)
    except Refusal as refusal:
        cause = {"reason": "FieldValueInvalid", "message": f"Invalid value: {refusal}", "field": "patch"}
        raise Refusal(
            422, "Invalid", f' "" is invalid: patch: {cause["message"]}', details={"causes": [cause]}
        ) from refusal


def _merge_patch(_kind: Kind, live: Obj, patch: Json) -> Json:
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a merge patch is an object")
    return merged(live, patch)


def _strategic_patch(kind: Kind, live: Obj, patch: Json) -> Json:
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a strategic merge patch is an object")
    try:
        return strategic.merge(schema.schema_of(kind), live, patch)
    except strategic.PatchFault as fault:
        raise bad_request(str(fault)) from fault


def _json_patch(_kind: Kind, live: Obj, patch: Json) -> Json:
    try:
        return jsonpatch.JsonPatch(patch).apply(live)
    except jsonpatch.InvalidJsonPatch as fault:
        raise bad_request(f"error decoding patch: {fault}") from fault
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as fault:
        raise Refusal(
            422, "Invalid", f"the server rejected our request due to an error in our request: {fault}", details={}
        ) from fault


PATCHES: dict[str, Callable[[Kind, Obj, Json], Json]] = {
    JSON: _json_patch,
    MERGE: _merge_patch,
    STRATEGIC: _strategic_patch,
}
