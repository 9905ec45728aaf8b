"""`lbctl version`."""

from __future__ import annotations

import platform

import click

from lbctl import __version__
from lbctl.cli.options import output_option


@click.command(short_help="Print the version.", epilog="Examples:  lbctl version    lbctl version -o json")
@output_option("text", "json", "yaml")
def command(output: str) -> None:
    """Print the version of lbctl and of Python."""
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.documents import Version  # noqa: PLC0415 - as above

    found = Version(__version__, platform.python_version())
    answer(output, found, text=lambda: f"lbctl {found.lbctl} (Python {found.python})")
