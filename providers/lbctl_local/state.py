"""The state directory: discovery files, reserved addresses and locks. All disk access but the process's is here.

Every file is replaced atomically. A reservation is a file that is created exclusively, so that of two writers, also in
two processes, one wins. Entries and addresses of other clusters are kept as they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lbctl.errors import CloudBug, PermissionDenied
from lbctl_local.render import CLUSTER_TYPE, LISTENER_TYPE, Json

VERSION_LENGTH = 16
PRIVATE = 0o700


class Reservation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who has an address: content of its file. `leaves_at` is when its connections have had their time (ISO 8601)."""

    address: str
    cluster: str
    balancer: str
    namespace: str
    name: str
    uid: str
    leaves_at: str = ""


class _Discovery(msgspec.Struct, kw_only=True):
    """Content of a discovery file: a DiscoveryResponse."""

    version_info: str = ""
    resources: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of one discovery file by name, and the version that Envoy reports once it has taken them.

    `stamp` tells whether the file is still the one that was read.
    """

    by_name: Mapping[str, Json]
    version: str
    stamp: tuple[int, int] = (0, 0)


class StateDir:
    """Paths and files of one Envoy."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clusters = root / "cds.json"
        self.listeners = root / "lds.json"
        self.bootstrap = root / "bootstrap.json"
        self.admin_socket = root / "admin.sock"
        self.process = root / "envoy.json"
        self.process_lock = root / "envoy.lock"
        self.log = root / "envoy.log"
        self.access_logs = root / "access"
        self.addresses = root / "addresses"
        self._write_lock = root / "write.lock"
        self._known: dict[Path, Entries] = {}

    def create(self) -> None:
        """Make the directory and its empty files; `PermissionDenied` where that is not allowed."""
        try:
            for folder in (self.root, self.addresses, self.access_logs):
                folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
            for path, kind in ((self.clusters, CLUSTER_TYPE), (self.listeners, LISTENER_TYPE)):
                if not path.exists():
                    self.write_entries(path, {}, kind=kind)
        except PermissionError as error:
            raise PermissionDenied(
                f"cannot make the state directory {self.root}: {error}", hint="choose another `state_dir`"
            ) from None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Nobody else, in no other process, changes a discovery file meanwhile."""
        with self._write_lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def read_entries(self, path: Path) -> Entries:
        """Entries of a discovery file, none without one; `CloudBug` when it is damaged. Free while it is unchanged."""
        known = self._known.get(path)
        try:
            stamp = _stamp(path)
            if known is not None and known.stamp == stamp:
                return known
            content = msgspec.json.decode(path.read_bytes(), type=_Discovery)
            by_name = {entry["name"]: entry for entry in content.resources}
            self._known[path] = Entries(by_name, content.version_info, stamp)
            return self._known[path]
        except FileNotFoundError:
            return Entries({}, "")
        except (msgspec.DecodeError, KeyError) as error:
            raise CloudBug(f"{path} is damaged: {error}", hint="move it away; Envoy goes on with what it has") from None

    def write_entries(self, path: Path, by_name: Mapping[str, Json], *, kind: str) -> Entries:
        """Replace a discovery file; its version is a digest of its content."""
        resources = [{"@type": kind, **by_name[name]} for name in sorted(by_name)]
        body = msgspec.json.encode(resources, order="sorted")
        version = hashlib.sha256(body).hexdigest()[:VERSION_LENGTH]
        replace_file(path, msgspec.json.encode(_Discovery(version_info=version, resources=resources)))
        self._known[path] = Entries({entry["name"]: entry for entry in resources}, version, _stamp(path))
        return self._known[path]

    def reservations(self) -> dict[str, Reservation]:
        """All reserved addresses, of every cluster; one small read each."""
        found = {}
        for path in sorted(self.addresses.glob("*.json")):
            with contextlib.suppress(FileNotFoundError):
                reservation = _decode_reservation(path)
                found[reservation.address] = reservation
        return found

    def reserved(self) -> frozenset[str]:
        """All reserved addresses, by their files' names alone."""
        # Not through `Path`: making a thousand of them for each of a thousand new Services takes seconds.
        names = os.listdir(self.addresses) if self.addresses.exists() else ()  # noqa: PTH208 - see above
        return frozenset(name.removesuffix(".json").replace("_", ":") for name in names if name.endswith(".json"))

    def reservation(self, address: str) -> Reservation | None:
        """The reservation of an address, or None."""
        try:
            return _decode_reservation(self._path_of(address))
        except FileNotFoundError:
            return None

    def reserve(self, reservation: Reservation) -> Reservation:
        """Make the reservation unless the address has one; returns the one that holds now."""
        path = self._path_of(reservation.address)
        draft = path.with_suffix(f".{os.getpid()}.{reservation.balancer}")
        draft.write_bytes(msgspec.json.encode(reservation))
        try:
            os.link(draft, path)
        except FileExistsError:
            return _decode_reservation(path)
        finally:
            draft.unlink()
        return reservation

    def amend(self, reservation: Reservation) -> None:
        """Replace a reservation that is ours."""
        replace_file(self._path_of(reservation.address), msgspec.json.encode(reservation))

    def free(self, address: str) -> None:
        """Give an address back; success when it is free already."""
        self._path_of(address).unlink(missing_ok=True)

    def _path_of(self, address: str) -> Path:
        return self.addresses / f"{address.replace(':', '_')}.json"


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never a part."""
    draft = path.with_suffix(f".{os.getpid()}.new")
    draft.write_bytes(content)
    draft.replace(path)


def _decode_reservation(path: Path) -> Reservation:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Reservation)
    except msgspec.DecodeError as error:
        raise CloudBug(f"{path} is damaged: {error}", hint="remove it when no balancer uses the address") from None
