"""`lbctl status`: every Service's balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.durations import DURATION
from lbctl.cli.options import output_option, services_argument, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from lbctl.settings import Loaded

WAIT_SECONDS = 300.0


@click.command(
    short_help="Show every Service's balancer.",
    epilog="Examples:  lbctl status    lbctl status --wait shop/web --timeout 10m",
)
@services_argument
@click.option("-n", "--namespace", help="Only Services of this namespace.")
@click.option("-w", "--watch", is_flag=True, help="Go on showing changes until Ctrl-C.")
@click.option("--wait", is_flag=True, help="Leave as soon as all of them are ready.")
@click.option("--timeout", type=DURATION, help="With --watch or --wait: when to leave; --wait alone: 5m.")
@click.option("--targets", is_flag=True, help="Ask the clouds too: how many targets are healthy.")
@output_option("table", "wide", "json", "yaml", "name")
@settings_options
def command(
    loaded: Loaded,
    services: tuple[str, ...],
    *,
    namespace: str | None,
    watch: bool,
    wait: bool,
    timeout: float | None,
    targets: bool,
    output: str,
) -> int:
    """Show the balancers of all Services, or of those named, as their controller published them.

    Asks the API server alone. Exit code 0 when all are ready, 6 when some are not, also when --timeout is over.
    """
    from lbctl.cli import documents  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.answer import answer  # noqa: PLC0415 - as above
    from lbctl.cli.overview import Overview  # noqa: PLC0415 - as above
    from lbctl.cli.pulse import read_health  # noqa: PLC0415 - as above
    from lbctl.text import summary_table  # noqa: PLC0415 - as above

    if timeout is not None and not (watch or wait):
        raise click.UsageError("--timeout needs --watch or --wait")
    if watch and (output != "table" or targets):
        raise click.UsageError("--watch shows a table of what is published; leave -o and --targets out")
    overview = Overview(loaded.settings, namespace=namespace or "", names=services)
    seconds = WAIT_SECONDS if wait and timeout is None else timeout
    if watch:
        summaries = overview.watch(seconds=seconds, until_settled=wait)
        return Exit.OK if overview.are_settled(summaries) else Exit.NOT_READY
    summaries = overview.wait(seconds=seconds) if wait and seconds is not None else overview.read()
    health = read_health(loaded.settings) if targets else None
    now = overview.now()
    answer(
        output,
        documents.Status([documents.Published.of(summary, health) for summary in summaries]),
        text=lambda: summary_table(summaries, now=now, health=health),
        wide=lambda: summary_table(summaries, now=now, wide=True, health=health),
        names=(summary.key for summary in summaries),
    )
    return Exit.OK if overview.are_settled(summaries) else Exit.NOT_READY
