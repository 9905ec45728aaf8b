"""`lbctl demo`: the whole life of some Services on this machine."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from lbctl.cli.options import output_option
from lbctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbctl.sandbox.demo.stage import Screen


@click.command(
    short_help="Play the whole life of some Services on this machine.",
    epilog="Examples:  lbctl demo    lbctl demo -o json | jq .ok",
)
@output_option("text", "json", "yaml")
def command(output: str) -> int:
    """Play the whole life of some Services: a little cluster, real balancers, real traffic, and nothing left.

    Needs no cluster, no cloud and no root; takes about ten seconds. Every change shows its plan first. Exit code 0 when
    every request was answered and nothing is left, else 1.
    """
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.documents import Demo  # noqa: PLC0415 - as above
    from lbctl.cli.interrupts import ending_cleanly  # noqa: PLC0415 - as above
    from lbctl.obs.log import Recent  # noqa: PLC0415 - as above
    from lbctl.sandbox.demo.play import play  # noqa: PLC0415 - as above

    recent = Recent.set_up()
    with ending_cleanly(), _screen(output) as screen:
        report = play(screen)
    if not report.ok:
        click.echo("\n".join(("Last lines of the log:", *recent.lines())), err=True)
    said = "Everything went well" if report.ok else "The demo FAILED"
    answer(output, Demo.of(report), text=lambda: f"\n{said} in {report.seconds:.0f} s.")
    return Exit.OK if report.ok else Exit.FAILURE


@contextlib.contextmanager
def _screen(output: str) -> Iterator[Screen]:
    from lbctl.text import Lines, LiveTable, Silence  # noqa: PLC0415 - loaded by the command, not by its help

    if output in ("json", "yaml"):
        yield Silence()
    elif sys.stdout.isatty():
        with LiveTable() as live:
            yield live
    else:
        yield Lines()
