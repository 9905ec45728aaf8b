"""The environment of the services: a virtual environment of their own, made from a lock with hashes and kept.

It lives outside of version control and is made once (a minute, 450 MB); the lock's digest tells when it is stale.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE / "requirements.lock"
ROOT = HERE.parents[2]
FOLDER_VARIABLE = "OPENSTACK_ENV"
REQUIRED_VARIABLE = "OPENSTACK_REQUIRED"
INSTALL_SECONDS = 900
MISSING = "NOTHING OF OPENSTACK IS TESTED: its services cannot be installed here"


class CannotInstall(Exception):
    """The packages cannot be had here; the message says why."""


def folder() -> Path:
    """Where the environment is kept."""
    return Path(os.environ.get(FOLDER_VARIABLE) or ROOT / ".venv-openstack")


def is_required() -> bool:
    """True where a missing environment is a failure rather than a loud skip."""
    return bool(os.environ.get(REQUIRED_VARIABLE))


def is_made() -> bool:
    """True when the environment exists and is not stale."""
    stamp = folder() / ".installed"
    return stamp.exists() and stamp.read_text() == hashlib.sha256(LOCK.read_bytes()).hexdigest()


def make() -> Path:
    """The environment's Python, after making the environment if it is missing or stale; raises `CannotInstall`."""
    where = folder()
    stamp, python = where / ".installed", where / "bin" / "python"
    if is_made():
        return python
    _run([sys.executable, "-m", "venv", str(where)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--require-hashes", "--no-deps", "-r", str(LOCK)])
    stamp.write_text(hashlib.sha256(LOCK.read_bytes()).hexdigest())
    return python


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"{' '.join(command)} took longer than {INSTALL_SECONDS} s") from None
    if done.returncode:
        raise CannotInstall(f"{' '.join(command)} failed: {done.stderr.strip()[-600:]}")


def main() -> int:
    """Make the environment where it can be made; that it cannot is said on one line, and is an error where required."""
    try:
        make()
    except CannotInstall as error:
        print(f"{MISSING}: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201 - for the caller's terminal
        return int(is_required())
    return 0


if __name__ == "__main__":
    sys.exit(main())
