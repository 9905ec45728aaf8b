"""`lbctl providers`: the installed drivers and what they can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lbctl.cli.options import output_option

if TYPE_CHECKING:
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
    from lbctl.registry import find_provider, known_providers  # noqa: PLC0415 - as above
    from lbctl.text import table  # noqa: PLC0415 - as above

    documents = [_document(find_provider(name)) for name in known_providers()]
    answer(
        output,
        {"providers": documents},
        text=lambda: table(COLUMNS, [_row(doc, COLUMNS) for doc in documents]),
        wide=lambda: table(WIDE, [_row(doc, WIDE) for doc in documents]),
        names=(doc["name"] for doc in documents),
    )


def _document(info: DriverInfo) -> dict[str, Any]:
    able = info.capabilities
    return {
        "name": info.name,
        "summary": info.summary,
        "extra": info.extra,
        "protocols": sorted(able.protocols),
        "families": list(able.families),
        "sourceRanges": able.source_ranges,
        "affinity": able.affinity.value,
        "mixed": able.mixed_protocols,
        "dualStack": able.dual_stack,
        "proxyProtocol": able.proxy_protocol,
        "sharedAddress": able.shared_address,
        "requestedAddress": able.requested_address,
        "classes": list(info.served_classes),
        "annotations": sum(1 for _ in info.annotations),
    }


def _row(document: dict[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    by_column = {key.replace("-", "").lower(): value for key, value in document.items()}
    return tuple(_cell(by_column[column.replace("-", "").lower()]) for column in columns)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
