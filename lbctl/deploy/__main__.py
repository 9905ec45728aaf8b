"""Writes the rendered files below a folder: `python -m lbctl.deploy manifests`."""

from __future__ import annotations

import sys
from pathlib import Path

from lbctl.deploy.files import rendered_files
from lbctl.registry import find_provider, known_providers


def main(folder: str) -> None:
    """Write every file."""
    for name, text in rendered_files(map(find_provider, known_providers())).items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
