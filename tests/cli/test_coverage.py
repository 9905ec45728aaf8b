"""No command without tests of its answers: help by `test_help`, JSON and exit codes by what the tests here run."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lbctl.cli.main import COMMANDS, root

WITHOUT_DOCUMENT = {
    "run": "it runs",
    "sandbox": "it runs",
    "completion": "a script",
    "config": "see `config show`",
    "options": "a part of the help",
}
CODES = {"code", "returncode"}


def strings(node: ast.AST, constants: dict[str, set[str]]) -> set[str]:
    """Every text in a piece of code, with those of the module's constants that it names."""
    found = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return found.union(*(constants.get(name, set()) for name in names))


def written_tests() -> Iterator[tuple[set[str], bool]]:
    """The texts of each test of a command, and whether it looks at an exit code."""
    here = Path(__file__).parent
    for file in sorted([*here.glob("test_*.py"), *(here.parent / "deploy").glob("test_*.py")]):
        if file == Path(__file__):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        constants = {
            target.id: strings(node, {})
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                looks = any(isinstance(n, ast.Attribute) and n.attr in CODES for n in ast.walk(node))
                yield strings(node, constants), looks


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, bool]]:
    """For each command, whether some test runs it for JSON, and whether some test looks at its exit code."""
    found: dict[str, dict[str, bool]] = defaultdict(lambda: {"json": False, "code": False})
    for texts, looks in written_tests():
        for name in texts & set(COMMANDS):
            found[name]["json"] |= bool({"json", "yaml"} & texts)
            found[name]["code"] |= looks
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_tests_of_its_answers(seen, name):
    """Its exit code is looked at, and its JSON form is asked for if it has one."""
    assert seen[name]["code"], f"no test looks at the exit code of {name}"
    assert seen[name]["json"] or name in WITHOUT_DOCUMENT, f"no test asks for the JSON form of {name}"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_DOCUMENT])
def test_every_command_has_a_json_form(name):
    """`-o json` and `-o yaml` are offered by every command that answers with more than a script."""
    command = root.get_command(click.Context(root), name)
    forms = [set(one.type.choices) for one in command.params if one.name == "output"]
    assert forms
    assert {"json", "yaml"} <= forms[0]
