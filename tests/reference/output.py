"""The schema of what commands print for programs, from the types that they print."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from lbctl.cli.documents import DOCUMENTS, VERSION, Answer

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ABOUT = (
    "What the commands of lbctl print by -o json and -o yaml. Any document fits the whole; that of one command is "
    "#/$defs/COMMAND, with a hyphen for a blank. Made from the code by `make reference`."
)


def output_schema() -> str:
    """One schema with a definition for each command, and one for each piece of their documents."""
    _, pieces = msgspec.json.schema_components(DOCUMENTS.values(), ref_template="#/$defs/{name}")
    for kind in DOCUMENTS.values():
        if issubclass(kind, Answer):
            pieces[kind.__name__] = _versioned(pieces[kind.__name__])
    commands = {name.replace(" ", "-"): {"$ref": f"#/$defs/{kind.__name__}"} for name, kind in DOCUMENTS.items()}
    schema = {
        "$schema": DIALECT,
        "title": "lbctl",
        "description": ABOUT,
        "anyOf": list({one["$ref"]: one for one in commands.values()}.values()),
        "$defs": commands | dict(sorted(pieces.items())),
    }
    return json.dumps(schema, indent=2) + "\n"


def _versioned(piece: dict[str, Any]) -> dict[str, Any]:
    """A document's definition with the version that is printed first."""
    properties = {"version": {"const": VERSION}} | piece["properties"]
    required = list(dict.fromkeys(("version", *piece["required"])))
    return piece | {"properties": properties, "required": required}
