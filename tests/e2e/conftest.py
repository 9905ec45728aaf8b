"""A whole sandbox: API server, simulated nodes, a running controller and real Envoy."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lbctl.clock import SystemClock
from lbctl.engine.process import Process
from lbctl.kube.access import Access
from lbctl.kube.rest import Rest
from lbctl.kube.throttle import Rate
from lbctl.model.objects import Service
from lbctl.sandbox.hands import Hands
from lbctl.sandbox.nodes.traffic import Kind, NoAnswer, Request, Tally, Traffic
from lbctl.sandbox.sandbox import Sandbox

NAMES = itertools.count(1)
PATIENCE_SECONDS = 20.0


class Bench:
    """A user of the sandbox: makes Services, changes them, sends traffic, waits for what must come."""

    def __init__(self, sandbox: Sandbox, traffic: Traffic) -> None:
        self.sandbox = sandbox
        self.fleet = sandbox.fleet
        self.traffic = traffic
        self.clock = SystemClock()
        access = Access(kubeconfig=str(sandbox.kubeconfig))
        self.hands = Hands(Rest(access, self.clock, rate=Rate(1000, 1000)))

    def create(
        self,
        *,
        replicas: int = 3,
        protocol: str = "TCP",
        annotations: dict[str, str] | None = None,
        wait: bool = True,
        **spec: Any,
    ) -> str:
        """A Service with simulated pods; returns its key once it has an address and all pods are reached."""
        name = f"s{next(NAMES)}"
        ports = [{"name": f"{protocol.lower()}-x", "port": 8000, "targetPort": 9000, "protocol": protocol}]
        document = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": "default",
                "annotations": {"sandbox.lbctl.io/replicas": str(replicas), **(annotations or {})},
            },
            "spec": {"type": "LoadBalancer", "selector": {"app": name}, "ports": ports, **spec},
        }
        self.hands.apply(document)
        key = f"default/{name}"
        if wait:
            self.until(lambda: self.address(key) or document["spec"]["type"] != "LoadBalancer")
            self.fleet.wait_served(key, pods=replicas)
        return key

    def live(self, key: str) -> Service:
        """The Service as the API server has it."""
        service = self.hands.get(key)
        assert service is not None
        return service

    def address(self, key: str) -> str:
        """The published address, empty without one."""
        service = self.hands.get(key)
        ingress = service.status.load_balancer.ingress if service else ()
        return ingress[0].ip or "" if ingress else ""

    def patch(self, key: str, **spec: Any) -> Service:
        """Change fields of a Service's spec."""
        return self.hands.patch(key, {"spec": spec})

    def request(self, key: str, *, port: int = 8000, protocol: Kind = Kind.TCP, **options: Any) -> Request:
        """A request to the Service's published address."""
        return Request(protocol, self.address(key), port, **{"timeout_seconds": 1.0, **options})

    def ask(self, request: Request, *, count: int = 20) -> Tally:
        """What came of some requests."""
        return self.traffic.ask_many(request, count=count, at_once=4)

    def answers(self, request: Request) -> bool:
        """True when somebody answers."""
        with contextlib.suppress(NoAnswer):
            self.traffic.ask(request)
            return True
        return False

    def until(self, holds: Callable[[], object], *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until something holds; fails when it does not in time."""
        end = self.clock.monotonic() + seconds
        while not holds():
            self.sandbox.check_controller()
            assert self.clock.monotonic() < end, f"it did not happen in {seconds} s"
            self.clock.wait(0.05)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """One sandbox for a module, with a controller."""
    with Sandbox(nodes=3) as sandbox, Traffic() as traffic:
        sandbox.start_controller(Process(sandbox.settings, clock=SystemClock()))
        yield Bench(sandbox, traffic)
