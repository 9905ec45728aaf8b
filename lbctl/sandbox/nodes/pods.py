"""The running pods: starts, stops, moves and rolls them so that the workloads hold.

`Pods` is the scheduler, the replica set controller and the kubelet in one. It knows workloads and nodes as values and
tells `changed()` that something is to be published; it does not know the API.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbctl.errors import LbctlError
from lbctl.sandbox.nodes.echo import ContainerPort, EchoPort, Identity
from lbctl.sandbox.nodes.manifests import PodState
from lbctl.sandbox.nodes.workloads import Workload, roomiest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lbctl.sandbox.nodes.addresses import AddressPool

log = logging.getLogger(__name__)

DEFAULT_GRACE_SECONDS = 1.0


class NoSuchPod(LbctlError):
    """No running pod has this name."""

    reason = "NoSuchPod"


@dataclass(frozen=True, slots=True)
class Host:
    """What placement needs to know of a node."""

    zone: str
    schedulable: bool
    ready: bool


class RunningPod:
    """One pod with its servers."""

    def __init__(self, workload: Workload, *, name: str, node: str, address: str) -> None:
        self.workload = workload
        self.name = name
        self.node = node
        self.address = address
        self.ready = True
        self.terminating = False
        self._servers: dict[ContainerPort, EchoPort] = {}
        self._servers_v6: dict[ContainerPort, tuple[EchoPort, int]] = {}

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.workload.namespace}/{self.name}"

    @property
    def ports(self) -> frozenset[ContainerPort]:
        """The ports that are served."""
        return frozenset(self._servers)

    def state(self, host: Host | None) -> PodState:
        """What the API shows; a pod on a node that is not ready is not ready."""
        return PodState(
            namespace=self.workload.namespace,
            name=self.name,
            workload=self.workload.name,
            node=self.node,
            zone=host.zone if host else "",
            address=self.address,
            ready=self.ready and host is not None and host.ready,
            terminating=self.terminating,
            labels=self.workload.labels,
            ports_v6=tuple(
                ((port.number, port.protocol), bound) for port, (_, bound) in sorted(self._servers_v6.items())
            ),
        )

    async def serve(self, ports: frozenset[ContainerPort], *, ipv6: bool) -> None:
        """Serve exactly `ports`; those that stay keep their connections. `OSError` when an address is taken."""
        for gone in self._servers.keys() - ports:
            self._servers.pop(gone).close()
            if gone in self._servers_v6:
                self._servers_v6.pop(gone)[0].close()
        for port in sorted(ports):
            await self._serve_one(port)
            if ipv6 and port not in self._servers_v6:
                server = EchoPort(self._identity(), "::1", ContainerPort(0, port.protocol, port.speech, port.services))
                self._servers_v6[port] = (server, await server.open())

    def stop(self) -> None:
        """Close everything at once."""
        for server in (*self._servers.values(), *(server for server, _ in self._servers_v6.values())):
            server.close()
        self._servers.clear()
        self._servers_v6.clear()

    async def _serve_one(self, port: ContainerPort) -> None:
        if port in self._servers:
            self._servers[port].port = port
            return
        server = EchoPort(self._identity(), self.address, port)
        await server.open()
        self._servers[port] = server

    def _identity(self) -> Identity:
        return Identity(self.name, self.node, self.workload.namespace)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A workload with what its pods serve."""

    workload: Workload
    ports: frozenset[ContainerPort]
    ipv6: bool = False


class Pods:
    """All pods by key; every method that starts or stops one is serialised."""

    def __init__(self, addresses: AddressPool, *, changed: Callable[[], None]) -> None:
        self._addresses = addresses
        self._changed = changed
        self._pods: dict[str, RunningPod] = {}
        self._by_workload: defaultdict[str, dict[str, RunningPod]] = defaultdict(dict)
        self._by_node: Counter[str] = Counter()
        self._wanted: Mapping[str, Wanted] = {}
        self._hosts: Mapping[str, Host] = {}
        self._numbers: Counter[str] = Counter()
        self._lock = asyncio.Lock()

    def __iter__(self) -> Iterator[RunningPod]:
        return iter(tuple(self._pods.values()))

    def get(self, key: str) -> RunningPod:
        """The pod by `namespace/name`; `NoSuchPod` when it does not run."""
        pod = self._pods.get(key)
        if pod is None:
            raise NoSuchPod(f"no pod {key} runs", hint=f"running: {', '.join(sorted(self._pods)) or 'none'}")
        return pod

    async def follow(self, wanted: Mapping[str, Wanted], hosts: Mapping[str, Host]) -> None:
        """Start and stop pods until each workload has its replicas on nodes that exist."""
        async with self._lock:
            self._wanted, self._hosts = wanted, hosts
            for pod in self:
                if pod.node not in hosts:
                    self._remove(pod)
                elif pod.workload.key not in wanted:
                    self._retire(pod, DEFAULT_GRACE_SECONDS)
            for want in wanted.values():
                await self._scale(want)

    def set_ready(self, key: str, *, ready: bool) -> None:
        """Let the pod's readiness probe pass or fail; it goes on serving."""
        self.get(key).ready = ready
        self._changed()

    def delete(self, key: str, *, grace_seconds: float) -> None:
        """Let the pod terminate; it serves for `grace_seconds` more. Its workload replaces it at once."""
        self._retire(self.get(key), grace_seconds)

    def lose(self, key: str) -> None:
        """The pod's object is gone from the API: stop it at once."""
        if key in self._pods:
            self._remove(self._pods[key])

    def of_workload(self, workload: str) -> list[RunningPod]:
        """The pods of a workload, oldest first, with those that terminate."""
        return list(self._by_workload[workload].values())

    def lose_node(self, node: str) -> None:
        """The node is gone: stop its pods at once."""
        for pod in self:
            if pod.node == node:
                self._remove(pod)

    def groups(self) -> Iterator[list[RunningPod]]:
        """The pods of each workload that has any, oldest first."""
        return (list(group.values()) for group in self._by_workload.values() if group)

    async def move(self, key: str, *, node: str, grace_seconds: float) -> str:
        """The key of a new pod on `node` that takes the place of `key`."""
        old = self.get(key)
        return await self._replace(old, node=node, grace_seconds=grace_seconds)

    async def roll(self, workload: str, *, grace_seconds: float) -> None:
        """Replace each pod of a workload, one after the other: a new one serves before the old one leaves."""
        for old in [pod for pod in self.of_workload(workload) if not pod.terminating]:
            await self._replace(old, node=None, grace_seconds=grace_seconds)
            await asyncio.sleep(grace_seconds)

    def stop(self) -> None:
        """Close all pods."""
        for pod in self:
            pod.stop()
        self._pods.clear()

    async def _replace(self, old: RunningPod, *, node: str | None, grace_seconds: float) -> str:
        async with self._lock:
            want = self._wanted[old.workload.key]
            new = await self._start(want, node or self._place(old.workload.key) or old.node)
            self._retire(old, grace_seconds)
            return new.key

    async def _scale(self, want: Wanted) -> None:
        running = [pod for pod in self.of_workload(want.workload.key) if not pod.terminating]
        for pod in running:
            pod.workload = want.workload
            await self._serve(pod, want)
        for surplus in running[want.workload.replicas :]:
            self._retire(surplus, DEFAULT_GRACE_SECONDS)
        for _ in range(want.workload.replicas - len(running)):
            node = self._place(want.workload.key)
            if node is None:
                return
            await self._start(want, node)

    async def _start(self, want: Wanted, node: str) -> RunningPod:
        workload = want.workload
        self._numbers[workload.key] += 1
        name = f"{workload.name}-{self._numbers[workload.key]}"
        pod = RunningPod(workload, name=name, node=node, address=self._addresses.take())
        while not await self._serve(pod, want):
            # Another sandbox on this machine has the address, so the pool does not get it back.
            pod.stop()
            pod.address = self._addresses.take()
        self._add(pod)
        return pod

    async def _serve(self, pod: RunningPod, want: Wanted) -> bool:
        """False when one of the ports is taken; other failures are the caller's."""
        try:
            await pod.serve(want.ports, ipv6=want.ipv6)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            log.warning("pod %s cannot serve on %s: %s", pod.key, pod.address, error)
            return False
        return True

    def _place(self, workload: str) -> str | None:
        own = Counter(pod.node for pod in self.of_workload(workload) if not pod.terminating)
        nodes = (name for name, host in self._hosts.items() if host.schedulable and host.ready)
        return roomiest(nodes, own=own, all_pods=self._by_node)

    def _add(self, pod: RunningPod) -> None:
        self._pods[pod.key] = pod
        self._by_workload[pod.workload.key][pod.key] = pod
        self._by_node[pod.node] += 1
        self._changed()

    def _retire(self, pod: RunningPod, grace_seconds: float) -> None:
        if not pod.terminating:
            pod.terminating = True
            asyncio.get_running_loop().call_later(grace_seconds, self._remove, pod)
            self._changed()

    def _remove(self, pod: RunningPod) -> None:
        if self._pods.pop(pod.key, None) is not None:
            del self._by_workload[pod.workload.key][pod.key]
            self._by_node[pod.node] -= 1
            pod.stop()
            self._addresses.give_back(pod.address)
            self._changed()
