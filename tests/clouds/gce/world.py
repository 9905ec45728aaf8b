"""A cluster on Google Cloud: one lbctl, its nodes' instances, a network, and things that belong to others.

Every kind of object has a bystander, which must be as it was after whatever happens.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from lbctl.clock import ManualClock
from lbctl.driver import Cluster, Driver, Pending, Refs, Setup
from lbctl.model.objects import Node
from lbctl.model.resource import Outputs
from lbctl.plan.actions import Action
from lbctl_gce import DRIVER
from lbctl_gce.settings import GceSettings
from tests.clouds.gce.compute import Compute
from tests.clouds.gce.credentials import write_federation
from tests.clouds.gce.permissions import granted
from tests.clouds.gce.server import ComputeServer
from tests.clouds.gce.store import ROOT
from tests.world import MemoryKube, World, node

PROJECT, REGION, UID, INGRESS_UID = "shop-project", "europe-west1", "kubesystem-uid1", "0123456789abcdef"
HOME = f"projects/{PROJECT}"
REGIONAL = f"{HOME}/regions/{REGION}"
BYSTANDER = "somebody-elses"


Hook = Callable[[str, int], None]


def nothing_happens(_call: str, _number: int) -> None:
    """The hook of an undisturbed run."""


class Mortal:
    """A driver that lets a test end the process right before or after one of its writes."""

    def __init__(self, driver: Driver, world: Google) -> None:
        self._driver, self._world = driver, world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        self._world.cloud_writes += 1
        number = self._world.cloud_writes
        self._world.before(action.call, number)
        try:
            return self._driver.apply(action, refs)
        finally:
            self._world.after(action.call, number)


class Google(World):
    """A world whose cloud is a `ComputeServer` on the world's own clock."""

    def __init__(
        self,
        server: ComputeServer,
        folder: Path,
        *,
        network_project: str = PROJECT,
        nodes: Iterable[str] = ("n1", "n2"),
        uid: str = UID,
        documents: Mapping[str, Mapping[str, str]] = {},
        clock: ManualClock | None = None,
        **settings: Any,
    ) -> None:
        self.server = server
        self.compute: Compute = server.compute
        self.network_project = network_project
        self.cloud_writes = 0
        self.before: Hook = nothing_happens
        self.after: Hook = nothing_happens
        lay_out(self.compute, network_project)
        self.others = self.bystanders()
        self.compute.granted = granted(PROJECT, network_project)
        given = {
            "credentials_file": str(write_federation(folder / "federation.json", server.url)),
            "project": PROJECT,
            "network_project": network_project,
            "region": REGION,
            "api_endpoint": server.url,
            "ingress_uid": INGRESS_UID,
            "node_tags": ("nodes",),
            "backend_service_default": True,
            **settings,
        }

        def connect(setup: Setup) -> Driver:
            return cast("Driver", Mortal(DRIVER.connect(replace(setup, read_document=documents.get)), self))

        info = replace(DRIVER, connect=connect)
        super().__init__(info, settings=GceSettings(**given), nodes=(), cluster=Cluster("kubernetes", uid), clock=clock)
        for name in nodes:
            self.join(name)

    def start(self) -> None:
        """Start a process; the cloud lives on the clock of the world."""
        self.compute.operations.now = self.clock.monotonic
        super().start()

    def join(self, name: str, zone: str = "b", **spec: Any) -> Node:
        """A node joins with its instance; the name may be a full domain name."""
        place = f"{REGION}-{zone}"
        instance = name.partition(".")[0]
        self.compute.store.put(
            f"{HOME}/zones/{place}/instances/{instance}", {"tags": {"items": ["nodes", f"{instance[:1]}"]}}
        )
        new = node(name, provider_id=f"gce://{PROJECT}/{place}/{instance}", **spec)
        self.see_node(new)
        return new

    def objects(self, collection: str) -> dict[str, dict[str, Any]]:
        """Objects of a collection by name, bystanders left out."""
        found = self.compute.store.of(collection)
        return {body["name"]: body for _, body in found if not body["name"].startswith(BYSTANDER)}

    def members(self, zone: str = "b") -> set[str]:
        """Names of the instances in the zone's group."""
        path = f"{HOME}/zones/{REGION}-{zone}/instanceGroups/k8s-ig--{INGRESS_UID}"
        return {member.rpartition("/")[2] for member in self.compute.store.members.get(path, [])}

    def keep(self) -> tuple[Any, ...]:
        """What cloud and API server hold now, for `back_to`; nothing may be on its way."""
        assert isinstance(self.kube, MemoryKube)
        return copy.deepcopy(self.compute.store), self.kube.keep()

    def back_to(self, kept: tuple[Any, ...]) -> None:
        """Cloud and API server hold what was kept, and a new process has looked at it: quicker than another world."""
        assert isinstance(self.kube, MemoryKube)
        store, services = kept
        self.before = self.after = self.kube.before = self.kube.after = nothing_happens
        self.compute.store = copy.deepcopy(store)
        self.compute.operations.by_name.clear()
        self.compute.faults.clear()
        self.kube.back_to(services)
        self.crash()
        self.settle()

    def state(self) -> list[tuple[str, Any]]:
        """Everything that is in the cloud."""
        return self.compute.store.picture()

    def bystanders(self) -> list[tuple[str, Any]]:
        """Everything that belongs to others, with members."""
        return [(path, what) for path, what in self.state() if path.split(" ")[0].rpartition("/")[2] == BYSTANDER]

    def all_done(self) -> None:
        """No answer of the fake was wrong, nothing failed inside of it or of lbctl, bystanders are as they were.

        A test that plays somebody else and changes their objects says so by `world.others = world.bystanders()`.
        """
        assert not self.bugs
        assert not self.server.bugs
        assert not self.compute.wrong_replies
        assert self.bystanders() == self.others


def lay_out(compute: Compute, network_project: str) -> None:
    """Network, subnet and bystanders."""
    store = compute.store
    home = f"projects/{network_project}"
    store.put(f"{home}/global/networks/default", {})
    for name, cidr in (("default", "10.1.0.0/16"), ("other", "10.2.0.0/16")):
        link = {"network": f"{ROOT}{home}/global/networks/default", "ipCidrRange": cidr}
        store.put(f"{home}/regions/{REGION}/subnetworks/{name}", link)
    for path, body in bystanders():
        store.put(path, body)


def bystanders() -> list[tuple[str, dict[str, Any]]]:
    """One object of each kind that belongs to somebody else."""
    network = f"{ROOT}{HOME}/global/networks/default"
    check, rule = f"{REGIONAL}/healthChecks/{BYSTANDER}", f"{REGIONAL}/forwardingRules/{BYSTANDER}"
    group, backend = f"{HOME}/zones/{REGION}-b/instanceGroups/{BYSTANDER}", f"{REGIONAL}/backendServices/{BYSTANDER}"
    pool, http_check = f"{REGIONAL}/targetPools/{BYSTANDER}", f"{HOME}/global/httpHealthChecks/{BYSTANDER}"
    endpoint_group = f"{HOME}/zones/{REGION}-b/networkEndpointGroups/{BYSTANDER}"
    return [
        (f"{HOME}/global/healthChecks/{BYSTANDER}", {"type": "HTTP", "httpHealthCheck": {"port": 80}}),
        (check, {"type": "HTTP", "httpHealthCheck": {"port": 80}}),
        (http_check, {"port": 80}),
        (group, {}),
        (endpoint_group, {"networkEndpointType": "GCE_VM_IP", "network": network}),
        (backend, {"protocol": "TCP", "loadBalancingScheme": "EXTERNAL", "healthChecks": [ROOT + check]}),
        (pool, {"healthChecks": [ROOT + http_check]}),
        (
            rule,
            {
                "IPAddress": "203.0.113.250",
                "IPProtocol": "TCP",
                "portRange": "80-80",
                "loadBalancingScheme": "EXTERNAL",
                "backendService": ROOT + backend,
            },
        ),
        (
            f"{HOME}/global/firewalls/{BYSTANDER}",
            {"network": network, "sourceRanges": ["10.0.0.0/8"], "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}]},
        ),
        (
            f"{REGIONAL}/addresses/{BYSTANDER}",
            {"address": "203.0.113.251", "addressType": "EXTERNAL", "networkTier": "PREMIUM", "status": "RESERVED"},
        ),
    ]
