"""Answers for people and programs; the only module that imports rich, and only when a table is drawn."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from lbctl.cli.documents import WorkedOn
    from lbctl.driver import Finding, Health
    from lbctl.engine.summary import Summary

SERVICE_COLUMNS = ("NAMESPACE", "NAME", "STATE", "ADDRESS", "PORTS", "PROVIDER", "REASON")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns without borders, two blanks apart: good for eyes and for awk."""
    lines = [list(columns), *[[cell or "-" for cell in row] for row in rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def service_table(services: Iterable[WorkedOn]) -> str:
    """One line a Service after a round of work."""
    rows = [
        (
            one.namespace,
            one.name,
            one.state.value,
            ",".join(one.addresses),
            ",".join(one.ports),
            one.provider,
            one.message or (one.reason if one.reason != "Ready" else ""),
        )
        for one in services
    ]
    return table(SERVICE_COLUMNS, rows)


def wants_colour() -> bool:
    """True on a terminal unless NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


SUMMARY_COLUMNS = ("NAMESPACE", "NAME", "STATE", "ADDRESS", "PORTS", "SINCE", "REASON")
REASON_WIDTH = 80
AFTER_PORTS = SUMMARY_COLUMNS.index("PORTS") + 1


def summary_rows(summaries: Iterable[Summary], *, now: dt.datetime, wide: bool = False) -> Iterator[tuple[str, ...]]:
    """One row a Service; the reason is cut unless `wide`."""
    for one in summaries:
        reason = "" if one.reason == "Ready" else f"{one.reason}: {one.message}" if one.message else one.reason
        shown = reason if wide or len(reason) <= REASON_WIDTH else reason[: REASON_WIDTH - 1] + "…"
        addresses, ports = ",".join(one.addresses), ",".join(one.ports)
        yield one.namespace, one.name, one.state.value, addresses, ports, age(one.since, now=now), shown


def summary_table(
    summaries: Sequence[Summary],
    *,
    now: dt.datetime,
    wide: bool = False,
    health: Mapping[str, Health] | None = None,
) -> str:
    """One line a Service; with `health`, by `namespace/name`, the healthy ones of its targets after its ports."""
    rows = summary_rows(summaries, now=now, wide=wide)
    if health is None:
        return table(SUMMARY_COLUMNS, rows)
    columns = (*SUMMARY_COLUMNS[:AFTER_PORTS], "TARGETS", *SUMMARY_COLUMNS[AFTER_PORTS:])
    told = (str(health.get(one.key, "")) for one in summaries)
    return table(
        columns, [(*row[:AFTER_PORTS], word, *row[AFTER_PORTS:]) for row, word in zip(rows, told, strict=True)]
    )


def age(since: str, *, now: dt.datetime) -> str:
    """How long ago an API timestamp is, as kubectl says it; empty when there is none."""
    if not since:
        return ""
    seconds = max(0, int((now - dt.datetime.fromisoformat(since)).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


LEVEL_SIGNS = {"ok": "+", "warning": "!", "failed": "x"}


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """A line a finding, and below it what to do."""
    for finding in findings:
        yield f"  {LEVEL_SIGNS[finding.level]} {finding.subject}: {finding.message}"
        if finding.hint:
            yield f"      do this: {finding.hint}"


class Silence:
    """A screen that shows nothing, for those who want one document at the end."""

    height = sys.maxsize

    def say(self, line: str = "") -> None:
        """Nothing."""

    def show(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, head: str = "", doubt: str = "") -> None:
        """Nothing."""


class Lines:
    """A screen for pipes and files: lines as they come, and the table each time that a line of it has a new state."""

    height = sys.maxsize

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._doubted = False

    def say(self, line: str = "") -> None:
        """Print a line."""
        print(line, flush=True)  # noqa: T201 - this is the output

    def show(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, head: str = "", doubt: str = "") -> None:
        """Print head and table when one of the table's first three columns is new, and a doubt when it begins."""
        if doubt and not self._doubted:
            self.say(f"    {doubt}")
        self._doubted = bool(doubt)
        lines = [list(map(str, row)) for row in rows]
        states = [" ".join(line[:3]) for line in lines]
        if states != self._shown and lines:
            self.say(_indented("\n".join((*([head] if head else []), table(columns, lines)))))
        self._shown = states


class LiveTable:
    """A screen for terminals: lines scroll above a table that stays; use it as a context manager."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - rich costs 40 ms and most commands need none
        from rich.live import Live  # noqa: PLC0415 - as above

        self._live = Live(console=Console(highlight=False, no_color=not wants_colour()), auto_refresh=False)

    @property
    def height(self) -> int:
        """Lines of the terminal."""
        return self._live.console.height

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, line: str = "") -> None:
        """Print a line above the table."""
        self._live.console.print(line, markup=False, soft_wrap=True)

    def show(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, head: str = "", doubt: str = "") -> None:
        """Redraw the table, below what no small terminal may cut off: a head, and why the table may be wrong."""
        from rich.console import Group  # noqa: PLC0415 - as above
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above

        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            drawn.add_column(column)
        for row in rows:
            drawn.add_row(*(Text(str(cell) or "-", style=STYLES.get(str(cell), "")) for cell in row))
        above = [Text(doubt, style="bold red")] if doubt else []
        self._live.update(Group(*above, *([Text(head)] if head else []), drawn), refresh=True)


STYLES = {"ready": "green", "pending": "yellow", "failed": "red", "held": "magenta", "foreign": "dim"}


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
