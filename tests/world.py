"""One process of lbctl without threads: Services in memory or on an API server, a driver, a clock that only tests move.

`World` feeds the controller as the watches would and runs its work to the end. `crash()` throws the process away and
starts another on the same API objects and the same cloud.
"""

from __future__ import annotations

import copy
import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from lbctl.clock import ManualClock
from lbctl.driver import Cluster, Driver, DriverInfo, Figure, Setup
from lbctl.engine.account import Account
from lbctl.engine.backoff import Backoff
from lbctl.engine.claim import ClaimRules
from lbctl.engine.controller import Controller, Work
from lbctl.engine.passes import Shared
from lbctl.engine.planning import build_world, plan_scope
from lbctl.engine.reconcile import NO_OBJECTS
from lbctl.errors import KubeConflict, KubeGone, LostLease
from lbctl.kube.patches import Clearing
from lbctl.model.intent import identity_of
from lbctl.model.objects import (
    SERVICE_NAME_LABEL,
    Condition,
    CustomObject,
    Endpoint,
    EndpointSlice,
    Ingress,
    LoadBalancerStatus,
    Node,
    NodeAddress,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    Pod,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from lbctl.model.reference import Reference
from lbctl.model.resource import Identity, Observed
from lbctl.model.status import Notice
from lbctl.plan.actions import Plan
from lbctl.plan.policy import Policy

NAMESPACE = "shop"
FIRST_ALLOCATED = 32200  # above every node port that a test asks for

change = msgspec.structs.replace


class Backend(ABC):
    """A place that keeps Services, with Nodes, Pods and Events in memory.

    `before` and `after` get the name and the number of a write and may raise: then it was not made, or its answer was
    lost. Listeners are told of each change within the write, so that nothing depends on how fast a watch is.
    `services` are those of the tests by key, as they are stored now. `writing` is the key of the Pod being written.
    """

    services: dict[str, Service]

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.events: list[tuple[str, Notice]] = []
        self.writes = 0
        self.before: Callable[[str, int], None] = lambda _name, _number: None
        self.after: Callable[[str, int], None] = lambda _name, _number: None
        self.listeners: list[Callable[[Service | None, Service | None], None]] = []
        self.pods: dict[str, Pod] = {}
        self.pod_listeners: list[Callable[[Pod | None, Pod | None], None]] = []
        self.customs: dict[Reference, CustomObject] = {}
        self.condition_writes = 0
        self.writing = ""
        self._pod_versions = itertools.count(1)

    # what people do

    @abstractmethod
    def put(self, service: Service) -> Service:
        """Create a Service, or replace labels, annotations, finalizers and spec of one as its author."""

    @abstractmethod
    def overwrite(self, service: Service) -> Service:
        """Replace a Service with its status, as somebody does who may write everything."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete a Service as its author."""

    def put_pod(self, pod: Pod) -> Pod:
        """Create a Pod, or replace one as its kubelet; one of another uid takes the name over."""
        old = self.pods.get(pod.key)
        new = change(pod, metadata=change(pod.metadata, resource_version=str(next(self._pod_versions))))
        self.pods[pod.key] = new
        self._tell_of_pod(old, new)
        return new

    def delete_pod(self, key: str) -> None:
        """Remove a Pod at once, as its kubelet does in the end."""
        self._tell_of_pod(self.pods.pop(key), None)

    # what lbctl does

    def write_pod_condition(self, pod: Pod, condition: Condition) -> Pod:
        self.writes += 1
        number = self.writes
        self.writing = pod.key
        self.before("write-pod-condition", number)
        live = self.pods.get(pod.key)
        if live is None or live.metadata.uid != pod.metadata.uid:
            raise KubeGone(f"Pod {pod.key} is gone")
        others = tuple(one for one in live.status.conditions if one.type != condition.type)
        self.condition_writes += 1
        new = self.put_pod(change(live, status=change(live.status, conditions=(*others, condition))))
        self.after("write-pod-condition", number)
        return new

    @abstractmethod
    def get_service(self, namespace: str, name: str) -> Service | None: ...

    @abstractmethod
    def list_services(self) -> Sequence[Service]: ...

    @abstractmethod
    def get_ingress_owner(self, service: Service) -> str: ...

    @abstractmethod
    def add_finalizers(self, service: Service, names: Sequence[str]) -> Service: ...

    @abstractmethod
    def remove_finalizers(
        self, service: Service, names: Sequence[str], *, clearing: Clearing | None = None
    ) -> Service: ...

    @abstractmethod
    def write_status(
        self,
        service: Service,
        *,
        ingress: Sequence[Ingress],
        conditions: Sequence[Condition],
        annotations: Mapping[str, str | None] | None = None,
    ) -> Service: ...

    def list_nodes(self) -> list[Node]:
        return list(self.nodes.values())

    def get_custom(self, reference: Reference) -> CustomObject | None:
        return self.customs.get(reference)

    def emit(self, service: Service, notice: Notice) -> None:
        self.events.append((service.key, notice))

    def reasons(self, key: str) -> list[str]:
        """Reasons of all Events of a Service, in order."""
        return [notice.reason for where, notice in self.events if where == key]

    def _count(self, what: str, write: Callable[[], Service]) -> Service:
        """Make one write of lbctl between the hooks."""
        self.writes += 1
        number = self.writes
        self.before(what, number)
        new = write()
        self.after(what, number)
        return new

    def _tell_of_pod(self, old: Pod | None, new: Pod | None) -> None:
        for listener in list(self.pod_listeners):
            listener(old, new)

    def _tell(self, old: Service | None, new: Service | None) -> None:
        for listener in list(self.listeners):
            listener(old, new)


class MemoryKube(Backend):
    """Services as an API server keeps them: versions, uids, finalizers that delay deletion; raises what it would."""

    def __init__(self) -> None:
        super().__init__()
        self.services = {}
        self._numbers = itertools.count(1)

    def put(self, service: Service) -> Service:
        old = self.services.get(service.key)
        uid = old.metadata.uid if old else f"{next(self._numbers):08d}-0000-4000-8000-000000000000"
        deleted = old.metadata.deletion_timestamp if old else None
        meta = change(service.metadata, uid=uid, deletion_timestamp=deleted)
        return self.overwrite(change(service, metadata=meta, status=old.status if old else service.status))

    def keep(self) -> tuple[Any, ...]:
        """Everything that is stored, for `back_to`."""
        return copy.deepcopy((self.services, self.nodes, self._numbers))

    def back_to(self, kept: tuple[Any, ...]) -> None:
        """Store what was kept, as if nothing had happened since."""
        self.services, self.nodes, self._numbers = copy.deepcopy(kept)
        self.events.clear()

    def overwrite(self, service: Service) -> Service:
        old = self.services.get(service.key)
        meta = change(service.metadata, resource_version=str(next(self._numbers)))
        new = self._fit_to_type(change(service, metadata=meta))
        if new.metadata.deletion_timestamp is not None and not new.metadata.finalizers:
            self._drop(new)
            return new
        self.services[new.key] = new
        self._tell(old, new)
        return new

    def delete(self, key: str) -> None:
        old = self.services[key]
        if not old.metadata.finalizers:
            self._drop(old)
        elif old.metadata.deletion_timestamp is None:
            self.overwrite(change(old, metadata=change(old.metadata, deletion_timestamp="2026-01-01T00:00:00Z")))

    def get_service(self, namespace: str, name: str) -> Service | None:
        return self.services.get(f"{namespace}/{name}")

    def list_services(self) -> list[Service]:
        return list(self.services.values())

    def add_finalizers(self, service: Service, names: Sequence[str]) -> Service:
        def edit(live: Service) -> Service:
            if live.metadata.deletion_timestamp is not None:
                raise KubeConflict("no new finalizers while it is being deleted")
            return change(live, metadata=change(live.metadata, finalizers=(*live.metadata.finalizers, *names)))

        return self._patch("add-finalizers", service, edit)

    def remove_finalizers(self, service: Service, names: Sequence[str], *, clearing: Clearing | None = None) -> Service:
        def edit(live: Service) -> Service:
            left = tuple(name for name in live.metadata.finalizers if name not in names)
            dropped = clearing.condition_types if clearing else ()
            ingress = () if clearing and clearing.ingress else live.status.load_balancer.ingress
            conditions = tuple(c for c in live.status.conditions if c.type not in dropped)
            status = ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress), conditions=conditions)
            cleared = clearing.annotations if clearing else ()
            kept = {key: value for key, value in live.metadata.annotations.items() if key not in cleared}
            return change(live, metadata=change(live.metadata, finalizers=left, annotations=kept), status=status)

        return self._patch("remove-finalizers", service, edit)

    def write_status(
        self,
        service: Service,
        *,
        ingress: Sequence[Ingress],
        conditions: Sequence[Condition],
        annotations: Mapping[str, str | None] | None = None,
    ) -> Service:
        def edit(live: Service) -> Service:
            if ingress and live.spec.type != "LoadBalancer":
                raise KubeConflict("ingress may only be used when type is LoadBalancer")
            merged = {**live.metadata.annotations, **(annotations or {})}
            kept = {key: value for key, value in merged.items() if value is not None}
            status = ServiceStatus(
                load_balancer=LoadBalancerStatus(ingress=tuple(ingress)), conditions=tuple(conditions)
            )
            return change(live, metadata=change(live.metadata, annotations=kept), status=status)

        return self._patch("write-status", service, edit)

    def get_ingress_owner(self, service: Service) -> str:
        return "someone-else"

    def _patch(self, what: str, service: Service, edit: Callable[[Service], Service]) -> Service:
        def write() -> Service:
            live = self.services.get(service.key)
            if live is None:
                raise KubeGone(f"{service.key} is gone")
            if live.metadata.resource_version != service.metadata.resource_version:
                raise KubeConflict(f"{service.key} has changed")
            return self.overwrite(edit(live))

        return self._count(what, write)

    def _fit_to_type(self, service: Service) -> Service:
        """The Service with node ports if its type has them, and without what only balancers have if it is none."""
        spec, status = service.spec, service.status
        if spec.type == "LoadBalancer":
            return change(service, spec=change(spec, ports=self._allocated(spec)))
        ports = spec.ports if spec.type == "NodePort" else tuple(change(port, node_port=0) for port in spec.ports)
        bare = change(spec, ports=ports, load_balancer_class=None, health_check_node_port=0)
        return change(service, spec=bare, status=change(status, load_balancer=LoadBalancerStatus()))

    def _allocated(self, spec: ServiceSpec) -> tuple[ServicePort, ...]:
        if not spec.allocate_load_balancer_node_ports:
            return spec.ports
        used = {port.node_port for one in self.services.values() for port in one.spec.ports}
        free = (number for number in itertools.count(FIRST_ALLOCATED) if number not in used)
        return tuple(port if port.node_port else change(port, node_port=next(free)) for port in spec.ports)

    def _drop(self, service: Service) -> None:
        self.services.pop(service.key, None)
        self._tell(service, None)


def service(
    name: str = "web", *, ports: Iterable[int] = (80,), annotations: dict[str, str] | None = None, **spec: Any
) -> Service:
    """A Service of type LoadBalancer as the API server would default it; `spec` makes it something else."""
    is_open = spec.get("type", "LoadBalancer") in ("LoadBalancer", "NodePort")
    node_ports = {p: 30000 + p % 2000 if is_open else 0 for p in ports}
    listed = tuple(ServicePort(port=p, node_port=n, name=f"p{p}", target_port=p) for p, n in node_ports.items())
    families = () if spec.get("type") == "ExternalName" else ("IPv4",)
    fields = {"type": "LoadBalancer", "ports": listed, "ip_families": families, **spec}
    return Service(
        metadata=ObjectMeta(name=name, namespace=NAMESPACE, annotations=annotations or {}), spec=ServiceSpec(**fields)
    )


def node(name: str, *, ready: bool = True, labels: dict[str, str] | None = None, **spec: Any) -> Node:
    """A Node that may be a target."""
    fields = {"provider_id": f"memory:///{name}", **spec}
    return Node(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}", labels=labels or {}),
        spec=NodeSpec(**fields),
        status=NodeStatus(
            addresses=(NodeAddress(type="InternalIP", address=f"10.0.0.{sum(name.encode()) % 250 + 1}"),),
            conditions=(NodeCondition(type="Ready", status="True" if ready else "False"),),
        ),
    )


def endpoint_slice(*addresses: str, name: str = "web") -> EndpointSlice:
    """The one EndpointSlice of a Service, with ready endpoints."""
    meta = ObjectMeta(name=f"{name}-1", namespace=NAMESPACE, labels={SERVICE_NAME_LABEL: name})
    return EndpointSlice(metadata=meta, endpoints=tuple(Endpoint(addresses=(address,)) for address in addresses))


class World:
    """A cluster, a cloud and one running lbctl.

    `connect` makes a driver from a `Setup`; it is called again after each crash, as a new process would.
    """

    def __init__(
        self,
        info: DriverInfo,
        *,
        kube: Backend | None = None,
        settings: Any = None,
        nodes: Iterable[str] = ("n1", "n2"),
        rules: ClaimRules | None = None,
        policy: Policy | None = None,
        cluster: Cluster | None = None,
        seed: int = 1,
        clock: Any = None,
    ) -> None:
        self.info = info
        self.settings = settings
        self.kube: Backend = kube or MemoryKube()
        self.clock = clock or ManualClock()
        self.cluster = cluster or Cluster("kubernetes", "cluster-1")
        self.policy = policy or Policy()
        self.rules = rules or ClaimRules("main", dict.fromkeys(info.served_classes, "main"))
        self.random = random.Random(seed)
        self.leading = True
        self.bugs: list[BaseException] = []
        self.figures: dict[tuple[Figure, str], float] = {}
        self.slices: dict[str, EndpointSlice] = {}
        for name in nodes:
            self.kube.nodes[name] = node(name)
        self.start()

    def _take_figure(self, figure: Figure, label: str, value: float) -> None:
        self.figures[figure, label] = value

    def start(self) -> None:
        """Start a process."""
        setup = Setup(self.cluster, self.clock, self.settings, "lbctl/test", self.random.random, show=self._take_figure)
        self.driver: Driver = self.info.connect(setup)
        self.account = Account("main", self.info, self.driver)
        shared = Shared(
            writer=self.kube,
            pod_writer=self.kube,
            reads=self.kube,
            recorder=self.kube,
            clock=self.clock,
            backoff=Backoff(self.random),
            cluster=self.cluster,
            policy=self.policy,
            may_write=self._fence,
            on_bug=self.bugs.append,
        )
        self.controller = Controller(
            {"main": self.account},
            rules=self.rules,
            shared=shared,
            source=self.random,
            list_services=self.kube.list_services,
            list_nodes=self.kube.list_nodes,
        )
        self.kube.listeners = [self.controller.see_service]
        self.kube.pod_listeners = [self.controller.see_pod]
        for pod in self.kube.pods.values():
            self.controller.see_pod(None, pod)
        for known in self.slices.values():
            self.controller.see_slice(None, known)
        for reference, found in self.kube.customs.items():
            self.controller.see_referred(reference.resource, None, found)
        self.controller.start(self.kube.list_services(), self.kube.list_nodes())

    def crash(self) -> None:
        """Lose the process with all its memory and start another."""
        self.driver.close()
        self.start()

    def settle(self, seconds: float = 30.0) -> None:
        """Work until nothing is due within `seconds`; time passes as fast as work allows."""
        end = self.clock.monotonic() + seconds
        while True:
            self.controller.tick()
            work = self.controller.next_work()
            if work is not None:
                self.do(work)
                continue
            due = self.controller.next_due()
            if due is None or due > end:
                self.clock.advance(end - self.clock.monotonic())
                return
            self.clock.advance(max(due - self.clock.monotonic(), 0.001))

    def do(self, work: Work) -> None:
        """Run one piece of work to its end."""
        try:
            for _ in self.controller.run(work):
                pass
        finally:
            self.controller.done(work)

    def apply(self, wanted: Service) -> Identity:
        """Create or change a Service and let lbctl work."""
        stored = self.kube.put(wanted)
        self.settle()
        return identity_of(stored)

    def edit(self, name: str, **spec: Any) -> None:
        """Change fields of a Service's spec and let lbctl work."""
        live = self.live(name)
        self.kube.put(change(live, spec=change(live.spec, **spec)))
        self.settle()

    def annotate(self, name: str, annotations: dict[str, str]) -> None:
        """Replace a Service's annotations and let lbctl work."""
        live = self.live(name)
        self.kube.put(change(live, metadata=change(live.metadata, annotations=annotations)))
        self.settle()

    def delete(self, name: str) -> None:
        """Delete a Service and let lbctl work."""
        self.kube.delete(f"{NAMESPACE}/{name}")
        self.settle()

    def live(self, name: str = "web") -> Service:
        """The Service as the API server has it."""
        return self.kube.services[f"{NAMESPACE}/{name}"]

    def exists(self, name: str = "web") -> bool:
        """True while the API server has the Service."""
        return f"{NAMESPACE}/{name}" in self.kube.services

    def addresses(self, name: str = "web") -> list[str]:
        """What is published for the Service."""
        return [entry.ip or entry.hostname or "" for entry in self.live(name).status.load_balancer.ingress]

    def condition(self, name: str = "web") -> Condition:
        """Our condition on the Service."""
        return next(c for c in self.live(name).status.conditions if c.type == "lbctl.io/LoadBalancerReady")

    def reasons(self, name: str = "web") -> list[str]:
        """Reasons of the Service's Events so far."""
        return self.kube.reasons(f"{NAMESPACE}/{name}")

    def see_node(self, new: Node | None, name: str = "") -> None:
        """Let a Node join, change or, with None, leave."""
        key = new.metadata.name if new is not None else name
        old = self.kube.nodes.pop(key, None)
        if new is not None:
            self.kube.nodes[key] = new
        self.controller.see_node(old, new)

    def see_slice(self, new: EndpointSlice) -> None:
        """Let the endpoints of a Service change, and lbctl work."""
        old, self.slices[new.key] = self.slices.get(new.key), new
        self.controller.see_slice(old, new)
        self.settle()

    def plans(self) -> list[Plan]:
        """What would be done now, planned against a fresh snapshot; empty when all is as it should be."""
        now = self.clock.monotonic()
        world = build_world(
            self.account, list(self.account.services.values()), cluster=self.cluster, now=self.clock.now()
        )
        seen = self.driver.snapshot(world)
        for scope in self.account.all_scopes() | frozenset(seen):
            self.account.see(seen.get(scope, Observed(scope)), now=now)
        scopes = sorted(scope for scope in self.account.all_scopes() if scope.kind != NO_OBJECTS)
        plans = (
            plan_scope(self.account, scope, cluster=self.cluster, policy=self.policy, now=self.clock.now()).plan
            for scope in scopes
        )
        return [plan for plan in plans if not plan.is_empty]

    def _fence(self) -> None:
        if not self.leading:
            raise LostLease("the lease is lost")
