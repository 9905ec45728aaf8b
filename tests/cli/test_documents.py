"""What programs read is what the published schema says."""

from __future__ import annotations

from collections.abc import Iterator

import click
import jsonschema
import pytest

from lbctl.cli.main import root
from tests.cli.console import SCHEMA, described, lbctl


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by the words that it is called with."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def has_json(command: click.Command) -> bool:
    """Whether it offers `-o json`."""
    return any("json" in one.type.choices for one in command.params if one.name == "output")


DOCUMENTED = [name for name, command in commands(root) if has_json(command)]


def test_the_schema_is_one():
    """Validators of JSON Schema 2020-12 take it."""
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_command_with_json_has_a_definition_and_no_other():
    """A command that learns `-o json`, or goes away, shows in the schema."""
    assert len(DOCUMENTED) > 10
    defined = {name for name in SCHEMA["$defs"] if name[0].islower()}
    assert defined == {name.replace(" ", "-") for name in DOCUMENTED}


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if name != "manifests"])
def test_a_document_has_a_version_and_no_field_that_is_not_described(name):
    """Each definition asks for version 1, and for nothing that it does not name."""
    definition = SCHEMA["$defs"][SCHEMA["$defs"][name.replace(" ", "-")]["$ref"].rpartition("/")[2]]
    assert definition["required"][0] == "version"
    assert definition["properties"]["version"] == {"const": 1}
    assert definition["additionalProperties"] is False


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document["providers"][0].update(speed="high"),
        lambda document: document["providers"][0].pop("sourceRanges"),
        lambda document: document.update(version=2),
        lambda document: document.update(more=[]),
    ],
    ids=["a field more in a piece", "a field less in a piece", "another version", "a field more"],
)
def test_a_document_that_differs_is_refused(spoil):
    """The tests of the commands would see a field come or go."""
    document = lbctl("providers", "-o", "json").document
    spoil(document)
    with pytest.raises(jsonschema.ValidationError):
        described("providers").validate(document)


def test_any_document_fits_the_whole_schema():
    """Who does not know which command printed it can still tell that it is one of ours."""
    whole = jsonschema.Draft202012Validator(SCHEMA)
    whole.validate(lbctl("version", "-o", "json").document)
    assert not whole.is_valid({"version": 1, "lbctl": "0"})
