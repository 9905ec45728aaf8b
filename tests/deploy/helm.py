"""The little of Helm's template language that the chart uses, and the real Helm where there is one.

Knows `if`, `else`, `range`, paths, texts, `printf` and a few functions, and fails on everything else, so that the chart
cannot grow beyond what is tested.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.kube_servers import find_binary

TAG = re.compile(r"\{\{(-?)\s*(.*?)\s*\}\}", re.DOTALL)
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[()|]|[^\s()|]+')


NO_HELM = "no helm here: put it on PATH, or into the folder that KUBEBUILDER_ASSETS names"


def find_helm() -> str | None:
    """The real one."""
    return shutil.which("helm") or find_binary("helm")


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What the real Helm says."""
    return subprocess.run([str(find_helm()), *arguments], capture_output=True, text=True, check=False)


def helm_template(chart: Path, values: list[Path], *, namespace: str, sets: tuple[str, ...] = ()) -> list[Any]:
    """What the real Helm makes of it."""
    command = ["template", "lbctl", str(chart), "--namespace", namespace, "--kube-version", "1.36.0"]
    command += [argument for file in values for argument in ("-f", str(file))]
    command += [argument for one in sets for argument in ("--set", one)]
    done = helm(*command)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def render_chart(chart: Path, values: list[Path], *, namespace: str, sets: dict[str, Any] | None = None) -> list[Any]:
    """What the templates give with these values, later files winning, as Helm merges them."""
    merged: dict[str, Any] = {}
    for file in (chart / "values.yaml", *values):
        _merge(merged, yaml.safe_load(file.read_text()))
    for path, value in (sets or {}).items():
        *areas, name = path.split(".")
        into = merged
        for area in areas:
            into = into[area]
        into[name] = value
    found = []
    for template in sorted((chart / "templates").glob("*.yaml")):
        scope = Scope(chart, {"Values": merged, "Release": {"Namespace": namespace, "Name": "lbctl"}})
        text = scope.render(template.read_text())
        found += [one for one in yaml.safe_load_all(text) if one]
    return found


def merged_values(chart: Path, values: Path) -> dict[str, Any]:
    """The chart's values with those of one file."""
    merged = yaml.safe_load((chart / "values.yaml").read_text())
    _merge(merged, yaml.safe_load(values.read_text()))
    return merged


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _go_json(value: Any) -> str:
    """As Go's encoding/json writes it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


FUNCTIONS = {
    "toJson": _go_json,
    "toYaml": lambda value: yaml.safe_dump(value).rstrip("\n"),
    "fromYaml": yaml.safe_load,
    "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "has": lambda item, items: item in items,
    "printf": lambda form, *values: form % values,
}


@dataclass
class Scope:
    """Where an expression is evaluated: `.` is `dot`, `$` is `root`."""

    chart: Path
    root: dict[str, Any]
    dot: Any = None
    _parts: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dot = self.root if self.dot is None else self.dot

    def render(self, template: str) -> str:
        parts = _split(template)
        text, rest = self._block(parts)
        assert not rest, f"{rest[0]} without its beginning"
        return text

    def _block(self, parts: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
        """The text up to `else` or `end`, and what is left from there."""
        out: list[str] = []
        while parts:
            kind, content = parts[0]
            if kind == "text":
                out.append(content)
                parts = parts[1:]
            elif content in ("else", "end"):
                break
            elif content.startswith(("if ", "range ")):
                text, parts = self._control(content, parts[1:])
                out.append(text)
            else:
                out.append(str(self.evaluate(content)))
                parts = parts[1:]
        return "".join(out), parts

    def _control(self, head: str, parts: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
        word, _, expression = head.partition(" ")
        value = self.evaluate(expression)
        scopes = [Scope(self.chart, self.root, item) for item in value] if word == "range" else [self] if value else []
        texts = [scope._block(parts) for scope in scopes]
        _, rest = _skip(parts)
        otherwise = ""
        if rest[0][1] == "else":
            if not scopes:
                otherwise, _ = self._block(rest[1:])
            _, rest = _skip(rest[1:])
        assert rest[0][1] == "end"
        return "".join(text for text, _ in texts) + otherwise, rest[1:]

    def evaluate(self, expression: str) -> Any:
        value, rest = self._pipeline(TOKEN.findall(expression))
        assert not rest, expression
        return value

    def _pipeline(self, tokens: list[str]) -> tuple[Any, list[str]]:
        value, tokens = self._command(tokens, ())
        while tokens and tokens[0] == "|":
            value, tokens = self._command(tokens[1:], (value,))
        return value, tokens

    def _command(self, tokens: list[str], last: tuple[Any, ...]) -> tuple[Any, list[str]]:
        name, arguments = tokens[0], []
        is_call = name in FUNCTIONS or name == ".Files.Get"
        tokens = tokens[1:] if is_call else tokens
        while tokens and tokens[0] not in "|)":
            value, tokens = self._operand(tokens)
            arguments.append(value)
        if not is_call:
            (value,) = (*arguments, *last)
            return value, tokens
        if name == ".Files.Get":
            (path,) = (*arguments, *last)
            file = self.chart / path
            return file.read_text() if file.is_file() else "", tokens
        return FUNCTIONS[name](*arguments, *last), tokens

    def _operand(self, tokens: list[str]) -> tuple[Any, list[str]]:
        token, rest = tokens[0], tokens[1:]
        if token == "(":
            value, rest = self._pipeline(rest)
            assert rest[0] == ")"
            return value, rest[1:]
        if token.startswith('"'):
            return json.loads(token), rest
        assert token.startswith((".", "$.")), f"{token} is nothing that this knows"
        value = self.root if token.startswith("$") else self.dot
        for name in token.lstrip("$").strip(".").split("."):
            value = value[name]
        return value, rest


def _split(template: str) -> list[tuple[str, str]]:
    """Text and tags in turn; a tag that opens with a dash takes the blanks before it away."""
    parts: list[tuple[str, str]] = []
    at = 0
    for found in TAG.finditer(template):
        text = template[at : found.start()]
        parts.append(("text", text.rstrip() if found.group(1) else text))
        parts.append(("tag", found.group(2)))
        at = found.end()
    return [*parts, ("text", template[at:])]


def _skip(parts: list[tuple[str, str]]) -> tuple[None, list[tuple[str, str]]]:
    """What is left from the `else` or `end` of this level."""
    depth = 0
    for index, (kind, content) in enumerate(parts):
        if kind == "tag" and content.startswith(("if ", "range ")):
            depth += 1
        elif kind == "tag" and content == "end" and depth:
            depth -= 1
        elif kind == "tag" and content in ("else", "end") and not depth:
            return None, parts[index:]
    raise AssertionError("a block does not end")
