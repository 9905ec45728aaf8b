"""`lbctl annotations`: the reference of all annotations, from the drivers' tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from lbctl.cli.completing import complete_provider
from lbctl.cli.options import output_option

if TYPE_CHECKING:
    import lbctl.annotations
    from lbctl.cli.documents import Annotation


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
    from lbctl.cli.documents import Annotations  # noqa: PLC0415 - as above
    from lbctl.text import table  # noqa: PLC0415 - as above

    found = [one for one in _documents(provider) if key is None or key.lower() in one.key.lower()]
    if not found:
        raise click.UsageError(f"No annotation is called {key}. {_nearest(key or '', provider)}")
    rows = [(one.key, ",".join(one.providers), one.value, one.default) for one in found]
    details = key is not None and output == "table"
    answer(
        output,
        Annotations(found),
        text=lambda: _pages(found) if details else table(("KEY", "PROVIDERS", "VALUE", "DEFAULT"), rows),
        wide=lambda: table(("KEY", "VALUE", "WHAT"), [(one.key, one.value, one.doc) for one in found]),
        names=(one.key for one in found),
    )


def _documents(provider: str | None) -> list[Annotation]:
    from lbctl.registry import find_provider, known_providers  # noqa: PLC0415 - loaded by the command, not its help

    merged: dict[tuple[str, str], Annotation] = {}
    for name in (provider,) if provider else known_providers():
        for annotation in find_provider(name).annotations:
            known = merged.setdefault((annotation.key, annotation.doc), _document(annotation))
            known.providers.append(name)
    return sorted(merged.values(), key=lambda one: (one.key, one.providers))


def _document(annotation: lbctl.annotations.Annotation) -> Annotation:
    from lbctl.cli.documents import Annotation  # noqa: PLC0415 - loaded by the command, not its help

    return Annotation(
        key=annotation.key,
        providers=[],
        value=annotation.kind.grammar,
        default=annotation.written_default,
        doc=annotation.doc,
        on_change=annotation.on_change,
        modes=list(annotation.modes),
        source=annotation.source,
        deprecated=annotation.deprecated,
    )


def _pages(found: Iterable[Annotation]) -> str:
    return "\n\n".join("\n".join(_page(one)) for one in found)


def _page(annotation: Annotation) -> Iterator[str]:
    yield annotation.key
    yield f"  {annotation.doc}"
    for label, text in (
        ("value", annotation.value),
        ("default", annotation.default),
        ("on change", annotation.on_change),
        ("modes", ", ".join(annotation.modes)),
        ("providers", ", ".join(annotation.providers)),
        ("deprecated", annotation.deprecated),
    ):
        if text:
            yield f"  {label + ':':<12}{text}"


def _nearest(key: str, provider: str | None) -> str:
    import difflib  # noqa: PLC0415 - only for a misspelt key

    known = [one.key for one in _documents(provider)]
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"Did you mean {nearest[0]}?" if nearest else "`lbctl annotations` lists them."
