"""The man page, from the same text as the help; `python -m lbctl.cli.manual > docs/man/lbctl.1` writes it anew."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator

import click

from lbctl import __version__
from lbctl.cli.main import COMMANDS, root
from lbctl.cli.options import SettingsOption, listed_options
from lbctl.errors import Exit

EXITS = {
    Exit.OK: "fine",
    Exit.FAILURE: "failure",
    Exit.CHANGES: "changes pending, something found, or a check failed",
    Exit.INVALID_INPUT: "invalid input",
    Exit.CONFIGURATION: "configuration, or a missing extra",
    Exit.OWNED_BY_OTHER: "owned by another",
    Exit.NOT_READY: "not ready in time",
    Exit.INTERRUPTED: "interrupted",
}


def manual() -> str:
    """The page as roff."""
    context = click.Context(root, info_name="lbctl")
    lines = [f'.TH LBCTL 1 "" "lbctl {__version__}" "lbctl"', ".SH NAME", rf"lbctl \- {_text(root.help)}"]
    lines += [".SH SYNOPSIS", r".B lbctl", r"\fICOMMAND\fR [\fIOPTIONS\fR]", ".br", r".B kubectl lb", r"\fICOMMAND\fR"]
    lines += [".SH DESCRIPTION", *_examples(root), ".SH COMMANDS"]
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        lines += _command(command, click.Context(command, parent=context, info_name=name))
    common = (option.own_record(context) for option in listed_options())
    lines += [".SH COMMON OPTIONS", *_options(common), ".SH EXIT STATUS"]
    for code, meaning in EXITS.items():
        lines += [".TP", rf"\fB{int(code)}\fR", meaning]
    return "\n".join(lines) + "\n"


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f'.SS "{_escaped(context.command_path)} {_escaped(" ".join(command.collect_usage_pieces(context)))}"'
    yield from _paragraphs(command.help)
    own = [one for one in command.params if not isinstance(one, SettingsOption)]
    yield from _options(one.get_help_record(context) for one in own)
    if len(own) < len(command.params):
        yield from (".PP", "And the common options below.")
    yield from _examples(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(inner, click.Context(inner, parent=context, info_name=name))


def _options(records: Iterable[tuple[str, str] | None]) -> Iterator[str]:
    for record in records:
        if record is not None:
            yield from (".TP", rf"\fB{_escaped(record[0])}\fR", _escaped(record[1]))


def _paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        yield ".PP"
        yield _text(paragraph)


def _examples(command: click.Command) -> Iterator[str]:
    shown = (command.epilog or "").partition(":")[2].strip()
    yield from (".PP", "Examples:", ".nf")
    yield from (f"  {_escaped(line.strip())}" for line in shown.split("    "))
    yield ".fi"


def _text(text: str | None) -> str:
    return _escaped(" ".join((text or "").split()))


def _escaped(text: str) -> str:
    shown = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return rf"\&{shown}" if shown.startswith((".", "'")) else shown


if __name__ == "__main__":
    click.echo(manual(), nl=False)
