"""`lbctl check`: validate Services in files, without a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.options import output_option, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from lbctl.settings import Loaded


@click.command(
    short_help="Validate Services in files, without a cluster.",
    epilog="Examples:  lbctl check -f services/ --provider aws    lbctl check -f - --provider local < web.yaml",
)
@click.option("-f", "--filename", "files", multiple=True, required=True, help="File or folder, - for standard input.")
@output_option("table", "json", "yaml", "name")
@settings_options
def command(loaded: Loaded, files: tuple[str, ...], output: str) -> int:
    """Validate the Services of type LoadBalancer in files: every problem of every Service, and unknown annotations.

    Folders are read with all that is below them, without hidden folders; objects of other kinds do not count. A file
    that cannot be read is told beside the verdicts on the others. Asks neither cluster nor cloud. Exit code 0 when all
    are valid, 3 when one, or a file, is not.
    """
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.documents import Validation  # noqa: PLC0415 - as above
    from lbctl.cli.validation import Verdict, validate  # noqa: PLC0415 - as above
    from lbctl.kube.manifests import read_files  # noqa: PLC0415 - as above
    from lbctl.text import table  # noqa: PLC0415 - as above

    reading = read_files(files)
    verdicts = [validate(document, loaded.settings) for document in reading.documents]
    rows = [row for verdict in verdicts for row in verdict.rows()]
    rows += [("", "", "invalid", str(problem)) for problem in reading.problems]
    verdicts += [Verdict(problem.path, "", problems=(problem,)) for problem in reading.problems]
    answer(
        output,
        Validation([verdict.document() for verdict in verdicts]),
        text=lambda: table(Verdict.COLUMNS, rows) if rows else "No Services in these files.",
        names=(verdict.service for verdict in verdicts),
    )
    return Exit.OK if all(verdict.is_valid for verdict in verdicts) else Exit.INVALID_INPUT
