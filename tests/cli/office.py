"""A cluster on the embedded API server, a cloud in memory, and `lbctl` at the desk of both."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lbctl.clock import SystemClock
from lbctl.kube.access import Access
from lbctl.kube.lease import micro_time
from lbctl.kube.rest import Rest
from lbctl.kube.throttle import Rate
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.hands import Hands
from tests.cli.console import Said, lbctl
from tests.clouds.memory import MemoryCloud
from tests.world import node, service

LEASES = "coordination.k8s.io/v1"
MEMORY = ("--provider", "memory")
FINALIZERS = {"metadata": {"finalizers": None}}


@dataclass
class Office:
    """`lbctl` at the desk of one cluster."""

    api: ApiServer
    cloud: MemoryCloud
    hands: Hands
    kubeconfig: Path

    @classmethod
    def open(cls, api: ApiServer, cloud: MemoryCloud, folder: Path) -> Office:
        """An office with two nodes and the namespace `shop`."""
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(api.kubeconfig())
        rest = Rest(Access(kubeconfig=str(kubeconfig)), SystemClock(), rate=Rate(1000, 1000))
        api.store.seed([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
        api.store.seed([_manifest("Node", node(name)) for name in ("n1", "n2")])
        return cls(api, cloud, Hands(rest), kubeconfig)

    @property
    def config(self) -> Path:
        """A place for a settings file."""
        return self.kubeconfig.with_name("settings.json")

    def lbctl(self, *arguments: str) -> Said:
        """What `lbctl` answers, with the memory driver."""
        return self.run(*arguments, *MEMORY, "--set", "kube.qps=1000", "--set", "kube.burst=1000")

    def run(self, *arguments: str) -> Said:
        """What `lbctl` answers to exactly these arguments."""
        return lbctl(*arguments, given={"KUBECONFIG": str(self.kubeconfig)})

    def serve(self, *names: str, **spec: Any) -> None:
        """Create Services and have them served by one round of a controller."""
        for name in names:
            self.create(name, **spec)
        assert self.lbctl("once").code == 0

    def create(self, name: str, **spec: Any) -> None:
        """Create one Service of the namespace `shop`, with `labels` if given."""
        labels = spec.pop("labels", {})
        wanted = _manifest("Service", service(name, **spec))
        wanted["metadata"]["labels"] = labels
        for port in wanted["spec"]["ports"]:
            port.pop("nodePort", None)
        self.hands.apply(wanted)

    def lose(self, name: str) -> None:
        """Delete a Service with its finalizers taken off: nobody cleans up after it."""
        self.hands.patch(f"shop/{name}", FINALIZERS)
        self.hands.delete(f"shop/{name}")

    def lead(self, holder: str, *, lease: str = "kube-system/lbctl", seconds_ago: float = 0.0) -> None:
        """Have somebody hold a Lease, renewed so many seconds ago and good for a minute from then."""
        namespace, _, name = lease.partition("/")
        renewed = SystemClock().now() - dt.timedelta(seconds=seconds_ago)
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 60, "renewTime": micro_time(renewed)}
        meta = {"name": name, "namespace": namespace}
        self.api.store.seed([{"apiVersion": LEASES, "kind": "Lease", "metadata": meta, "spec": spec}])

    def node(self, name: str) -> dict[str, Any]:
        """A Node as the API server has it."""
        return next(one for one in self.api.store.objects("v1", "Node") if one["metadata"]["name"] == name)

    def replace_node(self, document: dict[str, Any]) -> None:
        """Store a Node in place of the one of its name."""
        self.api.store.seed([{"apiVersion": "v1", "kind": "Node", **document}])


def _manifest(kind: str, view: Any) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(view)
    return {"apiVersion": "v1", "kind": kind, **document}
