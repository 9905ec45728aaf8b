"""Makes `lbctl/sandbox/api/fields.json`, the protobuf field numbers of the served kinds, from what kubectl carries.

Go programs built with the Kubernetes API hold the compressed descriptors of its messages. Field numbers never change,
so this is run again only when kinds are added (`python -m tests.api.published_fields PATH_OF_KUBECTL`, 1.25 to 1.33).
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError

from lbctl.sandbox.api.schema import definitions

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Path(__file__).parents[2] / "lbctl" / "sandbox" / "api" / "fields.json"
GZIP, LONGEST = re.compile(rb"\x1f\x8b\x08"), 300_000
LETTERS = {
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_DOUBLE: "double",
}


def descriptors(binary: bytes) -> Iterator[FileDescriptorProto]:
    """Every message description that is found compressed in a program."""
    for found in GZIP.finditer(binary):
        try:
            yield FileDescriptorProto.FromString(zlib.decompressobj(31).decompress(binary[found.start() :][:LONGEST]))
        except (zlib.error, DecodeError):
            continue


def fields_of(message: DescriptorProto) -> dict[str, list[str]]:
    """Name and type by number: `string`, `[]string`, `{}string` for a map, a definition's name for a message."""
    entries = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    return {str(field.number): [field.name, _type(field, entries)] for field in message.field}


def _type(field: FieldDescriptorProto, entries: dict[str, DescriptorProto]) -> str:
    entry = entries.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        return "{}" + _type(entry.field[1], {})
    single = LETTERS.get(field.type) or definition_of(field.type_name.lstrip("."))
    return "[]" + single if field.label == FieldDescriptorProto.LABEL_REPEATED else single


def definition_of(proto_name: str) -> str:
    """The OpenAPI name of a message."""
    return "io.k8s." + proto_name.removeprefix("k8s.io.")


def rendered(binary: bytes) -> str:
    """The file's text: one message a line; those that no served kind can hold are left out."""
    found: dict[str, Any] = {}
    for file in descriptors(binary):
        for message in file.message_type:
            found[definition_of(f"{file.package}.{message.name}")] = fields_of(message)
    reached: set[str] = set()
    waiting = [name for name in definitions() if name in found]
    while waiting:
        name = waiting.pop()
        if name not in reached and name in found:
            reached.add(name)
            waiting += [kind.lstrip("[]{}") for _, kind in found[name].values()]
    lines = [f"{json.dumps(name)}: {json.dumps(found[name], separators=(',', ':'))}" for name in sorted(reached)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(rendered(Path(sys.argv[1]).read_bytes()))
