"""`lbctl config`: the settings, and where each came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from lbctl.cli.options import output_option, settings_options

if TYPE_CHECKING:
    from lbctl.settings import Loaded, Origin

EXAMPLES = "Examples:  lbctl config show    lbctl config show --config settings.yaml -o json"


@click.group(short_help="Show settings and where each came from.", epilog=EXAMPLES)
def command() -> None:
    """Settings come from defaults, a file, LBCTL_* variables and flags; later ones win."""


@command.command("show", short_help="Print every setting with its origin.", epilog=EXAMPLES)
@output_option("table", "json", "yaml")
@settings_options
def show(loaded: Loaded, output: str) -> int:
    """Print every setting with its value and where it came from; secrets are not shown.

    What the drivers need is checked too, and the upstream's configuration file that they read: an unknown or unfit key
    is an error with exit code 4.
    """
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.documents import Configuration, Setting  # noqa: PLC0415 - as above
    from lbctl.errors import Exit  # noqa: PLC0415 - as above
    from lbctl.text import table  # noqa: PLC0415 - as above

    origins = sorted((*loaded.describe(), *_of_drivers(loaded)), key=lambda origin: origin.path)
    rows = [(origin.path, _cell(origin.value), origin.source) for origin in origins]
    settings = [Setting(origin.path, origin.value, origin.source) for origin in origins]
    answer(output, Configuration(settings), text=lambda: table(("SETTING", "VALUE", "FROM"), rows))
    faults = list(_faults(loaded))
    for fault in faults:
        click.echo(fault, err=True)
    return Exit.CONFIGURATION if faults else Exit.OK


def _faults(loaded: Loaded) -> Iterator[str]:
    """What is wrong with the configuration files that the accounts' drivers read."""
    from lbctl.registry import find_provider  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.settings import decode  # noqa: PLC0415 - as above

    for name, account in loaded.settings.accounts.items():
        info = find_provider(account.provider)
        decoded = decode(account.settings, info.settings, where=f"accounts.{name}.settings")
        yield from (f"Error: account {name}: {fault}" for fault in info.config_faults(decoded))


def _of_drivers(loaded: Loaded) -> Iterator[Origin]:
    """The drivers' own defaults, for what nobody set."""
    import msgspec  # noqa: PLC0415 - loaded by the command, not by its help

    from lbctl.registry import find_provider  # noqa: PLC0415 - as above
    from lbctl.settings import Origin, decode  # noqa: PLC0415 - as above

    for name, account in loaded.settings.accounts.items():
        where = f"accounts.{name}.settings"
        decoded = decode(account.settings, find_provider(account.provider).settings, where=where)
        given: dict[str, Any] = msgspec.to_builtins(decoded)
        for key, value in given.items():
            if key not in account.settings:
                yield Origin(f"{where}.{key}", value, "default")


def _cell(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
