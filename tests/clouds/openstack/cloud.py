"""Starts, fills and stops the three services, and lets a test look behind them.

`running` yields a `Cloud` with one region, a project `demo` with the role member, its network of nodes (IPv4 and IPv6),
an external network with two subnets, and a router between them. Clients reach Neutron and Octavia through proxies.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import openstack

from tests.clouds.openstack import configuration, environment
from tests.clouds.openstack.configuration import Layout
from tests.clouds.openstack.proxy import Proxy

SERVICE = Path(__file__).parent / "service.py"
START_SECONDS = 120
REGION = "RegionOne"
SERVICES = ("keystone", "neutron", "octavia")
NOTE = "running.json"
FOLDER_VARIABLE = "LBCTL_OPENSTACK_RUNNING"
NODE_COUNT = 4


def free_port() -> int:
    """A port that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cloud:
    """The services of one folder; see the module's text."""

    def __init__(self, folder: Path, *, mysql: str = "", known: dict[str, Any] | None = None) -> None:
        self.python = environment.make()
        ports = known["services"] if known else {name: free_port() for name in SERVICES}
        proxies = known["proxies"] if known else dict.fromkeys(SERVICES, 0)
        self.layout = Layout(folder, self.python.parents[1], mysql=mysql, **ports)
        self.neutron = Proxy(self.layout.neutron, port=proxies["neutron"])
        self.octavia = Proxy(self.layout.octavia, port=proxies["octavia"])
        self.keystone = Proxy(self.layout.keystone, port=proxies["keystone"])
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ids: dict[str, str] = {}
        self.node_addresses: list[tuple[str, ...]] = []

    # -- start and stop ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring everything up, empty but for the networks; about 25 s on two cores."""
        for proxy in (self.keystone, self.neutron, self.octavia):
            proxy.start()
        self._write_files()
        tables = self._spawn("neutron_db")
        self._manage("db_sync")
        url = f"{self.keystone.url}/v3"
        urls = ("--bootstrap-public-url", url, "--bootstrap-internal-url", url)
        self._manage("bootstrap", "--bootstrap-password", "admin", *urls, "--bootstrap-region-id", REGION)
        if tables.wait(START_SECONDS):
            raise RuntimeError(f"no tables for Neutron: see {self.layout.folder}/neutron_db.log")
        self._serve("keystone", "/v3")
        self._fill_identity()
        self._serve("neutron", "/")
        self._fill_networks()
        management = configuration.octavia_conf(self.layout, management_network=self.ids["lb-mgmt"])
        (self.layout.folder / "octavia.conf").write_text(management)
        self._serve("octavia", "/")

    def leave(self) -> None:
        """Note how to come back, and let the services run on."""
        known = {
            "services": {name: getattr(self.layout, name) for name in SERVICES},
            "proxies": {name: getattr(self, name).port for name in SERVICES},
            "processes": {name: process.pid for name, process in self._processes.items()},
            "ids": self.ids,
            "nodes": self.node_addresses,
        }
        (self.layout.folder / NOTE).write_text(json.dumps(known))
        self._processes.clear()
        self.stop()

    @classmethod
    def rejoin(cls, folder: Path) -> Cloud:
        """Services that were left running."""
        known = json.loads((folder / NOTE).read_text())
        cloud = cls(folder, known=known)
        cloud.ids = known["ids"]
        cloud.node_addresses = [tuple(addresses) for addresses in known["nodes"]]
        for proxy in (cloud.keystone, cloud.neutron, cloud.octavia):
            proxy.start()
        return cloud

    def stop(self) -> None:
        """End what was started."""
        for name in list(self._processes):
            self.kill(name)
        for proxy in (self.keystone, self.neutron, self.octavia):
            with suppress(OSError):
                proxy.stop()

    def kill(self, name: str) -> None:
        """End one service at once."""
        process = self._processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def revive(self, name: str) -> None:
        """Start a killed service again."""
        self._serve(name, "/")

    def _serve(self, name: str, path: str) -> None:
        self._processes[name] = self._spawn(name)
        self._wait(name, path)

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        folder = self.layout.folder
        mode = "parallel" if self.layout.mysql else "serial"
        port = str(getattr(self.layout, name, 0))
        with (folder / f"{name}.log").open("ab") as log:
            command = [str(self.python), "-W", "ignore", str(SERVICE), name, str(folder), port, mode]
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def _wait(self, name: str, path: str) -> None:
        tick = threading.Event()
        for _ in range(START_SECONDS * 5):
            if self._processes[name].poll() is not None:
                break
            try:
                with urllib.request.urlopen(self.layout.url(name) + path, timeout=2):
                    return
            except urllib.error.HTTPError as answer:
                answer.close()
                return
            except OSError:
                tick.wait(0.2)
        raise RuntimeError(f"{name} does not answer: see {self.layout.folder}/{name}.log")

    def _manage(self, *arguments: str) -> None:
        binary = self.python.parent / "keystone-manage"
        command = [str(binary), "--config-file", f"{self.layout.folder}/keystone.conf", *arguments]
        env = {**os.environ, "PYTHONWARNINGS": "ignore"}
        with (self.layout.folder / "keystone-manage.log").open("ab") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, env=env)

    def _write_files(self) -> None:
        folder = self.layout.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "keystone.conf").write_text(configuration.keystone_conf(self.layout))
        (folder / "neutron.conf").write_text(configuration.neutron_conf(self.layout))
        for name in ("fernet", "cred"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
            for number in ("0", "1"):
                key = folder / name / number
                key.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
                key.chmod(0o600)
        request = ["req", "-x509", "-newkey", "rsa:2048", "-days", "30", "-subj", "/CN=test", "-passout", "pass:pw"]
        files = ["-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem"]
        constraint = ["-addext", "basicConstraints=critical,CA:TRUE"]
        subprocess.run(["openssl", *request, *files, *constraint], check=True, capture_output=True)

    # -- contents ---------------------------------------------------------------------------------------------------

    def connect(self, user: str = "demo", *, project: str = "", past_proxy: bool = False) -> Any:
        """A client of the test's own, as `demo` or `admin`."""
        connection = openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth={**self.credentials, "username": user, "password": user, "project_name": project or user},
            region_name=REGION,
        )
        if past_proxy:
            connection.config.config["network_endpoint_override"] = self.layout.url("neutron") + "/v2.0"
            connection.config.config["load_balancer_endpoint_override"] = self.layout.url("octavia")
        return connection

    @property
    def credentials(self) -> dict[str, str]:
        """What the project `demo` logs in with."""
        return {
            "auth_url": f"{self.keystone.url}/v3",
            "username": "demo",
            "password": "demo",
            "project_name": "demo",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }

    def _fill_identity(self) -> None:
        identity = self.connect("admin").identity
        roles = {role.name: role for role in identity.roles()}
        for name, granted in (("svc", ("admin", "service")), ("demo", ("member",))):
            project = identity.create_project(name="service" if name == "svc" else name, domain_id="default")
            user = identity.create_user(name=name, password=name, domain_id="default")
            self.ids[f"project {name}"] = project.id
            for role in granted:
                identity.assign_project_role_to_user(project, user, roles[role])
        for name, kind, url in (
            ("neutron", "network", self.neutron.url),
            ("octavia", "load-balancer", self.octavia.url),
        ):
            service = identity.create_service(name=name, type=kind)
            for interface in ("public", "internal"):
                identity.create_endpoint(service_id=service.id, interface=interface, region_id=REGION, url=url)

    def _fill_networks(self) -> None:
        admin, user = self.connect("admin").network, self.connect().network
        management = admin.create_network(name="lb-mgmt")
        admin.create_subnet(network_id=management.id, cidr="192.168.0.0/16", ip_version=4)
        public = admin.create_network(
            name="public",
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network="public",
        )
        self.ids |= {"lb-mgmt": management.id, "public": public.id}
        for name, cidr in (("pub1", "203.0.113.0/24"), ("pub2", "198.51.100.0/28")):
            subnet = admin.create_subnet(
                network_id=public.id, name=name, cidr=cidr, ip_version=4, is_dhcp_enabled=False
            )
            self.ids[name] = subnet.id
        nodes = user.create_network(name="nodes")
        self.ids["nodes"] = nodes.id
        subnets = {4: "10.0.0.0/16", 6: "fd00:10::/64"}
        for version, cidr in subnets.items():
            subnet = user.create_subnet(network_id=nodes.id, name=f"nodes{version}", cidr=cidr, ip_version=version)
            self.ids[f"nodes{version}"] = subnet.id
        router = user.create_router(name="r", external_gateway_info={"network_id": public.id})
        user.add_interface_to_router(router, subnet=self.ids["nodes4"])
        for number in range(NODE_COUNT):
            port = user.create_port(network_id=nodes.id, name=f"node{number}", device_id=device_id(number))
            self.ids[f"port{number}"] = port.id
            self.node_addresses.append(tuple(sorted(fixed["ip_address"] for fixed in port.fixed_ips)))

    def execute(self, service: str, statement: str, *values: Any) -> None:
        """Change a service's SQLite database behind its back; used to force states that only a crash would make."""
        with closing(sqlite3.connect(self.layout.folder / f"{service}.db", timeout=30)) as database, database:
            database.execute(statement, values)


def device_id(number: int) -> str:
    """Id of the n-th node's instance."""
    return f"0000000{number}-0000-4000-8000-000000000000"


@contextmanager
def running(folder: Path, *, mysql: str = "") -> Iterator[Cloud]:
    """A started cloud, stopped at the end; raises `CannotInstall` where the packages cannot be had.

    With LBCTL_OPENSTACK_RUNNING, the services that `python -m tests.clouds.openstack FOLDER` has left running there.
    """
    left = "" if mysql else os.environ.get(FOLDER_VARIABLE, "")
    cloud = Cloud.rejoin(Path(left)) if left else Cloud(folder, mysql=mysql)
    try:
        if not left:
            cloud.start()
        yield cloud
    finally:
        cloud.stop()
