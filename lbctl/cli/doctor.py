"""`lbctl doctor`: what is wrong with the place in which lbctl runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lbctl.cli.options import output_option, settings_options
from lbctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbctl.driver import Finding
    from lbctl.settings import Loaded


@click.command(
    short_help="Look for what is wrong with cluster, rights and clouds.",
    epilog="Examples:  lbctl doctor --provider aws    lbctl doctor -o json --context prod",
)
@output_option("text", "json", "yaml")
@settings_options
def command(loaded: Loaded, output: str) -> int:
    """Look at API server, rights, leases, nodes, settings and every cloud account; each finding says what to do.

    The rights are those of the identity that runs this command. Exit code 0 when nothing failed, warnings too; 2 when
    a check failed, 1 when the API server cannot be asked.
    """
    from lbctl.cli import documents  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.cli.answer import answer  # noqa: PLC0415 - as above
    from lbctl.cli.consulting import consult  # noqa: PLC0415 - as above
    from lbctl.driver import Level  # noqa: PLC0415 - as above

    findings = consult(loaded.settings)
    document = documents.Diagnosis([documents.Finding.of(finding) for finding in findings])
    answer(output, document, text=lambda: _text(findings))
    return Exit.CHANGES if any(finding.level is Level.FAILED for finding in findings) else Exit.OK


def _text(findings: Sequence[Finding]) -> str:
    from lbctl.text import finding_lines  # noqa: PLC0415 - loaded by the command, not by its help

    counts = {word: sum(finding.level.value == word for finding in findings) for word in ("failed", "warning")}
    said = ", ".join(f"{count} {word}{'s' * (word == 'warning' and count != 1)}" for word, count in counts.items())
    return "\n".join((*finding_lines(findings), f"{len(findings)} findings: {said}"))
