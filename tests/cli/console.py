"""Runs `lbctl` as a shell does: a process, its output and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECONDS = 60


@dataclass(frozen=True)
class Said:
    """What one command printed and returned."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


def lbctl(*arguments: str, given: Mapping[str, str] | None = None, text: str | None = None) -> Said:
    """What `lbctl` says; `given` are its only LBCTL_ and KUBE variables, `text` is its standard input."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LBCTL_", "KUBE"))}
    command = [sys.executable, "-W", "ignore", "-m", "lbctl", *arguments]
    done = subprocess.run(
        command, env={**kept, **(given or {})}, input=text, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)
