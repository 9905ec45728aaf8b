"""Says on a terminal what a command is waiting for, once it has taken two seconds."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

PATIENCE_SECONDS = 2.0


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """Print `what` on standard error if it takes long and somebody watches."""
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(PATIENCE_SECONDS, lambda: sys.stderr.write(f"{what} …\n"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
