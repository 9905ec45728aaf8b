"""An answer in the form asked for: a table for people, JSON or YAML with a version for programs, names for xargs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

FORMS = ("table", "wide", "json", "yaml", "name")
VERSION = 1


def answer(
    form: str,
    document: Mapping[str, Any],
    *,
    text: Callable[[], str],
    wide: Callable[[], str] | None = None,
    names: Iterable[str] = (),
) -> None:
    """Print `document`, or the text of a form for people; `text` serves every form that is not a document or names."""
    if form in ("json", "yaml"):
        click.echo(rendered(form, document))
    elif form == "name":
        click.echo("\n".join(names))
    else:
        click.echo(wide() if form == "wide" and wide is not None else text())


def rendered(form: str, document: Mapping[str, Any]) -> str:
    """The document, with its version first."""
    versioned = {"version": VERSION, **document}
    if form == "json":
        return json.dumps(versioned, indent=2)
    import yaml  # noqa: PLC0415 - only for this form

    return yaml.safe_dump(versioned, sort_keys=False, allow_unicode=True).rstrip("\n")
