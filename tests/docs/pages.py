"""What tests read of a Markdown page: its fenced blocks with the mark above each, its links and its anchors.

A mark is an HTML comment on the line above a block, so that no reader sees it:

    <!-- run -->                    the block is pasted into the reader's shell
    <!-- run and leave running -->  the same, in a terminal of its own, until the end
    <!-- shows -->                  what the block before it prints
    <!-- settings -->               a settings file
    <!-- cloud's file -->           the file in /etc/lbctl/cloud that the settings of the page name
    <!-- services of NAME -->       Services that the driver NAME serves as they are
    <!-- not run: WHY -->           commands that cannot be run here
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
MARK = re.compile(r"^\s*<!-- (.+) -->\s*$")
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+?)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block; `mark` is empty when no comment stands above it."""

    page: Path
    line: int
    mark: str
    language: str
    text: str

    @property
    def where(self) -> str:
        """`file:line`, for messages and test ids."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def every_page() -> list[Path]:
    """All pages that a reader may open."""
    return [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    above = ""
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    for number, line in lines:
        opening = FENCE.match(line)
        if opening is None:
            above = line
            continue
        indent, language = opening.groups()
        body = []
        for _, inner in lines:
            if inner.rstrip() == f"{indent}```":
                break
            body.append(inner.removeprefix(indent))
        mark = MARK.match(above)
        yield Block(page, number, mark.group(1) if mark else "", language, "\n".join(body) + "\n")
        above = ""


def prose(page: Path) -> str:
    """The page without its fenced blocks and code spans."""
    text = re.sub(r"(?ms)^(\s*)```.*?^\1```\s*$", "", page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", "", text)


def links(page: Path) -> Iterator[str]:
    """Targets of all links of a page."""
    yield from (found.group(1) for found in LINK.finditer(prose(page)))


def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as the site makes them."""
    text = re.sub(r"(?ms)^(\s*)```.*?^\1```\s*$", "", page.read_text(encoding="utf-8"))
    found = (HEADING.match(line) for line in text.splitlines())
    return frozenset(_slug(one.group(1)) for one in found if one)


def _slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading.replace("`", "")).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
