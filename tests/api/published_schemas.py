"""Makes `lbctl/sandbox/api/schemas.json` from the API description that kubernetes-validate ships.

Run by hand when the served Kubernetes release moves (`python -m tests.api.published_schemas`), and by the test that
holds the file to its source. Descriptions are left out: they are four fifths of the bytes, and no rule reads them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from lbctl.sandbox.api.kinds import KINDS

RELEASE = "v1.37.0"
DESCRIPTION = Path(sys.prefix) / "description" / "kubernetes_validate" / "kubernetes-json-schema" / f"{RELEASE}-local"
TARGET = Path(__file__).parents[2] / "lbctl" / "sandbox" / "api" / "schemas.json"
REFERENCE = re.compile(r"#/\$defs/([\w.-]+)")
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
ALWAYS = ("DeleteOptions", "PatchOptions", "Status")


def published_definitions() -> dict[str, Any]:
    """Every published definition by its full name, descriptions included."""
    if not DESCRIPTION.is_dir():
        raise FileNotFoundError(f"no API description in {DESCRIPTION}: make env puts it there")
    return json.loads((DESCRIPTION / "_definitions.json").read_text())["$defs"]


def slim(node: Any) -> Any:
    """The same schema without descriptions and with the plain types of the API (null is the packager's addition)."""
    if isinstance(node, list):
        return [slim(item) for item in node]
    if not isinstance(node, dict):
        return node.replace("#/$defs/", "#/components/schemas/") if isinstance(node, str) else node
    kept = {key: slim(value) for key, value in node.items() if not _is_prose(key, value)}
    if isinstance(kept.get("type"), list):
        kept["type"] = next(name for name in kept["type"] if name != "null")
    return kept


def _is_prose(key: str, value: Any) -> bool:
    return (key == "description" and isinstance(value, str)) or (key == "enum" and isinstance(value, list))


def served_definitions(published: dict[str, Any]) -> dict[str, Any]:
    """The definitions of the served kinds and everything that they refer to."""
    served = [{"group": kind.group, "version": kind.version, "kind": kind.kind} for kind in KINDS]
    waiting = [name for name, body in published.items() if _is_one_of(body, served)] + [META + name for name in ALWAYS]
    found: dict[str, Any] = {}
    while waiting:
        name = waiting.pop()
        if name not in found and name in published:
            found[name] = published[name]
            waiting += REFERENCE.findall(json.dumps(published[name]))
    return found


def _is_one_of(body: Any, served: list[dict[str, str]]) -> bool:
    return any(about in served for about in body.get("x-kubernetes-group-version-kind", ()))


def rendered() -> str:
    """The file's text: one definition a line, so that a new release reads as a diff."""
    chosen = {name: slim(body) for name, body in sorted(served_definitions(published_definitions()).items())}
    lines = [f"{json.dumps(name)}: {json.dumps(body, separators=(',', ':'))}" for name, body in chosen.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(rendered())
