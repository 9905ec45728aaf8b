"""`lbctl version`."""

from __future__ import annotations

import json
import platform

import click

from lbctl import __version__
from lbctl.cli.options import output_option


@click.command(short_help="Print the version.", epilog="Examples:  lbctl version    lbctl version -o json")
@output_option("text", "json")
def command(output: str) -> None:
    """Print the version of lbctl and of Python."""
    document = {"lbctl": __version__, "python": platform.python_version()}
    click.echo(
        json.dumps(document) if output == "json" else f"lbctl {__version__} (Python {platform.python_version()})"
    )
