"""`lbctl explain`: why a Service is as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lbctl.cli.options import output_option, service_argument, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from lbctl.settings import Loaded


@click.command(
    short_help="Say why a Service is as it is, and what to do.",
    epilog="Examples:  lbctl explain shop/web    lbctl explain shop/web --bundle web-support.json",
)
@service_argument
@click.option("--bundle", type=click.Path(path_type=Path, dir_okay=False), help="Write a redacted support bundle.")
@output_option("text", "json", "yaml")
@settings_options
def command(loaded: Loaded, service: str, bundle: Path | None, output: str) -> int:
    """Say why a Service is as it is: whose it is, who works on it, what is wrong, what waits; each with what to do.

    Exit code 0 when it is ready, 6 when it is not, 3 when there is no such Service.
    """
    from lbctl.cli import documents  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.answer import answer  # noqa: PLC0415 - as above
    from lbctl.cli.bundle import write_bundle  # noqa: PLC0415 - as above
    from lbctl.cli.desk import desk  # noqa: PLC0415 - as above
    from lbctl.cli.facts import gather  # noqa: PLC0415 - as above
    from lbctl.engine.explain import explain  # noqa: PLC0415 - as above
    from lbctl.engine.summary import State  # noqa: PLC0415 - as above
    from lbctl.text import finding_lines  # noqa: PLC0415 - as above

    with desk(loaded.settings) as at:
        facts = gather(at, service)
        findings = explain(facts)
        state = facts.summary.state
        document = documents.Explanation(service, state, [documents.Finding.of(finding) for finding in findings])
        if bundle is not None:
            write_bundle(bundle, at, loaded, facts, document)
    answer(output, document, text=lambda: "\n".join((f"{service} is {state}", *finding_lines(findings))))
    if bundle is not None:
        click.echo(f"wrote {bundle}", err=True)
    return Exit.OK if state is State.READY else Exit.NOT_READY
