"""`Fleet`: a simulated cluster as a plain object, for the sandbox's commands and for tests.

Everything runs on one event loop in a thread of its own; each method here waits for its effect on nodes, pods and the
API objects that it names. What the node ports then serve follows as news travels over the API, as it does in a cluster:
`wait` and `wait_served` wait for that.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lbctl.clock import SystemClock
from lbctl.errors import LbctlError
from lbctl.sandbox.nodes.api import Api
from lbctl.sandbox.nodes.cluster import Cluster
from lbctl.sandbox.nodes.loop import LoopThread
from lbctl.sandbox.nodes.machines import Options, node_path
from lbctl.sandbox.nodes.pods import DEFAULT_GRACE_SECONDS
from lbctl.sandbox.nodes.workloads import REPLICAS_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbctl.clock import Clock
    from lbctl.sandbox.nodes.machines import Machine
    from lbctl.sandbox.nodes.rules import ServiceRules

WAIT_SECONDS = 30.0
ZONES = ("zone-a", "zone-b", "zone-c")


class NotSettled(LbctlError):
    """What was waited for did not come about in time."""

    reason = "NotSettled"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A simulated node; `eligible` is what its kube-proxy tells balancers, False on a node that is about to go."""

    name: str
    address: str
    zone: str
    ready: bool
    eligible: bool


@dataclass(frozen=True, slots=True)
class PodInfo:
    """A simulated pod; `key` is namespace/name."""

    key: str
    node: str
    address: str
    ready: bool
    terminating: bool


class Fleet:
    """Simulated nodes and pods on the API server at `url`; use it as a context manager, or `start` and `stop` it.

    `ca` is the PEM certificate of the server, empty for one that the system trusts.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str,
        ca: str = "",
        nodes: int = 3,
        options: Options | None = None,
        clock: Clock | None = None,
        seed: int = 0,
    ) -> None:
        self._url = url
        self._token = token
        self._ca = ca
        self._first_nodes = nodes
        self._options = options or Options()
        self._clock = clock or SystemClock()
        self._seed = seed
        self._joined = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Read the API, let the first nodes join, begin to serve; `KubeError` when the API cannot be read."""
        self._loop = LoopThread("sandbox-nodes")
        try:
            self._loop.call(self._open())
        except BaseException:
            self._loop.stop()
            raise
        try:
            for _ in range(self._first_nodes):
                self.join()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Close every socket; the objects in the API stay."""
        self._loop.call(self._cluster.stop())
        self._loop.stop()

    # Nodes.

    def nodes(self) -> tuple[NodeInfo, ...]:
        """The simulated nodes, in the order in which they joined."""
        return tuple(map(_info, self._cluster.machines))

    def join(
        self, name: str | None = None, *, zone: str | None = None, labels: Mapping[str, str] | None = None
    ) -> NodeInfo:
        """A new node, `node-N` in the zones in turn unless named; its Node object is written."""
        self._joined += 1
        machine = self._loop.call(
            self._cluster.join(
                name or f"node-{self._joined}",
                zone=zone or ZONES[(self._joined - 1) % len(ZONES)],
                labels=labels or {},
            )
        )
        return _info(machine)

    def leave(self, name: str) -> None:
        """Take a node away as if it lost its power: sockets, pods, Node object."""
        self._loop.call(self._cluster.leave(name))

    def change_address(self, name: str) -> str:
        """The node's new InternalIP."""
        return self._loop.call(self._cluster.change_address(name))

    def set_node_ready(self, name: str, *, ready: bool) -> None:
        """Write the node's Ready condition."""
        self._loop.call(self._cluster.machines.set_ready(name, ready=ready))

    def cordon(self, name: str) -> None:
        """Let no new pods onto the node."""
        self._patch_node(name, {"unschedulable": True})

    def uncordon(self, name: str) -> None:
        """Let new pods onto the node again."""
        self._patch_node(name, {"unschedulable": None})

    def taint(self, name: str, key: str, *, effect: str = "NoSchedule") -> None:
        """Give the node this one taint, in place of those it has."""
        self._patch_node(name, {"taints": [{"key": key, "effect": effect}]})

    def untaint(self, name: str) -> None:
        """Take all taints off the node."""
        self._patch_node(name, {"taints": None})

    # Pods.

    def pods(self, service: str) -> tuple[PodInfo, ...]:
        """The pods that a Service (namespace/name) selects, by name."""
        return tuple(
            PodInfo(pod.key, pod.node, pod.address, pod.ready, pod.terminating)
            for pod in self._cluster.pods_of(service)
        )

    def set_pod_ready(self, pod: str, *, ready: bool) -> None:
        """Let a pod's (namespace/name) readiness probe pass or fail; it goes on serving."""
        self._loop.call(_soon(lambda: self._cluster.pods.set_ready(pod, ready=ready)))

    def delete_pod(self, pod: str, *, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> None:
        """Terminate a pod, which serves for `grace_seconds` more; its workload starts another one."""
        self._loop.call(_soon(lambda: self._cluster.pods.delete(pod, grace_seconds=grace_seconds)))

    def move_pod(self, pod: str, *, node: str, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> str:
        """The key of the pod that takes the place of `pod` on `node`; the old one serves for `grace_seconds` more."""
        return self._loop.call(self._cluster.pods.move(pod, node=node, grace_seconds=grace_seconds))

    def roll(self, service: str, *, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> None:
        """Replace all pods of a Service one by one, each new one before its old one; takes `grace_seconds` a pod."""
        expected_seconds = WAIT_SECONDS + grace_seconds * len(self.pods(service))
        self._loop.call(self._cluster.roll(service, grace_seconds=grace_seconds), timeout_seconds=expected_seconds)

    def scale(self, service: str, replicas: int) -> None:
        """Write the annotation that says how many pods the Service is to have."""
        namespace, _, name = service.partition("/")
        change = {"metadata": {"annotations": {REPLICAS_ANNOTATION: str(replicas)}}}
        self._loop.call(self._api.patch(f"/api/v1/namespaces/{namespace}/services/{name}", change))

    # What is served.

    def rules(self, node: str, service: str) -> ServiceRules:
        """What `node` does for a Service (namespace/name) now."""
        return self._cluster.machines.get(node).proxy.rules_of(service)

    def wait(self, condition: Callable[[], bool], *, timeout_seconds: float = WAIT_SECONDS) -> None:
        """Return once `condition` holds; `NotSettled` after `timeout_seconds`.

        It is asked on the fleet's own thread whenever something changed, so it must not call methods that write.
        """
        try:
            self._loop.call(self._cluster.until(condition), timeout_seconds=timeout_seconds)
        except TimeoutError as error:
            raise NotSettled(f"the fleet did not get there within {timeout_seconds:g} s", hint="see its log") from error

    def wait_served(self, service: str, *, pods: int, timeout_seconds: float = WAIT_SECONDS) -> None:
        """Return once the node ports of a Service lead to exactly `pods` targets, over all nodes together.

        With traffic policy Cluster each node leads to all of them, with Local to its own.
        """
        self.wait(lambda: self._is_served(service, pods), timeout_seconds=timeout_seconds)

    def _is_served(self, service: str, pods: int) -> bool:
        by_node = [self.rules(node.name, service).ports for node in self.nodes()]
        reached = [
            {target for rule in port_rules for target in rule.targets} for port_rules in zip(*by_node, strict=False)
        ]
        complete = len({len(port_rules) for port_rules in by_node}) == 1
        return complete and bool(reached) and all(len(targets) == pods for targets in reached)

    async def _open(self) -> None:
        self._api = Api(self._url, token=self._token, ca=self._ca)
        rng = random.Random(self._seed)  # noqa: S311 - spreads load, guards nothing
        self._cluster = Cluster(self._api, options=self._options, clock=self._clock, rng=rng)
        try:
            await self._cluster.start()
        except BaseException:
            await self._cluster.stop()
            raise

    def _patch_node(self, name: str, spec: Mapping[str, object]) -> None:
        self._loop.call(self._api.patch(node_path(name), {"spec": dict(spec)}))


def _info(machine: Machine) -> NodeInfo:
    return NodeInfo(machine.name, machine.address, machine.zone, machine.ready, machine.proxy.eligible)


async def _soon(action: Callable[[], None]) -> None:
    action()
