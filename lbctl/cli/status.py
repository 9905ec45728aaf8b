"""`lbctl status`: every Service's balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.durations import DURATION
from lbctl.cli.options import output_option, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbctl.engine.summary import Summary
    from lbctl.settings import Loaded


@click.command(
    short_help="Show every Service's balancer.",
    epilog="Examples:  lbctl status    lbctl status -n shop --targets",
)
@click.option("-n", "--namespace", help="Only Services of this namespace.")
@click.option("-w", "--watch", is_flag=True, help="Go on showing changes until Ctrl-C.")
@click.option("--timeout", type=DURATION, help="With --watch: when to leave.")
@click.option("--targets", is_flag=True, help="Ask the clouds too: how many targets are healthy.")
@output_option("table", "wide", "json", "yaml", "name")
@settings_options
def command(
    loaded: Loaded, namespace: str | None, *, watch: bool, timeout: float | None, targets: bool, output: str
) -> int:
    """Show the balancers of all Services, as their controller published them; asks the API server alone.

    Exit code 0 when all are ready, 6 when some are not.
    """
    from lbctl.cli import documents  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.answer import answer  # noqa: PLC0415 - as above
    from lbctl.cli.overview import Overview  # noqa: PLC0415 - as above
    from lbctl.cli.pulse import read_health  # noqa: PLC0415 - as above
    from lbctl.text import summary_table  # noqa: PLC0415 - as above

    overview = Overview(loaded.settings, namespace=namespace or "")
    if watch:
        if output != "table" or targets:
            raise click.UsageError("--watch shows a table of what is published; leave -o and --targets out")
        return _exit(overview.watch(seconds=timeout))
    summaries = overview.read()
    health = read_health(loaded.settings) if targets else None
    now = overview.now()
    answer(
        output,
        documents.Status([documents.Published.of(summary, health) for summary in summaries]),
        text=lambda: summary_table(summaries, now=now, health=health),
        wide=lambda: summary_table(summaries, now=now, wide=True, health=health),
        names=(summary.key for summary in summaries),
    )
    return _exit(summaries)


def _exit(summaries: Sequence[Summary]) -> int:
    from lbctl.engine.summary import State  # noqa: PLC0415 - loaded by the command, not by its help

    settled = (State.READY, State.FOREIGN)
    return Exit.OK if all(summary.state in settled for summary in summaries) else Exit.NOT_READY
