"""Asks before something is done that cannot be undone; only a terminal is asked, `--yes` answers beforehand."""

from __future__ import annotations

import sys

import click


def ask_consent(question: str, *, yes: bool) -> None:
    """Return when the answer is yes; `click.Abort` on no, `UsageError` where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody is here to be asked; give --yes.")
    click.confirm(question, abort=True, err=True)
