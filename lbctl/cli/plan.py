"""`lbctl plan`: what would be done, and what it would do to traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.options import output_option, services_argument, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lbctl.engine.plans import Result
    from lbctl.settings import Loaded

NOTHING = "Nothing to do."


@click.command(
    short_help="Show what would be done.",
    epilog="Examples:  lbctl plan shop/web --provider local    lbctl plan -f service.yaml -o json",
)
@services_argument
@click.option(
    "-f", "--filename", "files", multiple=True, help="Plan the Services of this file or folder as if applied."
)
@click.option("--server-dry-run", is_flag=True, help="With -f: let the API server default and check them first.")
@output_option("text", "json", "yaml", "name")
@settings_options
def command(
    loaded: Loaded, services: tuple[str, ...], files: tuple[str, ...], *, server_dry_run: bool, output: str
) -> int:
    """Show the difference between what Services ask for and what the cloud holds.

    Reads only. Exit code 0 when there is nothing to do, 2 when there is, 1 when a Service cannot be planned.
    """
    from lbctl.cli import documents  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.answer import answer  # noqa: PLC0415 - as above
    from lbctl.cli.desk import desk, selected  # noqa: PLC0415 - as above
    from lbctl.cli.imagined import imagine_files  # noqa: PLC0415 - as above
    from lbctl.engine.plans import plans_of  # noqa: PLC0415 - as above
    from lbctl.plan.render import plan_lines  # noqa: PLC0415 - as above

    if server_dry_run and not files:
        raise click.UsageError("--server-dry-run needs -f FILE")
    with desk(loaded.settings) as at:
        at.read_clouds()
        assembly = at.assembly
        notes: tuple[str, ...] = ()
        if files:
            assembly, names, notes = imagine_files(at, files, server_dry_run=server_dry_run)
            services = (*services, *names)
        asked = bool(services or files)
        chosen = selected(assembly, services) if services or not files else []
        results = list(plans_of(assembly, chosen, everything=not asked))
    for note in notes:
        click.echo(note, err=True)
    document = documents.Plans([documents.Plan.of(result) for result in results])
    answer(
        output,
        document,
        text=lambda: _text(line for r in results for line in r.lines(plan_lines)),
        names=_changed(results),
    )
    return _exit(results)


def _changed(results: Iterable[Result]) -> list[str]:
    """The Services for which something would be done, now or once it is approved."""
    plans = [result.plan for result in results if result.plan is not None]
    actions = (action for plan in plans for action in (*plan.actions, *plan.held))
    return sorted({owner.key for action in actions for step in action.steps for owner in step.owners})


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip() or NOTHING


def _exit(results: Sequence[Result]) -> int:
    if any(result.problem for result in results):
        return Exit.FAILURE
    return Exit.OK if all(result.is_empty for result in results) else Exit.CHANGES
