"""`lbctl annotations`: the reference of all annotations, from the drivers' tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from lbctl.cli.completing import complete_provider
from lbctl.cli.options import output_option


@click.command(
    short_help="Look annotations up.",
    epilog="Examples:  lbctl annotations    lbctl annotations lbctl.io/algorithm",
)
@click.argument("key", required=False)
@click.option("--provider", shell_complete=complete_provider, help="Only those of this driver.")
@output_option("table", "wide", "json", "yaml", "name")
def command(key: str | None, provider: str | None, output: str) -> None:
    """List every annotation, or tell all about one; a part of its key is enough."""
    from lbctl.cli.answer import answer  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.text import table  # noqa: PLC0415 - as above

    found = [doc for doc in _documents(provider) if key is None or key.lower() in doc["key"].lower()]
    if not found:
        raise click.UsageError(f"No annotation is called {key}. {_nearest(key or '', provider)}")
    rows = [(doc["key"], ",".join(doc["providers"]), doc["value"], doc["default"]) for doc in found]
    details = key is not None and output == "table"
    answer(
        output,
        {"annotations": found},
        text=lambda: _pages(found) if details else table(("KEY", "PROVIDERS", "VALUE", "DEFAULT"), rows),
        wide=lambda: table(("KEY", "VALUE", "WHAT"), [(doc["key"], doc["value"], doc["doc"]) for doc in found]),
        names=(doc["key"] for doc in found),
    )


def _documents(provider: str | None) -> list[dict[str, Any]]:
    from lbctl.registry import find_provider, known_providers  # noqa: PLC0415 - loaded by the command, not its help

    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for name in (provider,) if provider else known_providers():
        for annotation in find_provider(name).annotations:
            known = merged.setdefault((annotation.key, annotation.doc), _document(annotation))
            known["providers"].append(name)
    return sorted(merged.values(), key=lambda doc: (doc["key"], doc["providers"]))


def _document(annotation: Any) -> dict[str, Any]:  # noqa: ANN401 - an Annotation, whose module help does not load
    default = annotation.default
    return {
        "key": annotation.key,
        "providers": [],
        "value": annotation.kind.grammar,
        "default": ""
        if default in (None, "", ())
        else str(default).lower()
        if default in (True, False)
        else str(default),
        "doc": annotation.doc,
        "onChange": annotation.on_change,
        "modes": list(annotation.modes),
        "source": annotation.source,
        "deprecated": annotation.deprecated,
    }


def _pages(documents: list[dict[str, Any]]) -> str:
    return "\n\n".join("\n".join(_page(document)) for document in documents)


def _page(document: dict[str, Any]) -> Iterator[str]:
    yield document["key"]
    yield f"  {document['doc']}"
    for label, text in (
        ("value", document["value"]),
        ("default", document["default"]),
        ("on change", document["onChange"]),
        ("modes", ", ".join(document["modes"])),
        ("providers", ", ".join(document["providers"])),
        ("deprecated", document["deprecated"]),
    ):
        if text:
            yield f"  {label + ':':<12}{text}"


def _nearest(key: str, provider: str | None) -> str:
    import difflib  # noqa: PLC0415 - only for a misspelt key

    known = [doc["key"] for doc in _documents(provider)]
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"Did you mean {nearest[0]}?" if nearest else "`lbctl annotations` lists them."
