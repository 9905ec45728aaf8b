"""`lbctl plan`: what would be done, and what it would do to traffic."""

from __future__ import annotations

import json

import click

from lbctl.cli.options import Loaded, output_option, settings_options
from lbctl.errors import Exit


@click.command(
    short_help="Show what would be done.",
    epilog="Examples:  lbctl plan --provider local    lbctl plan shop/web -o json",
)
@click.argument("services", nargs=-1, metavar="[NAMESPACE/NAME]...")
@output_option("text", "json", "yaml")
@settings_options
def command(loaded: Loaded, services: tuple[str, ...], output: str) -> int:
    """Show the difference between what Services ask for and what the cloud holds: exit code 2 when there is one.

    Reads only: neither the cloud nor the API server is changed.
    """
    import yaml  # noqa: PLC0415 - loaded by the command, not by its help

    from lbctl.cli.desk import desk, selected  # noqa: PLC0415 - as above
    from lbctl.cli.plans import plans_of  # noqa: PLC0415 - as above
    from lbctl.plan.render import plan_document, plan_lines  # noqa: PLC0415 - as above

    with desk(loaded.settings) as assembly:
        chosen = selected(assembly, services)
        results = list(plans_of(assembly, chosen, everything=not services))
    if output == "text":
        for result in results:
            click.echo("\n".join(result.lines(plan_lines)))
    else:
        document = {"version": 1, "plans": [result.document(plan_document) for result in results]}
        click.echo(json.dumps(document, indent=2) if output == "json" else yaml.safe_dump(document, sort_keys=False))
    if any(result.problem for result in results):
        return Exit.FAILURE
    return Exit.OK if all(result.is_empty for result in results) else Exit.CHANGES
