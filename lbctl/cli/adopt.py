"""`lbctl adopt`: take balancers over from another controller, after showing what that does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.durations import DURATION
from lbctl.cli.options import output_option, services_argument, settings_options

if TYPE_CHECKING:
    from lbctl.settings import Loaded

UPSTREAMS = ("aws-ccm", "aws-lbc", "azure", "gce", "gke-l4", "occm", "cloudstack")
FROM = f"Only what this controller serves: {', '.join(UPSTREAMS[:-1])} or {UPSTREAMS[-1]}."


@click.command(
    short_help="Show, Service by Service, what taking over would do.",
    epilog="Examples:  lbctl adopt --from aws-ccm    lbctl adopt shop/web --write --yes",
)
@services_argument
@click.option("--from", "upstream", type=click.Choice(UPSTREAMS), metavar="CONTROLLER", help=FROM)
@click.option("--write", is_flag=True, help="Write lbctl's marks where nothing else changes.")
@click.option("--yes", is_flag=True, help="With --write: do not ask.")
@click.option("--timeout", type=DURATION, default="5m", show_default=True, help="With --write: when to give up.")
@output_option("table", "wide", "json", "yaml", "name")
@settings_options
def command(
    loaded: Loaded,
    services: tuple[str, ...],
    upstream: str | None,
    *,
    write: bool,
    yes: bool,
    timeout: float,
    output: str,
) -> int:
    """Report what taking balancers over would do: nothing, tags only, change, or cannot; with hazard and calls.

    Writes nothing unless --write is given, and then only marks; a deletion never removes more afterwards. Exit code 0
    when nothing is to be done, 2 when something is, 1 when something cannot be taken over.
    """
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.desk import desk  # noqa: PLC0415 - as above
    from lbctl.cli.takeover import Takeover  # noqa: PLC0415 - as above

    with desk(loaded.settings) as at:
        at.read_clouds()
        takeover = Takeover.of(at, services, upstream=upstream or "")
        if write:
            takeover.write(yes=yes, seconds=timeout)
    answer(output, takeover.document(), text=takeover.table, wide=takeover.wide, names=takeover.names())
    return takeover.exit_code
