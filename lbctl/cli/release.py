"""`lbctl release`: hand a balancer back, or forget it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.durations import DURATION
from lbctl.cli.options import output_option, service_argument, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from lbctl.settings import Loaded


@click.command(
    short_help="Let go of a Service and keep its balancer.",
    epilog="Examples:  lbctl release shop/web    lbctl release shop/web --forget --yes",
)
@service_argument
@click.option("--forget", is_flag=True, help="Do not ask the cloud: only the finalizer goes, marks there stay.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--timeout", type=DURATION, default="5m", show_default=True, help="When to give up.")
@output_option("text", "json", "yaml")
@settings_options
def command(loaded: Loaded, service: str, *, forget: bool, yes: bool, timeout: float, output: str) -> int:
    """Take lbctl's marks off the balancer of a Service and its finalizer off the Service: the balancer stays.

    Ends the waiting of a Service that is being deleted. A Service that is wanted is only let go while no controller
    leads. Exit code 0 when it is released, 5 when it is another controller's, 6 when another finalizer holds it.
    """
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.desk import desk  # noqa: PLC0415 - as above
    from lbctl.cli.handing import let_go  # noqa: PLC0415 - as above

    with desk(loaded.settings) as at:
        if not forget:
            at.read_clouds()
        released = let_go(at, service, forget=forget, yes=yes, seconds=timeout)
    answer(output, released.document(), text=lambda: "\n".join(released.lines()))
    return Exit.NOT_READY if released.blockers or not released.in_time else Exit.OK
