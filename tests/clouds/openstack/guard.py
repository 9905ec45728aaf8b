"""Runs a command for as long as somebody holds our standard input: `python guard.py COMMAND ...`.

A test session that is killed cannot stop what it has started, but its end of the pipe closes whatever ends it. Stands
alone: it runs before any environment is chosen.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress


def end_with_input(command: subprocess.Popen[bytes]) -> None:
    """Kill the command when nobody is left to want it."""
    with suppress(OSError):
        while os.read(0, 1):
            pass
    command.kill()


if __name__ == "__main__":
    guarded = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=end_with_input, args=(guarded,), daemon=True).start()
    sys.exit(guarded.wait())
