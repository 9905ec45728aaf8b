"""Runs `lbctl` as a shell does: arguments, variables and standard input go in, output and exit code come out.

`lbctl` runs it in this process, which costs milliseconds; `process` starts Python for it, where the promise is about a
process: its exit code, its streams, what outlives it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lbctl.cli.interrupts import SIGNALS
from lbctl.cli.main import run
from lbctl.obs.log import hide

SECONDS = 60
COMMAND = (sys.executable, "-W", "ignore", "-m", "lbctl")
STRICT = (sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-m", "lbctl")
OURS = ("LBCTL_", "KUBE")
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/output.schema.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Said:
    """What one command printed and returned."""

    code: int
    out: str
    err: str
    command: str

    @property
    def document(self) -> Any:
        """Standard output as the JSON document of the command, which its published schema describes."""
        found = json.loads(self.out)
        described(self.command).validate(found)
        return found


@functools.cache
def described(command: str) -> Draft202012Validator:
    """What the published schema says of a command's document; fails when it says nothing."""
    definition = {"$ref": f"#/$defs/{command}"}
    assert command in SCHEMA["$defs"], f"no definition of what {command} prints"
    return Draft202012Validator({"$schema": SCHEMA["$schema"], "$defs": SCHEMA["$defs"], **definition})


def command_of(arguments: Sequence[str]) -> str:
    """The command that the arguments begin with, as the schema calls it."""
    return "-".join(arguments[: 2 if arguments[:1] == ("config",) else 1])


def lbctl(*arguments: str, given: Mapping[str, str] | None = None, text: str = "") -> Said:
    """What `lbctl` says; `given` are its only LBCTL_ and KUBE variables, `text` is its standard input."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, _left_as_found():
        for name in [name for name in os.environ if name.startswith(OURS)]:
            patch.delenv(name)
        for name, value in (given or {}).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.StringIO(text))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
    return Said(code, out.getvalue(), err.getvalue(), command_of(arguments))


def process(
    *arguments: str, given: Mapping[str, str] | None = None, text: str = "", command: Sequence[str] = COMMAND
) -> Said:
    """What `lbctl` says as a process of its own; the command STRICT tells on standard error what it leaves open."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        [*command, *arguments],
        env={**kept, **(given or {})},
        input=text,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr, command_of(arguments))


@contextlib.contextmanager
def _left_as_found() -> Iterator[None]:
    """A command sets logging and signals up for its whole process; the next test finds neither."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    signals = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        hide(())
        for number, handler in signals.items():
            signal.signal(number, handler)
