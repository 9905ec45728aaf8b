"""`lbctl gc`: what clouds hold for Services that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.durations import DURATION
from lbctl.cli.options import output_option, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from lbctl.settings import Loaded


@click.command(
    short_help="Find and remove what Services that are gone left behind.",
    epilog="Examples:  lbctl gc --older-than 2d    lbctl gc --delete --yes",
)
@click.option("--all", "everything", is_flag=True, help="With --cluster-id: all of that cluster, because it is gone.")
@click.option("--older-than", type=DURATION, default="1h", show_default=True, help="Leave alone what is younger.")
@click.option("--delete", is_flag=True, help="Remove what two looks agree on.")
@click.option("--apart", type=DURATION, default="10m", show_default=True, help="With --delete: time between the looks.")
@click.option("--yes", is_flag=True, help="With --delete: do not ask.")
@click.option("--timeout", type=DURATION, default="10m", show_default=True, help="With --delete: when to give up.")
@output_option("table", "wide", "json", "yaml", "name")
@settings_options
def command(
    loaded: Loaded,
    *,
    everything: bool,
    older_than: float,
    delete: bool,
    apart: float,
    yes: bool,
    timeout: float,
    output: str,
) -> int:
    """List what clouds hold for Services that do not exist, with owner, age and cost; or remove it.

    With --cluster-id and --cluster-name no kubeconfig is read: everything of that cluster is listed, and with --all
    it may be removed. Exit code 0 when nothing is left, 2 when something is, 1 when removal failed.
    """
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.sweep import Findings, search_of  # noqa: PLC0415 - as above

    with search_of(loaded, everything=everything, delete=delete) as search:
        findings = Findings.of(search, older_than=older_than)
        if delete:
            findings.remove(apart=apart, yes=yes, timeout=timeout)
    answer(output, findings.document(), text=findings.table, wide=findings.wide, names=findings.names())
    if findings.failed:
        return Exit.FAILURE
    return Exit.CHANGES if findings.left else Exit.OK
