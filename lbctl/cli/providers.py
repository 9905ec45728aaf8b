"""`lbctl providers`: the installed drivers and what they can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.options import output_option

if TYPE_CHECKING:
    from lbctl.cli.documents import Provider
    from lbctl.driver import DriverInfo

COLUMNS = ("NAME", "PROTOCOLS", "FAMILIES", "SOURCE-RANGES", "AFFINITY", "SUMMARY")
WIDE = (*COLUMNS[:-1], "MIXED", "DUAL-STACK", "PROXY-PROTOCOL", "CLASSES", "ANNOTATIONS", "SUMMARY")


@click.command(
    short_help="List drivers and what they can do.",
    epilog="Examples:  lbctl providers    lbctl providers -o wide",
)
@output_option("table", "wide", "json", "yaml", "name")
def command(output: str) -> None:
    """List the installed drivers and what each can do. Loads no SDK."""
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.documents import Providers  # noqa: PLC0415 - as above
    from lbctl.registry import find_provider, known_providers  # noqa: PLC0415 - as above
    from lbctl.text import table  # noqa: PLC0415 - as above

    found = [_document(find_provider(name)) for name in known_providers()]
    answer(
        output,
        Providers(found),
        text=lambda: table(COLUMNS, [_row(one, COLUMNS) for one in found]),
        wide=lambda: table(WIDE, [_row(one, WIDE) for one in found]),
        names=(one.name for one in found),
    )


def _document(info: DriverInfo) -> Provider:
    from lbctl.cli.documents import Provider  # noqa: PLC0415 - loaded by the command, not by its help

    able = info.capabilities
    return Provider(
        name=info.name,
        summary=info.summary,
        extra=info.extra,
        protocols=sorted(able.protocols),
        families=list(able.families),
        source_ranges=able.source_ranges,
        affinity=able.affinity,
        mixed=able.mixed_protocols,
        dual_stack=able.dual_stack,
        proxy_protocol=able.proxy_protocol,
        shared_address=able.shared_address,
        requested_address=able.requested_address,
        classes=list(info.served_classes),
        annotations=sum(1 for _ in info.annotations),
    )


def _row(provider: Provider, columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_cell(getattr(provider, column.replace("-", "_").lower())) for column in columns)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
