"""The published description of the API: which method a request calls, and whether its parts are as declared.

The document is the one that google-api-python-client ships. It states types, patterns, enums and names; what is
required, immutable or exclusive it says in prose only, which is `rules.py`'s business.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import googleapiclient

from tests.clouds.gce.errors import Refusal, invalid

RESOURCES = (
    "addresses",
    "backendServices",
    "firewalls",
    "forwardingRules",
    "globalOperations",
    "healthChecks",
    "httpHealthChecks",
    "instanceGroups",
    "instances",
    "networkEndpointGroups",
    "networks",
    "projects",
    "regionBackendServices",
    "regionHealthChecks",
    "regionOperations",
    "regions",
    "subnetworks",
    "targetPools",
    "zoneOperations",
    "zones",
)
DOCUMENT = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "compute.v1.json"
INTEGERS = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1)}


@dataclass(frozen=True)
class Method:
    """One method of the API."""

    id: str
    verb: str
    pattern: re.Pattern[str]
    parameters: dict[str, Any]
    request: str
    response: str

    @property
    def name(self) -> str:
        return self.id.split(".")[-1]


@functools.cache
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return loaded


@functools.cache
def methods() -> tuple[Method, ...]:
    found = []
    for resource in RESOURCES:
        for spec in document()["resources"][resource]["methods"].values():
            path = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", spec["flatPath"])
            request, response = spec.get("request", {}).get("$ref", ""), spec.get("response", {}).get("$ref", "")
            found.append(
                Method(
                    spec["id"].removeprefix("compute."),
                    spec["httpMethod"],
                    re.compile(f"/compute/v1/{path}"),
                    spec.get("parameters", {}),
                    request,
                    response,
                )
            )
    return tuple(found)


def find_method(verb: str, path: str) -> tuple[Method, dict[str, str]]:
    for method in methods():
        match = method.pattern.fullmatch(path) if method.verb == verb else None
        if match:
            return method, match.groupdict()
    raise Refusal(404, "notFound", f"no method of the API has {verb} {path}")


def check_parameters(method: Method, path: dict[str, str], query: dict[str, str]) -> None:
    for name, value in {**path, **query}.items():
        if name in document()["parameters"]:
            continue
        spec = method.parameters.get(name)
        if spec is None:
            raise invalid(f"Unknown name {name!r}: Cannot bind query parameter of {method.id}")
        if spec["location"] == "path" and not re.fullmatch(spec.get("pattern", ".*"), value):
            raise invalid(f"Invalid value for field '{name}': {value!r}. Must match {spec['pattern']}")
    missing = [n for n, spec in method.parameters.items() if spec.get("required") and n not in {**path, **query}]
    if missing:
        raise invalid(f"Required parameters {missing} of {method.id} are missing")


def checked(schema: str, value: Any, *, reply: bool = False) -> Any:
    """The value as the schema has it; fields that only the server sets are dropped from requests."""
    return _check({"$ref": schema}, value, schema, reply)


def _check(spec: dict[str, Any], value: Any, where: str, reply: bool) -> Any:
    if "$ref" in spec:
        return _check_object(document()["schemas"][spec["$ref"]], value, where, reply)
    kind = spec.get("type")
    if kind == "object":
        return _check_object(spec, value, where, reply)
    if kind == "array":
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return [_check(spec["items"], item, f"{where}[{index}]", reply) for index, item in enumerate(value)]
    return _check_scalar(spec, value, where)


def _check_object(spec: dict[str, Any], value: Any, where: str, reply: bool) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    known, extra = spec.get("properties", {}), spec.get("additionalProperties")
    clean = {}
    for name, item in value.items():
        declared = known.get(name, extra)
        if declared is None:
            raise invalid(f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field.")
        if reply or not _is_output(declared):
            clean[name] = _check(declared, item, f"{where}.{name}", reply)
    return clean


def _check_scalar(spec: dict[str, Any], value: Any, where: str) -> Any:
    kind, form = spec.get("type"), spec.get("format", "")
    if kind == "boolean" and not isinstance(value, bool):
        raise _wrong(where, value, "true or false")
    if kind == "integer" or (kind == "string" and form in ("int64", "uint64")):
        _check_integer(value, form, where, text=kind == "string")
    elif kind == "string":
        _check_text(spec, value, where)
    elif kind == "number" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise _wrong(where, value, "a number")
    return value


def _check_integer(value: Any, form: str, where: str, *, text: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, str) if text else int):
        raise _wrong(where, value, form or "an integer")
    low, high = INTEGERS.get(form, (-(2**63), 2**64))
    if not low <= int(value) <= high:
        raise _wrong(where, value, form)


def _check_text(spec: dict[str, Any], value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise _wrong(where, value, "text")
    if "enum" in spec and value not in spec["enum"]:
        raise _wrong(where, value, f"one of {spec['enum']}")
    if "pattern" in spec and value and not re.fullmatch(spec["pattern"], value):
        raise _wrong(where, value, f"a match of {spec['pattern']}")


def _is_output(spec: dict[str, Any]) -> bool:
    return bool(spec.get("readOnly")) or "[Output Only]" in spec.get("description", "")


def _wrong(where: str, value: Any, wanted: str) -> Refusal:
    return invalid(f"Invalid value for field '{where}': {value!r}. It must be {wanted}")
