"""A reader's terminal: pastes blocks into a shell, and compares what it printed with what the page says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from lbctl.clock import SystemClock
from lbctl.errors import Exit

SECONDS = 60.0
LOOK_SECONDS = 0.1
# Ends what was left running, which has handlers of its own, and waits for it to clean up.
ENDING = "trap '' TERM; kill -TERM -- -$$; wait; exit 0\n"
NO_FAILURE = (Exit.OK, Exit.CHANGES, Exit.NOT_READY)
LEFT_OUT = "[...]"
CUT = "…"
# What differs from one run to the next, and what is compared in its place.
VOLATILE = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\S+_UUID", "LEADER"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "TIME"),
    (r"\b[IWE]\d{4} [\d:.]+", "STAMP"),
    (r"/\S*/lbctl-\w+", "HOME"),
    (r"\b[0-9a-f]{12,}\b", "HEX"),
    (r"\b\d{1,3}(\.\d{1,3}){3}\b", "ADDRESS"),
    (r"\b\d+(m\d+)?[smh]\b", "AGE"),
    (r"\b3[0-2]\d{3}\b", "NODEPORT"),
    (r"\b\d{5}\b", "PORT"),
    (r"^\s*\d+ (?=\w+-[0-9a-f]{8}-\d)", "COUNT "),
    (r"\s+", " "),
)


class Terminal:
    """A shell in `folder`, as a context manager; whatever was left running ends with it.

    It knows of the machine's variables only those that a fresh login has; `.venv` in the folder is this environment.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = SystemClock()
        self._count = 0
        self._running: dict[str, Path] = {}

    def __enter__(self) -> Self:
        (self._folder / ".venv").symlink_to(sys.prefix)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            cwd=self._folder,
            env={**kept, "PYTHONWARNINGS": "ignore"},
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._shell.communicate(ENDING, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._shell.pid, signal.SIGKILL)
            raise

    def paste(self, text: str) -> str:
        """Paste commands and return what they printed, errors among it; fails when the last of them does."""
        script, output, ended = self._files(text)
        self._say(f". {script} > {output} 2>&1 < /dev/null; echo $? > {ended}.new; mv {ended}.new {ended}")
        self._until(ended.exists, what=lambda: f"{text}\n{output.read_text()}")
        printed, code = output.read_text(), ended.read_text().strip()
        assert int(code) in NO_FAILURE, f"exit code {code} of\n{text}\n{printed}"
        return printed

    def leave_running(self, text: str, *, shows: str) -> None:
        """Start commands that stay, unless they run already; returns when they have printed what the page says."""
        assert shows, f"nothing says when this is up: {text}"
        if text not in self._running:
            script, output, _ = self._files(text)
            self._running[text] = output
            self._say(f"( trap '' TERM; . {script} ) > {output} 2>&1 < /dev/null &")
        output = self._running[text]
        # Its two streams meet in any order.
        claims = shows.splitlines()
        self._until(
            lambda: output.exists() and not any(missing(claim, output.read_text()) for claim in claims),
            what=output.read_text,
        )

    def _files(self, text: str) -> tuple[Path, Path, Path]:
        self._count += 1
        script = self._folder / f".block-{self._count}.sh"
        script.write_text(text, encoding="utf-8")
        return script, script.with_suffix(".out"), script.with_suffix(".ended")

    def _say(self, line: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(line + "\n")
        self._shell.stdin.flush()

    def _until(self, holds, *, what) -> None:
        give_up_at = self._clock.monotonic() + SECONDS
        while not holds():
            assert self._clock.monotonic() < give_up_at, f"not within {SECONDS:g} s: {what()}"
            self._clock.wait(LOOK_SECONDS)


def missing(shown: str, printed: str) -> list[str]:
    """Lines that the page shows and the output does not have, in this order; volatile parts do not count."""
    rest = iter([settled(line) for line in printed.splitlines()])
    return [line for line in _claims(shown) if not any(_is_line(line, found) for found in rest)]


def settled(line: str) -> str:
    """The line with a word in the place of everything that differs from one run to the next."""
    for pattern, word in VOLATILE:
        line = re.sub(pattern, word, line)
    return line.strip()


def _claims(shown: str) -> Iterator[str]:
    for line in shown.splitlines():
        if line.strip() and line.strip() != LEFT_OUT:
            yield settled(line)


def _is_line(claim: str, found: str) -> bool:
    return found.startswith(claim.removesuffix(CUT)) if claim.endswith(CUT) else found == claim
