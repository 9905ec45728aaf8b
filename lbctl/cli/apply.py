"""`lbctl apply`: do what a plan showed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.durations import DURATION
from lbctl.cli.options import output_option, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from lbctl.settings import Loaded


@click.command(
    short_help="Do what a plan showed, held actions included.",
    epilog="Examples:  lbctl apply --approve 3f2a9c41d07e    lbctl apply --approve 3f2a9c41d07e --provider aws -o json",
)
@click.option("--approve", "digests", multiple=True, required=True, metavar="DIGEST", help="A digest that plan showed.")
@click.option("--timeout", type=DURATION, default="5m", show_default=True, help="When to give up.")
@output_option("table", "json", "yaml", "name")
@settings_options
def command(loaded: Loaded, digests: tuple[str, ...], timeout: float, output: str) -> int:
    """Run the plans with these digests, including what the policy holds back.

    Plans afresh and refuses with exit code 1 when no plan has the digest any more. While a controller leads, it is left
    to that one: its Services get the annotation lbctl.io/approve, and it is waited for.
    """
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.approval import carry_out  # noqa: PLC0415 - as above
    from lbctl.cli.desk import desk  # noqa: PLC0415 - as above
    from lbctl.cli.documents import Round, WorkedOn  # noqa: PLC0415 - as above
    from lbctl.text import service_table  # noqa: PLC0415 - as above

    with desk(loaded.settings) as at:
        at.read_clouds()
        done = carry_out(at, digests, seconds=timeout)
        services = [WorkedOn.of(account, tracked) for account, tracked in done.services]
    answer(output, Round(services), text=lambda: service_table(services), names=(one.key for one in services))
    return Exit.OK if done.in_time else Exit.NOT_READY
