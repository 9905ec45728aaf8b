"""The page of all commands and flags, from click's own declarations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import click

from lbctl.cli.main import COMMANDS, root
from lbctl.cli.options import SettingsOption, listed_options
from tests.reference.markdown import code, fenced, page, prose, table

COLUMNS = ("option", "default", "what")


def commands_page() -> str:
    """Every command with its usage, options and examples; options that many commands share are listed once."""
    context = click.Context(root, info_name="lbctl")
    found = [(name, command) for name in COMMANDS if (command := root.get_command(context, name)) is not None]
    return page(
        "Commands",
        "Every command is also reachable as `kubectl lb …`. Answers go to standard output, progress and logs to "
        "standard error. `-o json` and `-o yaml` carry a `version`, and all of their fields are in "
        "[`output.schema.json`](output.schema.json), a JSON Schema with a definition for each command. "
        "Exit codes: [exit codes](exit-codes.md).",
        "## Options from which settings are loaded",
        "Commands below that say so take these, and `lbctl options` lists them. What they set, and every other source: "
        "[settings](settings.md).",
        _options(listed_options()),
        *(block for name, command in found for block in _command(command, context, name)),
    )


def _command(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield f"## {context.command_path}"
    yield prose(command.help)
    yield fenced("text", " ".join([context.command_path, *command.collect_usage_pieces(context)]))
    own = [parameter for parameter in command.params if not isinstance(parameter, SettingsOption)]
    yield _options(own)
    if len(own) < len(command.params):
        yield "Takes the [options from which settings are loaded](#options-from-which-settings-are-loaded)."
    yield _examples(command.epilog or "")
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            yield from _command(command.commands[child], context, child)


def _options(parameters: Iterable[click.Parameter]) -> str:
    options = (parameter for parameter in parameters if isinstance(parameter, click.Option))
    return table(COLUMNS, (_option(option) for option in options))


def _option(option: click.Option) -> tuple[str, str, str]:
    names = ", ".join((*option.opts, *option.secondary_opts))
    metavar = "" if option.is_flag else f" {option.make_metavar(click.Context(root))}"
    default = code(option.default) if option.show_default and option.default not in (None, "") else ""
    return code(f"{names}{metavar}"), default, option.help or ""


def _examples(epilog: str) -> str:
    text = epilog.removeprefix("Examples:").strip()
    return fenced("sh", "\n".join(re.split(r"\s{4,}", text))) if text else ""
