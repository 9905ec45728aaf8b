"""The published description of the API (`listApis`), and the check of every request against it.

The data is that of CloudStack 4.18 with the parameters that 4.22 adds. The real server ignores unknown parameters; this
one refuses them, since a parameter without effect is a fault of the caller.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from tests.clouds.cloudstack.refusals import invalid, unavailable

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PROTOCOL_PARAMETERS = frozenset(
    {"command", "apikey", "response", "signature", "signatureversion", "expires", "page", "pagesize"}
)
MAP_ENTRY = re.compile(r"(?P<name>\w+)\[(?P<index>\d+)\]\.(?P<field>\w+)")
INTEGER, BOOLEAN = re.compile(r"-?\d+"), re.compile("true|false")


@cache
def published() -> dict[str, Any]:
    """Every described command by name."""
    document = json.loads((Path(__file__).parent / "listapis.json").read_text())
    commands: dict[str, Any] = document["commands"]
    return commands


RELEASES = ("4.17", "4.18", "4.22", "next")
# What pull request 14131 adds to rules; no release has it yet.
NEXT = {"idletimeout": {"t": "long", "r": False, "src": "next"}}


def _first_release(parameter: dict[str, Any]) -> str:
    if parameter.get("src") == "next":
        return "next"
    if parameter.get("src") == "sdk":
        return "4.22"
    return "4.18" if parameter.get("since", "").startswith("4.18") else "4.17"


class Catalog:
    """The commands of one of the `RELEASES`; `forbidden` are those that the account's role lacks."""

    def __init__(self, release: str = "4.22") -> None:
        self.release = release
        self._age = RELEASES.index(release)
        self.forbidden: set[str] = {"listManagementServersMetrics", "listManagementServers"}
        self._by_lower = {name.lower(): name for name in published()}

    def name_of(self, command: str) -> str:
        """The command as it is spelled; refuses one that is unknown or forbidden."""
        name = self._by_lower.get(command.lower(), "")
        if not name or name in self.forbidden:
            raise unavailable(command)
        return name

    def is_async(self, command: str) -> bool:
        """True when the command answers with a job."""
        return bool(published()[command]["isasync"])

    def parameters(self, command: str) -> dict[str, Any]:
        """The parameters that this release knows."""
        more = NEXT if command in {"createLoadBalancerRule", "updateLoadBalancerRule"} else {}
        known = published()[command]["params"] | more
        return {n: p for n, p in known.items() if RELEASES.index(_first_release(p)) <= self._age}

    def allowed(self) -> list[str]:
        """Every command that the account's role has."""
        return sorted(set(published()) - self.forbidden)

    def describe(self, command: str) -> dict[str, Any]:
        """One entry of the `listApis` answer."""
        entry = published()[command]
        params = [
            {"name": name, "type": p["t"], "required": p["r"], "since": p.get("since", "")}
            for name, p in self.parameters(command).items()
        ]
        return {"name": command, "isasync": entry["isasync"], "params": params}

    def read(self, command: str, raw: dict[str, str]) -> dict[str, Any]:
        """The request's arguments with their types; refuses unknown, missing and malformed ones."""
        known = self.parameters(command)
        values: dict[str, Any] = {}
        for key, text in raw.items():
            name = key.lower()
            entry = MAP_ENTRY.fullmatch(name)
            if name in PROTOCOL_PARAMETERS:
                continue
            parameter = known.get(entry["name"] if entry else name)
            if parameter is None:
                raise invalid(f"{command} has no parameter {key} in {self.release}")
            if entry:
                _put(values.setdefault(entry["name"], {}), entry, text)
            else:
                values[name] = _typed(name, text, parameter)
        missing = sorted(name for name, p in known.items() if p["r"] and values.get(name) in (None, ""))
        if missing:
            raise invalid(f"Unable to execute API command {command.lower()} due to missing parameter {missing[0]}")
        return {n: list(v.values()) if isinstance(v, dict) else v for n, v in values.items()}


def _put(rows: dict[str, dict[str, str]], entry: re.Match[str], text: str) -> None:
    rows.setdefault(entry["index"], {})[entry["field"]] = text


def _typed(name: str, text: str, parameter: dict[str, Any]) -> Any:
    kind = parameter["t"]
    if len(text) > int(parameter.get("len", 255)) and kind == "string":
        raise invalid(f"Value greater than max allowed length {parameter.get('len', 255)} for param: {name}")
    if kind in {"integer", "long"}:
        return int(_matching(INTEGER, name, text))
    if kind == "boolean":
        return _matching(BOOLEAN, name, text.lower()) == "true"
    if kind == "uuid":
        return text and _matching(UUID, name, text)
    if kind == "list":
        return [item for item in text.split(",") if item]
    return text


def _matching(pattern: re.Pattern[str], name: str, text: str) -> str:
    if not pattern.fullmatch(text):
        raise invalid(f"Unable to parse parameter {name} value={text}")
    return text
