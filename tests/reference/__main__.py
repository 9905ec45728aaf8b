"""`python -m tests.reference` writes every reference page that is made from the code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.reference.annotations import annotations_page
from tests.reference.commands import commands_page
from tests.reference.errors import errors_page, exits_page
from tests.reference.events import events_page
from tests.reference.metrics import metrics_page
from tests.reference.output import output_schema
from tests.reference.permissions import permissions_page
from tests.reference.settings import settings_page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "annotations.md": annotations_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "exit-codes.md": exits_page,
    "metrics.md": metrics_page,
    "output.schema.json": output_schema,
    "permissions.md": permissions_page,
    "settings.md": settings_page,
}


def main() -> int:
    """Write the pages that differ and name them."""
    for name, make in PAGES.items():
        text, file = make(), FOLDER / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
