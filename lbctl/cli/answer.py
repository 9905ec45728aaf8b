"""An answer in the form asked for: a table for people, JSON or YAML with a version for programs, names for xargs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lbctl.cli.documents import Answer


def answer(
    form: str,
    document: Answer,
    *,
    text: Callable[[], str],
    wide: Callable[[], str] | None = None,
    names: Iterable[str] = (),
) -> None:
    """Print `document`, or the text of a form for people; `text` serves every form that is not a document or names."""
    if form in ("json", "yaml"):
        click.echo(rendered(form, document))
    elif form == "name":
        for name in names:
            click.echo(name)
    else:
        click.echo(wide() if form == "wide" and wide is not None else text())


def rendered(form: str, document: Answer) -> str:
    """The document, with its version first."""
    import msgspec  # noqa: PLC0415 - only for what is no help

    from lbctl.cli.documents import VERSION  # noqa: PLC0415 - as above

    versioned: dict[str, Any] = {"version": VERSION, **msgspec.to_builtins(document)}
    if form == "json":
        return json.dumps(versioned, indent=2)
    import yaml  # noqa: PLC0415 - only for this form

    return yaml.safe_dump(versioned, sort_keys=False, allow_unicode=True).rstrip("\n")
