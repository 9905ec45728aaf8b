"""The asynchronous middle of the fleet: what the API says, turned into pods, slices and served ports.

Two loops follow the mirrors. `_control` starts and stops pods and publishes Pods and EndpointSlices; `_proxy` gives
every node its rules. They meet only in the API, as the real controllers do, so a proxy never knows more than a watch
tells. `Fleet` is the plain face of this class.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from lbctl.errors import LbctlError
from lbctl.model.objects import EndpointSlice, Node, ObjectMeta, Service, View
from lbctl.sandbox.nodes import manifests
from lbctl.sandbox.nodes.addresses import AddressPool, has_ipv6
from lbctl.sandbox.nodes.api import Api, Mirror, collection_of
from lbctl.sandbox.nodes.machines import Machine, Machines, Options
from lbctl.sandbox.nodes.pods import Host, Pods, RunningPod, Wanted
from lbctl.sandbox.nodes.publish import Published
from lbctl.sandbox.nodes.workloads import Deployment, Workload, container_ports, target_number, workloads_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from lbctl.clock import Clock
    from lbctl.sandbox.nodes.manifests import Manifest

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5
_EXPIRE_SECONDS = 10.0
_BARRED = ("NoSchedule", "NoExecute")
_DRAIN_TAINT = "ToBeDeletedByClusterAutoscaler"


class NoSuchService(LbctlError):
    """The API shows no such Service, or no pods belong to it."""

    reason = "NoSuchService"


class Pod(View, frozen=True):
    """A Pod, as far as the fleet looks at what others do to it."""

    metadata: ObjectMeta

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


class Cluster:
    """Machines, pods and the mirrors of the API; all methods run on one event loop."""

    def __init__(self, api: Api, *, options: Options, clock: Clock, rng: random.Random) -> None:
        self.machines = Machines(api, options=options, clock=clock, rng=rng)
        self.pods = Pods(AddressPool(options.pod_cidr), changed=self._wake_control)
        self._api = api
        self._options = options
        self._published = Published(api)
        self._ipv6 = has_ipv6()
        self._slices_by_service: defaultdict[str, dict[str, EndpointSlice]] = defaultdict(dict)
        self._dirty: set[str] = set()
        self._proxy_wanted = asyncio.Event()
        self._control_wanted = asyncio.Event()
        self._progress = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._services = Mirror(api, "/api/v1/services", kind=Service, changed=self._service_changed)
        self._slices = Mirror(
            api, "/apis/discovery.k8s.io/v1/endpointslices", kind=EndpointSlice, changed=self._slice_changed
        )
        self._nodes = Mirror(api, "/api/v1/nodes", kind=Node, changed=self._node_changed)
        self._pod_objects = Mirror(api, "/api/v1/pods", kind=Pod, changed=self._pod_changed)
        self._deployments = Mirror(
            api, "/apis/apps/v1/deployments", kind=Deployment, changed=lambda _old, _new: self._wake_control()
        )

    async def start(self) -> None:
        """Read the API once, then follow it; objects of an earlier fleet are taken over.

        `KubeError` when the API cannot be read now; later the mirrors try again for as long as it takes.
        """
        await self._api.read("/api/v1/services?limit=1")
        mirrors = (self._services, self._slices, self._nodes, self._pod_objects, self._deployments)
        for mirror in mirrors:
            self._spawn(mirror.run())
        for mirror in mirrors:
            await mirror.synced.wait()
        self._take_over_leftovers()
        self._spawn(self._control_loop())
        self._spawn(self._proxy_loop())
        self._spawn(_every(_EXPIRE_SECONDS, self.machines.expire))
        if self._options.heartbeat_seconds is not None:
            self._spawn(_every(self._options.heartbeat_seconds, self.machines.heartbeat))

    async def stop(self) -> None:
        """Close every socket; the objects in the API stay as they are."""
        await self._api.close(self._tasks)
        self.pods.stop()
        await self.machines.stop()

    async def join(self, name: str, *, zone: str, labels: Mapping[str, str]) -> Machine:
        """A new node that serves every Service; returns when its Node object is written."""
        machine = await self.machines.join(name, zone=zone, labels=labels)
        self._dirty.update(self._services.items)
        self._proxy_wanted.set()
        self._wake_control()
        return machine

    async def leave(self, name: str) -> None:
        """Take a node away at once, with its pods and its Node object."""
        await self.machines.leave(name)
        self.pods.lose_node(name)

    async def change_address(self, name: str) -> str:
        """The node's new address, which serves before the old one stops."""
        served = {key: (service, self._slices_of(key)) for key, service in self._services.items.items()}
        address = await self.machines.change_address(name, served)
        # What changed meanwhile went to the old address only.
        self._dirty.update(self._services.items)
        self._proxy_wanted.set()
        return address

    async def roll(self, service: str, *, grace_seconds: float) -> None:
        """Replace all pods of a Service's workload, one after the other; returns when the last old pod is gone."""
        pods = self.pods_of(service)
        if not pods:
            raise NoSuchService(f"no pods belong to service {service}", hint="see its selector and replicas")
        for workload in {pod.workload.key for pod in pods}:
            await self.pods.roll(workload, grace_seconds=grace_seconds)

    def pods_of(self, service: str) -> list[RunningPod]:
        """The pods that a Service (namespace/name) selects, by name."""
        found = self._services.items.get(service)
        return sorted(self._selected(found), key=lambda pod: pod.name) if found else []

    def node_object(self, name: str) -> Node | None:
        """The Node as the API shows it."""
        return self._nodes.items.get(name)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds; it is asked after each change that reached pods, API or proxies."""
        async with self._progress:
            await self._progress.wait_for(condition)

    # What the API tells.

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        if old and new and new.same_as(old):
            return
        for version in filter(None, (old, new)):
            self._mark(version.key)
        self._wake_control()

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for version in filter(None, (old, new)):
            self._slices_by_service[version.service_key].pop(version.key, None)
            self._mark(version.service_key)
        if new is not None:
            self._slices_by_service[new.service_key][new.key] = new
        elif old is not None and self._published.forget(_path("EndpointSlice", old.metadata)):
            self._wake_control()

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None and old is not None:
            self._spawn(self._node_deleted(old))
        elif new is not None and new.key in self.machines:
            self.machines.get(new.key).proxy.eligible = _stays(new)
        if old is None or new is None or not new.same_as(old):
            self._wake_control()

    async def _node_deleted(self, node: Node) -> None:
        if await self.machines.deleted(node):
            self.pods.lose_node(node.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None and old is not None and self._published.forget(_path("Pod", old.metadata)):
            self.pods.lose(old.key)

    def _mark(self, service: str) -> None:
        self._dirty.add(service)
        self._proxy_wanted.set()

    def _wake_control(self) -> None:
        self._control_wanted.set()

    # Node ports.

    async def _proxy_loop(self) -> None:
        while True:
            await self._proxy_wanted.wait()
            self._proxy_wanted.clear()
            dirty, self._dirty = self._dirty, set()
            for key in sorted(dirty):
                service = self._services.items.get(key)
                if not await self.machines.apply(key, service=service, slices=self._slices_of(key)):
                    asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._mark, key)
            await self._tell()

    def _slices_of(self, service: str) -> tuple[EndpointSlice, ...]:
        return tuple(self._slices_by_service[service].values())

    # Pods and what is published of them.

    async def _control_loop(self) -> None:
        while True:
            await self._control_wanted.wait()
            self._control_wanted.clear()
            followed = await self._follow()
            if not (await self._published.bring(self._objects()) and followed):
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wake_control)
            await self._tell()

    async def _follow(self) -> bool:
        """False when not all pods that are wanted could be started."""
        try:
            await self.pods.follow(self._wanted(), self._hosts())
        except (LbctlError, OSError) as error:
            log.error("not all pods run: %s", error)  # noqa: TRY400 - the message says it all
            return False
        return True

    def _wanted(self) -> dict[str, Wanted]:
        services = tuple(self._services.items.values())
        workloads = workloads_of(services, self._deployments.items.values())
        return {key: self._want(workload, services) for key, workload in workloads.items()}

    def _want(self, workload: Workload, services: tuple[Service, ...]) -> Wanted:
        selecting = [service for service in services if workload.is_selected_by(service)]
        ipv6 = self._ipv6 and any("IPv6" in service.spec.ip_families for service in selecting)
        return Wanted(workload, container_ports(workload, selecting), ipv6=ipv6)

    def _hosts(self) -> dict[str, Host]:
        return {
            machine.name: Host(machine.zone, schedulable=_takes_pods(node), ready=_is_ready(node))
            for machine in self.machines
            if (node := self._nodes.items.get(machine.name))
        }

    def _objects(self) -> Iterator[Manifest]:
        hosts = self._hosts()
        for pod in self.pods:
            yield manifests.pod_manifest(pod.state(hosts.get(pod.node)))
        for service in self._services.items.values():
            if service.spec.selector:
                yield from self._slice_manifests(service, hosts)

    def _slice_manifests(self, service: Service, hosts: Mapping[str, Host]) -> Iterator[Manifest]:
        states = (
            (pod.state(hosts.get(pod.node)), tuple(target_number(port, pod.workload) for port in service.spec.ports))
            for pod in self._selected(service)
        )
        yield from manifests.slice_manifests(service, states).values()

    def _selected(self, service: Service) -> Iterator[RunningPod]:
        for group in self.pods.groups():
            if group[-1].workload.is_selected_by(service):
                yield from group

    def _take_over_leftovers(self) -> None:
        for pod in self._pod_objects.items.values():
            if manifests.POD_LABEL in pod.metadata.labels:
                self._published.take_over(_path("Pod", pod.metadata))
        for one in self._slices.items.values():
            if one.metadata.labels.get(manifests.MANAGED_BY_LABEL) == manifests.MANAGER:
                self._published.take_over(_path("EndpointSlice", one.metadata))
        self._wake_control()

    async def _tell(self) -> None:
        async with self._progress:
            self._progress.notify_all()

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("the sandbox's nodes stopped following the API", exc_info=error)


async def _every(seconds: float, action: Callable[[], Coroutine[object, object, None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await action()


def _path(kind: str, meta: ObjectMeta) -> str:
    collection = collection_of({"kind": kind, "metadata": {"namespace": meta.namespace}})
    return f"{collection}/{meta.name}"


def _is_ready(node: Node) -> bool:
    return any(condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions)


def _takes_pods(node: Node) -> bool:
    return not node.spec.unschedulable and not any(taint.effect in _BARRED for taint in node.spec.taints)


def _stays(node: Node) -> bool:
    """False for a node that is about to go, which kube-proxy's own health tells balancers (KEP-3836)."""
    leaving = any(taint.key == _DRAIN_TAINT for taint in node.spec.taints)
    return node.metadata.deletion_timestamp is None and not leaving
