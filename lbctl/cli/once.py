"""`lbctl once`: one round of the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.durations import DURATION
from lbctl.cli.options import output_option, services_argument, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from lbctl.settings import Loaded


@click.command(
    short_help="Reconcile once and leave.",
    epilog="Examples:  lbctl once --provider local    lbctl once shop/web -o json",
)
@services_argument
@click.option("--timeout", type=DURATION, default="5m", show_default=True, help="When to give up.")
@output_option("table", "json", "yaml", "name")
@settings_options
def command(loaded: Loaded, services: tuple[str, ...], timeout: float, output: str) -> int:
    """Reconcile all Services, or those named, and leave; refused while a controller leads, which does that anyway.

    Exit code 0 when all are ready or wait for somebody, 1 when one failed, 6 when time ran out.
    """
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.approval import refuse_beside_leader  # noqa: PLC0415 - as above
    from lbctl.cli.desk import desk, selected  # noqa: PLC0415 - as above
    from lbctl.cli.documents import After, Round, WorkedOn  # noqa: PLC0415 - as above
    from lbctl.engine.runner import run_until_idle  # noqa: PLC0415 - as above
    from lbctl.text import service_table  # noqa: PLC0415 - as above

    with desk(loaded.settings) as at:
        refuse_beside_leader(at.assembly)
        at.read_clouds()
        assembly = at.assembly
        chosen = selected(assembly, services)
        scopes = {(account.name, scope) for account, tracked in chosen for scope in account.scopes_of(tracked)}
        if services:
            assembly.controller.limit_to(scopes)
        clock = assembly.clock
        in_time = run_until_idle(assembly.controller, clock, deadline=clock.monotonic() + timeout)
        done = [WorkedOn.of(account, tracked) for account, tracked in chosen]
    answer(output, Round(done), text=lambda: service_table(done), names=(one.key for one in done))
    if any(one.state is After.FAILED for one in done):
        return Exit.FAILURE
    return Exit.OK if in_time else Exit.NOT_READY
