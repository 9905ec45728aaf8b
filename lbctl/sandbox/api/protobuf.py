"""Reads the protobuf bodies that kubectl's typed commands send (`kubectl create namespace`); answers are always JSON.

The field numbers are `fields.json`, names and nesting those of the published schemas. Protobuf cannot tell an unset
value from an empty one, so empty texts, zeros and false are dropped, but where zero is a choice of its own.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import struct
from importlib.resources import files
from typing import TYPE_CHECKING

from lbctl.sandbox.api import schema
from lbctl.sandbox.api.objects import Json, Obj, decode, seconds_text
from lbctl.sandbox.api.status import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
VARINT, FIXED64, LENGTH = 0, 1, 2
CHOSEN_ZEROS = ("replicas", "allocateLoadBalancerNodePorts", "automountServiceAccountToken", "enableServiceLinks")
RUNTIME, META = "io.k8s.apimachinery.pkg.runtime.", schema.META


@functools.cache
def messages() -> dict[str, dict[str, tuple[str, str]]]:
    """Name and type of each field, by message and number."""
    found: dict[str, dict[str, tuple[str, str]]] = decode(files(__package__).joinpath("fields.json").read_bytes())
    return found


def parse_protobuf(body: bytes) -> Obj:
    """The object in an enveloped protobuf body; raises Refusal 400 for anything else."""
    if not body.startswith(MAGIC):
        raise bad_request("the provided data does not appear to be a protobuf message, expected prefix k8s\\0")
    try:
        envelope = dict(_fields(body[len(MAGIC) :]))
        about = {number: value.decode() for number, value in _fields(envelope[1])}
        group_version, kind = about.get(1, ""), about.get(2, "")
        group, _, version = group_version.rpartition("/")
        definition = schema.definition_name(group, version, kind)
        made: Obj = _message(definition, envelope[2])
    except (KeyError, IndexError, ValueError, struct.error) as error:
        raise bad_request(f"unable to decode the protobuf body: {error!r}") from error
    return {"apiVersion": group_version, "kind": kind} | made


def _message(definition: str, data: bytes) -> Json:
    special = SPECIAL.get(definition)
    if special is not None:
        return special(data)
    known = messages()[definition]
    shown = schema.definitions().get(definition, {}).get("properties", {})
    found: Obj = {}
    for number, raw in _fields(data):
        if str(number) not in known:
            continue
        name, kind = known[str(number)]
        value = _value(kind.lstrip("[]{}"), raw) if not kind.startswith("{}") else _entry(kind[2:], raw)
        if kind.startswith("[]"):
            found.setdefault(name, []).append(value)
        elif kind.startswith("{}"):
            found.setdefault(name, {}).update(value)
        elif shown and name not in shown and isinstance(value, dict):
            # A member that JSON does not know is a struct whose members Go inlines there.
            found |= value
        elif value or name in CHOSEN_ZEROS or isinstance(value, dict):
            found[name] = value
    return {name: value for name, value in found.items() if value is not None}


def _value(kind: str, raw: Json) -> Json:
    scalar = SCALARS.get(kind)
    return scalar(raw) if scalar is not None else _message(kind, raw)


def _entry(kind: str, data: bytes) -> Obj:
    parts = dict(_fields(data))
    missing: Json = b"" if SCALARS.get(kind) not in (_integer, bool) else 0
    return {parts.get(1, b"").decode(): _value(kind, parts.get(2, missing))}


def _fields(data: bytes) -> Iterator[tuple[int, Json]]:
    """Number and raw value of each field, in order."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, form = tag >> 3, tag & 7
        if form == VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        size, position = (8, position) if form == FIXED64 else _varint(data, position)
        if form not in (FIXED64, LENGTH) or position + size > len(data):
            raise ValueError(f"field {number} has an unknown form or is cut off")
        yield number, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that another byte follows
            return value, position


def _integer(raw: int) -> int:
    return raw - 2**64 if raw >= 2**63 else raw


def _time(data: bytes, *, digits: bool = False) -> str | None:
    parts = dict(_fields(data))
    if not parts.get(1):
        return None
    moment = dt.datetime.fromtimestamp(_integer(parts[1]), dt.UTC)
    return f"{seconds_text(moment)[:-1]}.{parts.get(2, 0) // 1000:06d}Z" if digits else seconds_text(moment)


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    return _integer(parts.get(2, 0)) if not parts.get(1) else str(parts.get(3, b"").decode())


def _only_text(data: bytes) -> str:
    return str(dict(_fields(data)).get(1, b"").decode())


def _only_json(data: bytes) -> Json:
    raw = dict(_fields(data)).get(1, b"")
    return decode(raw) if raw else None


SCALARS: dict[str, Callable[[Json], Json]] = {
    "string": lambda raw: raw.decode(),
    "bytes": lambda raw: base64.b64encode(raw).decode(),
    "bool": bool,
    "int": _integer,
    "double": lambda raw: struct.unpack("<d", raw)[0],
}
SPECIAL: dict[str, Callable[[bytes], Json]] = {
    META + "Time": _time,
    META + "MicroTime": functools.partial(_time, digits=True),
    META + "FieldsV1": _only_json,
    RUNTIME + "RawExtension": _only_json,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _only_text,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
}
