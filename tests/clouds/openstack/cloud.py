"""Starts, fills and stops the three services, and lets a test look behind them.

`running` yields a `Cloud` with one region, a project `demo` with the role member, its network of nodes (IPv4 and IPv6),
an external network with two subnets, and a router between them. Clients reach Neutron and Octavia through proxies.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import openstack

from tests.clouds.openstack import configuration, environment
from tests.clouds.openstack.barbican import Barbican
from tests.clouds.openstack.configuration import Layout
from tests.clouds.openstack.database import GUARD, find_server, running_mariadb
from tests.clouds.openstack.proxy import Proxy

SERVICE = Path(__file__).parent / "service.py"
START_SECONDS = 120
REGION = "RegionOne"
SERVICES = ("keystone", "neutron", "octavia")
NOTE = "running.json"
FOLDER_VARIABLE = "OPENSTACK_RUNNING"
NODE_COUNT = 4
CHILDREN = ("listener", "pool", "member", "health_monitor")


def free_port() -> int:
    """A port that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """True when somebody answers, whatever it is."""
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except urllib.error.HTTPError as answer:
        answer.close()
        return True
    except OSError:
        return False


class Cloud:
    """The services of one folder; see the module's text."""

    def __init__(
        self, folder: Path, *, mysql: str = "", outlives: bool = False, known: dict[str, Any] | None = None
    ) -> None:
        self.python = environment.make()
        self._outlives = outlives
        ports = known["services"] if known else {name: free_port() for name in SERVICES}
        proxies = known["proxies"] if known else dict.fromkeys(SERVICES, 0)
        self.layout = Layout(folder, self.python.parents[1], mysql=mysql, **ports)
        self.neutron = Proxy(self.layout.neutron, port=proxies["neutron"])
        self.octavia = Proxy(self.layout.octavia, port=proxies["octavia"])
        self.keystone = Proxy(self.layout.keystone, port=proxies["keystone"])
        self.barbican = Barbican(proxies["barbican"] if known else 0)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ids: dict[str, str] = {}
        self.node_addresses: list[tuple[str, ...]] = []

    @property
    def _servers(self) -> tuple[Proxy | Barbican, ...]:
        """What listens in this process."""
        return self.keystone, self.neutron, self.octavia, self.barbican

    # -- start and stop ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring everything up, empty but for the networks; about 15 s on two cores."""
        for server in self._servers:
            server.start()
        self._write_files()
        for name in SERVICES:  # together: most of the time they load their own code
            self._spawn(name)
        self._wait("keystone", "/v3")
        self._fill_identity()
        self._wait("neutron", "/")
        self._fill_networks()
        self._write("octavia.conf", configuration.octavia_conf(self.layout, management_network=self.ids["lb-mgmt"]))
        self._wait("octavia", "/")

    def leave(self) -> None:
        """Note how to come back, and let the services run on."""
        known = {
            "services": {name: getattr(self.layout, name) for name in SERVICES},
            "proxies": {name: getattr(self, name).port for name in (*SERVICES, "barbican")},
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
        for server in cloud._servers:
            server.start()
        return cloud

    def stop(self) -> None:
        """End what was started."""
        for name in list(self._processes):
            self._kill(name)
        for server in self._servers:
            with suppress(OSError):
                server.stop()

    def crash_octavia(self) -> None:
        """Kill Octavia, API and worker, in the middle of whatever it does; another one has come when this returns."""
        note = self.layout.folder / "octavia.pid"
        victim = note.read_text()
        os.kill(int(victim), signal.SIGKILL)
        self._until(lambda: note.read_text() != victim)
        self._until(partial(answers, self.layout.url("octavia")))

    def _until(self, holds: Callable[[], bool]) -> None:
        tick = threading.Event()
        for _ in range(START_SECONDS * 20):
            if holds():
                return
            tick.wait(0.05)
        raise RuntimeError(f"Octavia does not get there: see {self.layout.folder}/octavia.log")

    def _kill(self, name: str) -> None:
        """End one service at once."""
        process = self._processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def _spawn(self, name: str) -> None:
        folder = self.layout.folder
        mode = "parallel" if self.layout.mysql else "serial"
        service = [str(self.python), "-W", "ignore", str(SERVICE), name, str(folder), str(getattr(self.layout, name))]
        guard = [] if self._outlives else [sys.executable, str(GUARD)]
        stdin = subprocess.DEVNULL if self._outlives else subprocess.PIPE
        with (folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*guard, *service, mode], stdin=stdin, stdout=log, stderr=log, start_new_session=True
            )

    def _wait(self, name: str, path: str) -> None:
        tick = threading.Event()
        for _ in range(START_SECONDS * 10):
            if self._processes[name].poll() is not None:
                break
            if answers(self.layout.url(name) + path):
                return
            tick.wait(0.1)
        raise RuntimeError(f"{name} does not answer: see {self.layout.folder}/{name}.log")

    def _write_files(self) -> None:
        folder = self.layout.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._write("identity-url", f"{self.keystone.url}/v3")
        self._write("keystone.conf", configuration.keystone_conf(self.layout))
        self._write("neutron.conf", configuration.neutron_conf(self.layout))
        for name in ("fernet", "cred"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
            for number in ("0", "1"):
                key = folder / name / number
                key.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
                key.chmod(0o600)

    def _write(self, name: str, text: str) -> None:
        """A file that is whole as soon as it is there."""
        draft = self.layout.folder / f"{name}.new"
        draft.write_text(text)
        draft.rename(self.layout.folder / name)

    # -- contents ---------------------------------------------------------------------------------------------------

    def connect(self, user: str = "demo") -> Any:
        """A client of the test's own, as `demo` or `admin`."""
        return openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth={**self.credentials, "username": user, "password": user, "project_name": user},
            region_name=REGION,
        )

    @cached_property
    def user(self) -> Any:
        """The client of `demo` that tests look with."""
        return self.connect()

    def is_at_work(self) -> bool:
        """True while Octavia works on any balancer; asked of its database, since a list costs it as much as a write."""
        busy = "SELECT 1 FROM load_balancer WHERE project_id = :project AND provisioning_status LIKE 'PENDING%'"
        return bool(self.execute(busy, project=self.ids["project demo"]))

    def rest(self) -> None:
        """Return when Octavia has done what it was asked for."""
        self._until(lambda: not self.is_at_work())

    def finish(self) -> None:
        """Let all be done that was asked of a provider that does nothing, and so never says that it has."""
        for table in ("load_balancer", *CHILDREN):
            for old, new in (("PENDING_DELETE", "DELETED"), ("PENDING%", "ACTIVE")):
                self.execute(
                    f"UPDATE {table} SET provisioning_status = :new "
                    "WHERE project_id = :id AND provisioning_status LIKE :old",
                    id=self.ids["project demo"],
                    old=old,
                    new=new,
                )

    def forget_balancers(self) -> None:
        """Put all balancers out of the project's sight: to delete them would cost two seconds each.

        They stay as they are, below a project that is nobody's; what they use of the quota is counted anew.
        """
        for table in ("load_balancer", *CHILDREN):
            self.execute(
                f"UPDATE {table} SET project_id = 'nobody' WHERE project_id = :id", id=self.ids["project demo"]
            )
        self.execute("DELETE FROM quotas WHERE project_id = :id", id=self.ids["project demo"])

    @cache  # noqa: B019 - lives as long as the tests
    def application_credential(self, access_rules: str) -> tuple[str, str]:
        """Id and secret of an application credential of `demo` with these access rules, a JSON list."""
        body = {"name": secrets.token_hex(8), "access_rules": json.loads(access_rules)}
        path = f"/users/{self.user.current_user_id}/application_credentials"
        reply = self.user.identity.post(path, json={"application_credential": body})
        made = reply.json()["application_credential"]
        return made["id"], made["secret"]

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
            ("barbican", "key-manager", self.barbican.url),
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

    def execute(self, statement: str, **values: Any) -> list[list[Any]]:
        """Read or change Octavia's database behind its back: for states that only a crash of its own would make."""
        body = json.dumps({"statement": statement, "values": values}).encode()
        with urllib.request.urlopen(f"{self.layout.url('octavia')}/sql", body, timeout=30) as reply:
            rows: list[list[Any]] = json.loads(reply.read())
        return rows


def device_id(number: int) -> str:
    """Id of the n-th node's instance."""
    return f"0000000{number}-0000-4000-8000-000000000000"


@contextmanager
def running(folder: Path) -> Iterator[Cloud]:
    """A started cloud, stopped at the end, on the machine's MariaDB or else on SQLite; raises `CannotInstall`.

    With OPENSTACK_RUNNING, the services that `python -m tests.clouds.openstack FOLDER` has left running there.
    """
    left, server = os.environ.get(FOLDER_VARIABLE, ""), find_server()
    with ExitStack() as stack:
        if left:
            cloud = Cloud.rejoin(Path(left))
        elif server is None:
            cloud = Cloud(folder)
        else:
            cloud = Cloud(folder, mysql=stack.enter_context(running_mariadb(server, folder, free_port())))
        stack.callback(cloud.stop)
        if not left:
            cloud.start()
        yield cloud
