"""Upstream's cloud-config, read as it is: an INI file in the gcfg dialect, with one section `[Global]`. Pure.

The keys are the driver's settings with dashes for underscores. What upstream's parser refuses is a fault; a key or
section that is unknown is told apart, because a newer upstream's file must not stop a controller.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SECTION = "global"
TRUE_WORDS = frozenset({"true", "yes", "on", "1"})
FALSE_WORDS = frozenset({"false", "no", "off", "0"})
HEADER = re.compile(r'\[\s*(?P<name>[\w.-]+)(?:\s+"(?P<sub>[^"]*)")?\s*\]\s*(?:[;#].*)?')
VARIABLE = re.compile(r"(?P<key>[A-Za-z][\w-]*)\s*(?:=\s*(?P<value>.*))?")
ESCAPES = {"n": "\n", "t": "\t", "b": "\b", '"': '"', "\\": "\\"}
# What only settings of lbctl's own can say.
NOT_IN_THE_FILE = frozenset({"cloud_config"})


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """The file's values by setting; `faults` cannot be used, `unknown` means nothing here. Both are sentences."""

    values: Mapping[str, Any]
    faults: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def parse_cloud_config(text: str, defaults: Mapping[str, Any]) -> CloudConfig:
    """The file as values of the same types as `defaults`; never raises, and never repeats a value."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    unknown: list[str] = []
    known = defaults.keys() - NOT_IN_THE_FILE
    section = ""
    for number, line in _lines(text):
        if header := HEADER.fullmatch(line):
            section = header["name"].lower()
            unknown += [] if section == SECTION else [f"line {number}: section [{header['name']}] is unknown"]
        elif (variable := VARIABLE.fullmatch(line)) is None:
            faults.append(f"line {number} is neither a section nor key = value")
        elif section == "":
            faults.append(f"line {number}: {variable['key']} stands before any section")
        elif section == SECTION:
            field = variable["key"].lower().replace("-", "_")
            if field not in known:
                unknown.append(f"line {number}: key {variable['key']} is unknown{_nearest(field, known)}")
                continue
            try:
                values[field] = _read(variable["value"], defaults[field])
            except ValueError as error:
                faults.append(f"line {number}: {variable['key']} {error}")
    return CloudConfig(values, tuple(faults), tuple(unknown))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with something on them; a backslash at the end joins the next line."""
    number, held, start = 0, "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        start = start or number
        if raw.endswith("\\") and not raw.endswith("\\\\"):
            held += raw[:-1]
            continue
        line, first = (held + raw).strip(), start
        held, start = "", 0
        if line and line[0] not in ";#":
            yield first, line
    if held.strip():
        yield number, held.strip()


def _read(raw: str | None, default: object) -> object:
    """A key without a value is true, as gcfg has it."""
    text = "true" if raw is None else _unquoted(raw)
    if isinstance(default, bool):
        if text.lower() not in TRUE_WORDS | FALSE_WORDS:
            raise ValueError("is neither true nor false")
        return text.lower() in TRUE_WORDS
    if isinstance(default, int):
        if not text.isdigit():
            raise ValueError("is not a whole number")
        return int(text)
    return text


def _unquoted(text: str) -> str:
    """A value with its quotes and escapes resolved, and without the comment after it."""
    out: list[str] = []
    is_quoted, kept = False, 0
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ESCAPES:
                raise ValueError("has an unknown escape")
            out.append(ESCAPES[escaped])
        elif character == '"':
            is_quoted, kept = not is_quoted, len(out)
        elif character in ";#" and not is_quoted:
            break
        else:
            out.append(character)
    if is_quoted:
        raise ValueError("has a quote that does not end")
    return "".join(out[:kept]) + "".join(out[kept:]).rstrip()


def _nearest(field: str, known: frozenset[str] | set[str]) -> str:
    near = difflib.get_close_matches(field, sorted(known), n=1)
    return f"; did you mean {near[0].replace('_', '-')}?" if near else ""
