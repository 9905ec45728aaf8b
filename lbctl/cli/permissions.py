"""`lbctl permissions`: the smallest role in the cloud's own form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.options import output_option, services_argument, settings_options

if TYPE_CHECKING:
    from lbctl.settings import Loaded


@click.command(
    short_help="Print the smallest role that a driver needs.",
    epilog="Examples:  lbctl permissions --provider aws > policy.json    lbctl permissions --provider aws -f services/",
)
@services_argument
@click.option("-f", "--filename", "files", multiple=True, help="Only what the Services of this file or folder need.")
@output_option("role", "json", "yaml")
@settings_options
def command(loaded: Loaded, services: tuple[str, ...], files: tuple[str, ...], output: str) -> None:
    """Print the role of a driver in the cloud's own form, ready for the cloud's tools.

    Without Services it is everything that the driver can do with these settings; with Services of files or of the
    cluster it is what they need. Asks no cloud; -o json wraps the role in a document with a version.
    """
    import json  # noqa: PLC0415 - loaded by the command, not by its help

    from lbctl.cli.answer import answer  # noqa: PLC0415 - as above
    from lbctl.cli.documents import Permissions  # noqa: PLC0415 - as above
    from lbctl.cli.role import role_of  # noqa: PLC0415 - as above

    role = role_of(loaded.settings, names=services, files=files)
    if not role.rights:
        click.echo(f"{role.provider} has no role: it needs no rights of a cloud.", err=True)
    answer(
        output, Permissions(role.provider, role.services, role.rights), text=lambda: json.dumps(role.rights, indent=2)
    )
