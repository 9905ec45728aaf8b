"""One lbctl on the running services: real calls, time as fast as the cloud works, a cluster name of its own.

Every scene has a cluster of its own in the shared project, so that scenes never see each other's balancers. lbctl logs
in with an application credential that allows only the calls of `lbctl_openstack.permissions`, so every test of this
folder also shows that they suffice.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import threading
from pathlib import Path
from typing import Any

from lbctl.clock import SystemClock
from lbctl.driver import Cluster
from lbctl.engine.controller import Work
from lbctl.model.objects import Node, NodeAddress, NodeSpec
from lbctl_openstack import DRIVER
from lbctl_openstack.permissions import EVERYTHING, access_rules
from lbctl_openstack.settings import OpenStackSettings
from tests.clouds.openstack.cloud import Cloud, device_id
from tests.world import World, change, node

SOON_SECONDS = 8.0
TICK_SECONDS = 0.05


class CloudTime(SystemClock):
    """A clock that runs with the cloud: a wait is over as soon as no balancer is being worked on, and counts in full.

    Nothing is due in real time then, so a pause of ten seconds costs no second. `patience` is how long a balancer that
    is being worked on is waited for, at most as long as the wait itself; 0 for those that will never be done.
    """

    def __init__(self, cloud: Cloud, patience: float = 60.0) -> None:
        self.cloud = cloud
        self.patience = patience
        self._ahead = 0.0

    def now(self) -> dt.datetime:
        return super().now() + dt.timedelta(seconds=self._ahead)

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        end = self.monotonic() + seconds
        give_up = super().monotonic() + min(seconds, self.patience)
        while super().monotonic() < give_up and self.cloud.is_at_work():
            super().wait(TICK_SECONDS)
        self._ahead += max(end - self.monotonic(), 0.0)
        return event is not None and event.is_set()

    def advance(self, seconds: float) -> None:
        self.wait(seconds)


class Scene(World):
    """A `World` whose cloud works in real time."""

    def __init__(
        self,
        cloud: Cloud,
        folder: Path,
        *,
        conf: str = "",
        nodes: int = 2,
        cluster: str = "",
        clock: CloudTime | None = None,
        **options: Any,
    ):
        self.cloud = cloud
        self.admin = cloud.user
        name = cluster or f"c{secrets.token_hex(3)}"
        self.path = folder / f"{name}.conf"
        self.path.write_text(cloud_conf(cloud, conf))
        settings = OpenStackSettings(cloud_config=str(self.path), timeout_seconds=60)
        time = clock or CloudTime(cloud)
        super().__init__(DRIVER, settings=settings, nodes=(), cluster=Cluster(name, name), clock=time, **options)
        for number in range(nodes):
            self.see_node(cloud_node(cloud, number))

    def due_work(self, seconds: float = SOON_SECONDS) -> Work | None:
        """The next piece of work, after waiting for it; None when nothing is due within `seconds`."""
        while True:
            self.controller.tick()
            if work := self.controller.next_work():
                return work
            due = self.controller.next_due()
            now = self.clock.monotonic()
            if due is None or due > now + seconds:
                return None
            self.clock.wait(max(due - now, 0.01))

    def settle(self, seconds: float = SOON_SECONDS) -> None:
        """Work until nothing is due within `seconds`."""
        while (work := self.due_work(seconds)) is not None:
            self.do(work)

    def work(self) -> None:
        """Do the next piece of work, which there must be."""
        work = self.due_work()
        assert work is not None
        self.do(work)

    def pass_time(self, seconds: float) -> None:
        """Work for so long, whatever is due."""
        end = self.clock.monotonic() + seconds
        while (work := self.due_work(end - self.clock.monotonic())) is not None:
            self.do(work)
        self.clock.wait(end - self.clock.monotonic())

    def reconfigure(self, conf: str) -> None:
        """Restart lbctl with other lines in [LoadBalancer]."""
        self.path.write_text(cloud_conf(self.cloud, conf))
        self.crash()

    def rest(self) -> None:
        """Wait until the cloud has done what somebody else has asked it for."""
        self.clock.wait(60)

    # -- what the cloud holds ---------------------------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Any:
        """A document of Octavia's, asked past lbctl."""
        return self.admin.load_balancer.get(f"/lbaas/{path}", params=query).json()

    def balancers(self, name: str = "web") -> list[Any]:
        """Balancers that bear a Service's name."""
        wanted = f"kube_service_{self.cluster.name}_shop_{name}"
        return list(self.get("loadbalancers", name=wanted)["loadbalancers"])

    def balancer(self, name: str = "web") -> Any:
        """The one balancer of a Service."""
        (found,) = self.balancers(name)
        return found

    def children(self, kind: str, name: str = "web") -> list[Any]:
        """Listeners or pools of a Service's balancer, by name."""
        listed = self.get(kind, loadbalancer_id=self.balancer(name)["id"])[kind]
        return sorted(listed, key=lambda body: body["name"])

    def members(self, pool: Any) -> list[Any]:
        """Members of a pool, by name."""
        listed = self.get(f"pools/{pool['id']}/members")["members"]
        return sorted(listed, key=lambda body: body["name"])

    def floating(self) -> list[Any]:
        """Floating IPs that name this cluster."""
        listed = self.admin.network.get("/floatingips").json()["floatingips"]
        return [body for body in listed if body["description"].endswith(f" cluster {self.cluster.name}")]

    def leftovers(self) -> list[str]:
        """Everything in the project that still bears the cluster's name."""
        balancers = [b["name"] for b in self.get("loadbalancers")["loadbalancers"]]
        marked = [name for name in balancers if f"_{self.cluster.name}_" in name]
        return [*marked, *(body["floating_ip_address"] for body in self.floating()), *self.groups()]

    def groups(self) -> list[str]:
        """Names of the security groups that name this cluster."""
        listed = self.admin.network.get("/security-groups").json()["security_groups"]
        return [body["name"] for body in listed if body["description"].endswith(f" cluster {self.cluster.name}")]


def cloud_conf(cloud: Cloud, extra: str = "") -> str:
    """A cloud.conf that logs in and may make the driver's calls only; `extra` are lines of [LoadBalancer] and more."""
    identity, secret = cloud.application_credential(json.dumps(access_rules(EVERYTHING)))
    return f"""[Global]
auth-url = {cloud.credentials["auth_url"]}
application-credential-id = {identity}
application-credential-secret = {secret}
region = RegionOne
[LoadBalancer]
{extra}
"""


def password_conf(cloud: Cloud, extra: str = "") -> str:
    """A cloud.conf that logs in with a password and may do everything that its user may."""
    access = cloud.credentials
    return f"""[Global]
auth-url = {access["auth_url"]}
username = {access["username"]}
password = "{access["password"]}"
tenant-name = {access["project_name"]}
user-domain-name = {access["user_domain_name"]}
tenant-domain-name = {access["project_domain_name"]}
region = RegionOne
[LoadBalancer]
{extra}
"""


def cloud_node(cloud: Cloud, number: int, **labels: str) -> Node:
    """The Node of one of the cloud's instances."""
    plain = node(f"node{number}", labels=labels)
    addresses = tuple(NodeAddress(type="InternalIP", address=address) for address in cloud.node_addresses[number])
    spec = NodeSpec(provider_id=f"openstack:///{device_id(number)}")
    return change(plain, spec=spec, status=change(plain.status, addresses=addresses))
