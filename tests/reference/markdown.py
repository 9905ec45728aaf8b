"""Pieces of Markdown: what pages are put together from. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MADE = "*Made from the code by `make reference`; changes belong there.*"


def page(title: str, *blocks: str) -> str:
    """A page whose first words say where it comes from; empty blocks are left out."""
    return "\n\n".join((f"# {title}", MADE, *(block.rstrip() for block in blocks if block))) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty when it has no rows."""
    lines = [_row(row) for row in rows]
    if not lines:
        return ""
    return "\n".join((_row(columns), "|" + "---|" * len(columns), *lines))


def code(text: object) -> str:
    """Text as it is typed; nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def codes(texts: Iterable[object]) -> str:
    """Several of them."""
    return ", ".join(code(text) for text in texts)


def fenced(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def prose(docstring: str | None) -> str:
    """A docstring as paragraphs, one line each."""
    paragraphs = re.split(r"\n\s*\n", (docstring or "").strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
