"""The page of all commands and flags, from click's own declarations."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from lbctl.cli.main import COMMANDS, root
from lbctl.cli.options import FLAGS
from tests.reference.markdown import code, fenced, page, prose, table

SHARED = frozenset({*FLAGS, "config", "provider", "assignments"})
COLUMNS = ("option", "default", "what")


def commands_page() -> str:
    """Every command with its usage, options and examples; options that many commands share are listed once."""
    context = click.Context(root, info_name="lbctl")
    found = [(name, command) for name in COMMANDS if (command := root.get_command(context, name)) is not None]
    shared = next(command for _, command in found if any(p.name in SHARED for p in command.params))
    return page(
        "Commands",
        "Every command is also reachable as `kubectl lb …`. Answers go to standard output, progress and logs to "
        "standard error. `-o json` and `-o yaml` carry a `version`, and all of their fields are in "
        "[`output.schema.json`](output.schema.json), a JSON Schema with a definition for each command. "
        "Exit codes: [exit codes](exit-codes.md).",
        "## Options from which settings are loaded",
        "Commands below that say so take these. What they set, and every other source: [settings](settings.md).",
        _options(parameter for parameter in shared.params if parameter.name in SHARED),
        *(block for name, command in found for block in _command(command, context, name)),
    )


def _command(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield f"## {context.command_path}"
    yield prose(command.help)
    yield fenced("text", " ".join([context.command_path, *command.collect_usage_pieces(context)]))
    yield _options(parameter for parameter in command.params if parameter.name not in SHARED)
    if any(parameter.name in SHARED for parameter in command.params):
        yield "Takes the [options from which settings are loaded](#options-from-which-settings-are-loaded)."
    yield _examples(command.epilog or "")
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            yield from _command(command.commands[child], context, child)


def _options(parameters: Iterator[click.Parameter]) -> str:
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
