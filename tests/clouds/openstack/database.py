"""A MariaDB for the services, where one can be had: SQLite takes one writer at a time and so no parallel test.

The server is the one on PATH, else Debian's packages are downloaded and unpacked into a folder, without installing
anything: that needs apt and no privilege.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.clouds.openstack import environment
from tests.clouds.openstack.environment import CannotInstall

PACKAGES = ("mariadb-server-core", "mariadb-server", "liburing2", "libaio1")
TABLES = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
DATABASES = ("keystone", "neutron", "octavia")
START_SECONDS = 60


def find_server() -> Path:
    """The server's binary; raises `CannotInstall` where neither PATH nor apt has one."""
    found = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    return Path(found) if found else _unpacked(environment.folder() / "mariadb")


def _unpacked(folder: Path) -> Path:
    binary = folder / "root" / "usr" / "sbin" / "mariadbd"
    if binary.exists():
        return binary
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise CannotInstall("there is no mariadbd on PATH, and no apt to download one with")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["apt-get", "download", *PACKAGES], check=False, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise CannotInstall(f"apt-get download {' '.join(PACKAGES)} failed: {done.stderr.strip()[-300:]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(folder / "root")], check=True, capture_output=True)
    return binary


@contextmanager
def running_mariadb(folder: Path, port: int) -> Iterator[str]:
    """`user:password@host:port` of a server on loopback with an empty database for each service; gone at the end."""
    binary = find_server()
    base = binary.parents[1]
    share = base / "share" / "mysql"
    libraries = next(iter(sorted(base.glob("lib/*-linux-gnu"))), base / "lib")
    env = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    data = folder / "mariadb"
    data.mkdir(parents=True)
    common = [str(binary), "--no-defaults", f"--basedir={base}", f"--datadir={data}", f"--lc-messages-dir={share}"]
    if os.geteuid() == 0:
        common.append("--user=root")
    with (folder / "mariadb.log").open("ab") as log:
        _make_tables(common, share, env, log)
        # Whoever reaches loopback may log in: the data are a test's.
        options = [f"--socket={data}/s", f"--port={port}", "--bind-address=127.0.0.1", "--skip-grant-tables"]
        speed = ["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]
        server = subprocess.Popen([*common, *options, *speed], env=env, stdout=log, stderr=log)
    try:
        _wait(port, server, folder / "mariadb.log")
        yield f"lbctl:lbctl@127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            server.kill()
        server.wait()


def _make_tables(common: list[str], share: Path, env: dict[str, str], log: object) -> None:
    script = "create database mysql;\nuse mysql;\n" + "".join((share / name).read_text() for name in TABLES)
    script += "".join(f"create database {name};\n" for name in DATABASES)
    command = [*common, "--bootstrap", "--max-allowed-packet=8M"]
    subprocess.run(command, check=True, env=env, input=script.encode(), stdout=log, stderr=log)


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    tick = threading.Event()
    for _ in range(START_SECONDS * 5):
        if server.poll() is not None:
            break
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
            return
        tick.wait(0.2)
    raise RuntimeError(f"MariaDB does not answer: see {log}")
