"""Reads request bodies: JSON or YAML into an object that holds only what its schema knows, in canonical form.

What Go's decoder does silently is done here too: null and empty lists vanish, times lose their fraction. Unknown
members are reported, ignored or refused as `fieldValidation` asks; a value of the wrong type is always refused.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import yaml

from lbctl.sandbox.api import schema
from lbctl.sandbox.api.objects import Json, Obj, decode, seconds_text
from lbctl.sandbox.api.protobuf import CONTENT_TYPE, parse_protobuf
from lbctl.sandbox.api.status import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbctl.sandbox.api.kinds import Kind

MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
INT32 = 2**31


class WrongType(Exception):
    """A value that does not fit its field."""


@dataclass(slots=True)
class Reading:
    """One body while it is read: which members nobody knows, and where we are."""

    kind: str
    unknown: list[str] = field(default_factory=list)

    def value(self, node: Obj, value: Json, path: str) -> Json:
        """`value` in canonical form; None when nothing of it remains.

        Raises WrongType at the first value that does not fit.
        """
        shape = schema.resolve(node)
        if value is None or schema.is_open(node):
            return value
        scalar = SCALARS.get(schema.type_name(node)) or SCALARS.get(shape.get("type", ""))
        if scalar is not None:
            return scalar(self, value, path)
        if shape.get("type") == "array":
            return self._array(node, value, path)
        return self._object(node, value, path)

    def wrong(self, value: Json, path: str, wanted: str) -> WrongType:
        """The words of Go's decoder for a misfit."""
        return WrongType(
            f"json: cannot unmarshal {_go_name(value)} into Go struct field {self.kind}{path} of type {wanted}"
        )

    def _array(self, node: Obj, value: Json, path: str) -> Json:
        if not isinstance(value, list):
            raise self.wrong(value, path, "[]" + schema.type_name(schema.items(node)))
        inner = schema.items(node)
        return [self.value(inner, item, path) for item in value if item is not None] or None

    def _object(self, node: Obj, value: Json, path: str) -> Json:
        if not isinstance(value, dict):
            raise self.wrong(value, path, schema.type_name(node))
        if not schema.is_struct(node):
            return self._map(node, value, path)
        found = {}
        for name, inner in value.items():
            known = schema.member(node, name)
            if known is None:
                self.unknown.append(f"{path}.{name}".lstrip("."))
                continue
            if (kept := self.value(known, inner, f"{path}.{name}")) is not None:
                found[name] = kept
        return found

    def _map(self, node: Obj, value: Obj, path: str) -> Json:
        inner = schema.resolve(node)["additionalProperties"]
        read = {name: self.value(inner, item, path) for name, item in value.items()}
        # A null in a map of strings is Go's zero value: the empty string.
        return {name: "" if item is None else item for name, item in read.items()} or None


def _string(reading: Reading, value: Json, path: str) -> Json:
    if not isinstance(value, str):
        raise reading.wrong(value, path, "string")
    return value


def _boolean(reading: Reading, value: Json, path: str) -> Json:
    if not isinstance(value, bool):
        raise reading.wrong(value, path, "bool")
    return value


def _integer(reading: Reading, value: Json, path: str) -> Json:
    if isinstance(value, bool) or not isinstance(value, int):
        raise reading.wrong(value, path, "int64")
    return value


def _int32(reading: Reading, value: Json, path: str) -> Json:
    if isinstance(value, bool) or not isinstance(value, int) or not -INT32 <= value < INT32:
        raise reading.wrong(value, path, "int32")
    return value


def _number(reading: Reading, value: Json, path: str) -> Json:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise reading.wrong(value, path, "float64")
    return value


def _int_or_string(reading: Reading, value: Json, path: str) -> Json:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise reading.wrong(value, path, "intstr.IntOrString")
    return value


def _quantity(reading: Reading, value: Json, path: str) -> Json:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise reading.wrong(value, path, "resource.Quantity")
    return str(value)


def _time(_reading: Reading, value: Json, _path: str) -> Json:
    try:
        return seconds_text(dt.datetime.fromisoformat(value))
    except (TypeError, ValueError) as error:
        raise WrongType(f'parsing time {value!r} as "2006-01-02T15:04:05Z07:00": cannot parse {value!r}') from error


def _micro_time(_reading: Reading, value: Json, _path: str) -> Json:
    if not isinstance(value, str) or not MICRO_TIME.fullmatch(value):
        raise WrongType(f'parsing time {value!r} as "2006-01-02T15:04:05.000000Z07:00": cannot parse {value!r}')
    return value


SCALARS: dict[str, Callable[[Reading, Json, str], Json]] = {
    "string": _string,
    "byte": _string,
    "boolean": _boolean,
    "integer": _integer,
    "int64": _integer,
    "int32": _int32,
    "number": _number,
    "IntOrString": _int_or_string,
    "Quantity": _quantity,
    "Time": _time,
    "MicroTime": _micro_time,
}
GO_NAMES: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def _go_name(value: Json) -> str:
    name = GO_NAMES.get(type(value), "value")
    return f"{name} {value}" if name == "number" else name


def parse(body: bytes, content_type: str) -> Json:
    """The body as a JSON tree, from JSON, YAML or protobuf as the content type says; raises Refusal 400."""
    if content_type == CONTENT_TYPE:
        return parse_protobuf(body)
    try:
        return yaml.safe_load(body) if "yaml" in content_type else decode(body)
    except (msgspec.DecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        text = f"couldn't get version/kind; json parse error: {error}"
        raise bad_request(f"the object provided is unrecognized: {text}") from error


def read(kind: Kind, tree: Json, *, warn: Callable[[str], None], field_validation: str = "") -> Obj:
    """The object in canonical form, without kind and apiVersion.

    Raises Refusal 400 for another kind than the URL's, for a wrong type, and for unknown members when
    `field_validation` is Strict; calls `warn` for each of them when it is Warn or empty.
    """
    if not isinstance(tree, dict):
        raise bad_request(f"json: cannot unmarshal {_go_name(tree)} into Go value of type {kind.version}.{kind.kind}")
    _refuse_other_kind(kind, tree)
    reading = Reading(kind.kind)
    try:
        found: Obj = reading.value(schema.schema_of(kind), tree, "")
    except WrongType as error:
        raise bad_request(_cannot_be_handled(kind, str(error))) from error
    _report(kind, reading.unknown, warn=warn, field_validation=field_validation)
    return {name: value for name, value in found.items() if name not in ("kind", "apiVersion")}


def _refuse_other_kind(kind: Kind, tree: Obj) -> None:
    given = (tree.get("apiVersion") or kind.api_version, tree.get("kind") or kind.kind)
    if given != (kind.api_version, kind.kind):
        version = str(given[0]).rpartition("/")[2]
        why = f"converting ({version}.{given[1]}) to (core.{kind.kind}): unknown conversion"
        raise bad_request(f'{given[1]} in version "{version}" cannot be handled as a {kind.kind}: {why}')


def _cannot_be_handled(kind: Kind, why: str) -> str:
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}'


def _report(kind: Kind, unknown: list[str], *, warn: Callable[[str], None], field_validation: str) -> None:
    told = [f'unknown field "{path}"' for path in unknown]
    if told and field_validation == "Strict":
        raise bad_request(_cannot_be_handled(kind, f"strict decoding error: {', '.join(told)}"))
    if field_validation != "Ignore":
        for text in told:
            warn(text)
