"""A MariaDB for the services where the machine has one: SQLite takes one writer at a time, so little in parallel."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

GUARD = Path(__file__).parent / "guard.py"
TABLES = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
SHARES = ("mysql", "mariadb")
DATABASES = ("keystone", "neutron", "octavia")
START_SECONDS = 60


def find_server() -> Path | None:
    """The machine's own server, or None."""
    found = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    return Path(found).resolve() if found else None


@contextmanager
def running_mariadb(binary: Path, folder: Path, port: int) -> Iterator[str]:
    """`user:password@host:port` of a server on loopback with an empty database for each service; gone at the end."""
    share = next(path for name in SHARES if (path := binary.parents[1] / "share" / name / TABLES[0]).exists()).parent
    data = folder / "mariadb"
    data.mkdir(parents=True)
    common = [str(binary), "--no-defaults", f"--datadir={data}", f"--lc-messages-dir={share}"]
    if os.geteuid() == 0:
        common.append("--user=root")
    with (folder / "mariadb.log").open("ab") as log:
        _make_tables(common, share, log)
        # Whoever reaches loopback may log in: the data are a test's.
        options = [f"--socket={data}/s", f"--port={port}", "--bind-address=127.0.0.1", "--skip-grant-tables"]
        speed = ["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]
        command = [sys.executable, str(GUARD), *common, *options, *speed]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        _wait(port, server, folder / "mariadb.log")
        yield f"lbctl:lbctl@127.0.0.1:{port}"
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait()


def _make_tables(common: list[str], share: Path, log: object) -> None:
    script = "create database mysql;\nuse mysql;\n" + "".join((share / name).read_text() for name in TABLES)
    script += "".join(f"create database {name};\n" for name in DATABASES)
    command = [*common, "--bootstrap", "--max-allowed-packet=8M"]
    subprocess.run(command, check=True, input=script.encode(), stdout=log, stderr=log)


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    tick = threading.Event()
    for _ in range(START_SECONDS * 5):
        if server.poll() is not None:
            break
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
            return
        tick.wait(0.2)
    raise RuntimeError(f"MariaDB does not answer: see {log}")
