"""The Envoy process: started detached, found again by any later process, stopped without a trace.

Envoy inherits a locked file and holds the lock as long as it lives, so whether it lives needs no pid, and of two
starters one wins. A restart of lbctl does not touch it. Used by the supervisor, the driver and whoever stops it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import resource
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lbctl.clock import Clock
from lbctl.errors import MissingFact, Unreachable
from lbctl_local.interface import remove_address
from lbctl_local.render import render_bootstrap
from lbctl_local.settings import LocalSettings
from lbctl_local.state import StateDir, replace_file

STOP_SECONDS = 10.0
LOOK_SECONDS = 0.05
LARGEST_LOG = 16 * 2**20
DIGEST_LENGTH = 12


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What was started: content of `envoy.json`."""

    pid: int
    version: str
    bootstrap: str


class EnvoyProcess:
    """The one Envoy of a state directory."""

    def __init__(self, state: StateDir, settings: LocalSettings, *, binary: Path, version: str) -> None:
        self._state = state
        self._settings = settings
        self._binary = binary
        self._bootstrap = _bootstrap(state, settings)
        self.version = version

    @property
    def bootstrap_digest(self) -> str:
        """Names the command line and the bootstrap: an Envoy that was started with another one has to be restarted."""
        text = self._bootstrap + "\0".join(self._arguments()).encode()
        return hashlib.sha256(text).hexdigest()[:DIGEST_LENGTH]

    def is_alive(self) -> bool:
        """True while the process exists; one file lock."""
        return is_alive(self._state)

    def running(self) -> Running | None:
        """What runs, None when nothing does."""
        return read_running(self._state) if self.is_alive() else None

    def was_stopped(self) -> bool:
        """True when somebody stopped Envoy on purpose, or never started it."""
        return not self._state.process.exists()

    def start(self) -> bool:
        """Start Envoy unless it lives or somebody else is starting it; returns at once, before it serves."""
        lock = os.open(self._state.process_lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            self._spawn(lock)
            return True
        finally:
            os.close(lock)

    def terminate(self) -> None:
        """Ask the process to end; connections are cut."""
        running = self.running()
        if running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGTERM)

    def reap(self) -> None:
        """Take note of the end of the process if it is a child of ours; a dead child would keep its entry."""
        running = read_running(self._state)
        if running is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(running.pid, os.WNOHANG)

    def _spawn(self, lock: int) -> None:
        replace_file(self._state.bootstrap, self._bootstrap)
        self._state.admin_socket.unlink(missing_ok=True)
        _raise_file_limit()
        log = os.open(self._state.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if os.fstat(log).st_size > LARGEST_LOG:
            os.ftruncate(log, 0)
        try:
            pid = os.posix_spawn(
                self._binary,
                [str(self._binary), *self._arguments()],
                dict(os.environ),
                file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2), _inherit(lock)],
                setsid=True,
            )
        except OSError as error:
            raise MissingFact(f"cannot start {self._binary}: {error}", hint="install lbctl[local] again") from None
        finally:
            os.close(log)
        running = Running(pid=pid, version=self.version, bootstrap=self.bootstrap_digest)
        replace_file(self._state.process, msgspec.json.encode(running))

    def _arguments(self) -> tuple[str, ...]:
        return (
            *("--config-path", str(self._state.bootstrap)),
            *("--concurrency", str(self._settings.workers)),
            *("--drain-time-s", str(self._settings.drain_seconds)),
            *("--drain-strategy", "immediate"),
            *("--log-level", "warning"),
            "--disable-hot-restart",
            "--reject-unknown-dynamic-fields",
        )


def is_alive(state: StateDir) -> bool:
    """True while an Envoy of this state directory exists."""
    try:
        lock = os.open(state.process_lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def read_running(state: StateDir) -> Running | None:
    """What was started last, alive or not; None after it was stopped on purpose."""
    try:
        return msgspec.json.decode(state.process.read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def stop_envoy(root: Path, clock: Clock, *, interface: str = "") -> None:
    """End the Envoy of a state directory and remove the directory; success when there is none.

    With `interface`, the addresses that were added to it are taken off, those of all clusters. Waits at most 10 s, then
    kills. A supervisor elsewhere takes the missing `envoy.json` as "stopped on purpose".
    """
    state = StateDir(root)
    running = read_running(state)
    state.process.unlink(missing_ok=True)
    if running is not None and is_alive(state):
        _end(running.pid, state, clock)
    if interface:
        for address in state.reserved():
            remove_address(interface, address)
    shutil.rmtree(root, ignore_errors=True)


def _end(pid: int, state: StateDir, clock: Clock) -> None:
    for request in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, request)
        give_up_at = clock.monotonic() + STOP_SECONDS
        while is_alive(state) and clock.monotonic() < give_up_at:
            clock.wait(LOOK_SECONDS)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if not is_alive(state):
            return
    raise Unreachable(f"Envoy (pid {pid}) does not end", hint="look at the host")


def _inherit(descriptor: int) -> tuple[int, int, int]:
    # Duplicating a descriptor onto another number is what clears its close-on-exec flag.
    return (os.POSIX_SPAWN_DUP2, descriptor, 100 + descriptor)


def _raise_file_limit() -> None:
    """Every listener costs a socket a worker; the child inherits our limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bootstrap(state: StateDir, settings: LocalSettings) -> bytes:
    config: Mapping[str, object] = render_bootstrap(
        admin_socket=str(state.admin_socket),
        lds=str(state.listeners),
        cds=str(state.clusters),
        node_id="lbctl-local",
        max_connections=settings.max_connections,
    )
    return msgspec.json.encode(config, order="sorted")
