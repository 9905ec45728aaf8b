"""Isolation under steady change, and thousands of listeners. Slow."""

from __future__ import annotations

import itertools
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Self

import pytest

from lbctl.model.objects import ServicePort
from lbctl_local.process import read_running
from lbctl_local.state import StateDir
from tests.local.gateway import Gateway, ask, connection, echoes, local_node, talk, with_ports
from tests.world import change, service

NODE_PORT = 30080
CHANGES = 200
MANY = 2000


class Traffic:
    """Clients that ask steadily, one connection a request, and keep one connection open; counts what they got."""

    def __init__(self, targets: dict[str, tuple[str, int]]) -> None:
        self.answers: dict[str, Counter[bool]] = {name: Counter() for name in targets}
        self.broken: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=work, args=(name, *target), daemon=True)
            for name, target in targets.items()
            for work in (self._ask, self._hold)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, name: str, address: str, port: int) -> None:
        while not self._stop.wait(0.005):
            self.answers[name][ask(address, port) != ""] += 1

    def _hold(self, name: str, address: str, port: int) -> None:
        with connection(address, port) as opened:
            while not self._stop.wait(0.02):
                if not talk(opened).endswith("hello"):
                    self.broken.append(name)
                    return


@pytest.mark.slow
def test_two_hundred_changes_fail_no_request_elsewhere(gateway: Gateway):
    """200 changes of nodes, ports and options under traffic: no failure on untouched Services, 99 % on touched ones."""
    second = ServicePort(port=81, node_port=30081, name="second")
    changes = itertools.cycle(("join", "leave", "ports", "options", "ranges", "back"))
    with echoes(NODE_PORT, "n1", "n2", "n3"), echoes(30081, "n1", "n2", "n3"), echoes(30082, "n1", "n2", "n3"):
        for name in ("touched", "quiet"):
            gateway.apply(with_ports(ServicePort(port=80, node_port=NODE_PORT, name="p80")))
            gateway.apply(change(service(name), spec=gateway.live("web").spec))
        where = {name: (gateway.addresses(name)[0], 80) for name in ("touched", "quiet")}
        with Traffic(where) as traffic:
            for _, kind in zip(range(CHANGES), changes, strict=False):
                _change(gateway, kind, second)
                gateway.settle(0.2)
    # A change of a listener drains the connections that it has, so only the quiet Service keeps them for ever.
    assert "quiet" not in traffic.broken
    assert traffic.answers["quiet"][False] == 0
    assert traffic.answers["quiet"][True] > CHANGES
    good, bad = traffic.answers["touched"][True], traffic.answers["touched"][False]
    assert good / (good + bad) >= 0.99, traffic.answers
    report(f"{CHANGES} changes, answers {traffic.answers}")


def _change(gateway: Gateway, kind: str, second: ServicePort) -> None:
    live = gateway.live("touched")
    first = live.spec.ports[0]
    match kind:
        case "join":
            gateway.see_node(local_node("n3"))
        case "leave":
            gateway.see_node(None, "n3")
        case "ports":
            gateway.edit("touched", ports=(change(first, node_port=30082), second))
        case "options":
            gateway.annotate("touched", {"lbctl.io/algorithm": "least-request", "lbctl.io/max-connections": "500"})
        case "ranges":
            gateway.edit("touched", load_balancer_source_ranges=("127.0.0.0/8",))
        case "back":
            gateway.edit("touched", ports=(change(first, node_port=NODE_PORT),), load_balancer_source_ranges=())
            gateway.annotate("touched", {})


@pytest.mark.slow
def test_two_thousand_listeners_start_and_change_cheaply(build):
    """2,000 Services at once serve within 60 s; then one more takes under 2 s, and an Envoy restart under 10 s."""
    gateway = build(workers=1)
    clock = gateway.clock
    with echoes(NODE_PORT, "n1", "n2"):
        options = {"lbctl.io/health-check-protocol": "none"}
        started, cpu = clock.monotonic(), os.times().user
        for number in range(MANY):
            port = ServicePort(port=80, node_port=NODE_PORT, name="p80")
            wanted = with_ports(port, annotations=options)
            gateway.kube.put(change(wanted, metadata=change(wanted.metadata, name=f"s{number}")))
        gateway.settle()
        took = clock.monotonic() - started
        report(f"create {MANY}: {took:.1f} s, our CPU {os.times().user - cpu:.1f} s, Envoy {usage(gateway)}")
        assert all(gateway.addresses(f"s{number}") for number in range(MANY))
        assert took < 60
        started = clock.monotonic()
        gateway.apply(service("one-more", ports=(80,), annotations=options))
        one = clock.monotonic() - started
        report(f"one more: {one:.2f} s; Envoy {usage(gateway)}")
        started = clock.monotonic()
        gateway.see_node(local_node("n3"))
        gateway.settle(4)
        report(f"node joined: {clock.monotonic() - started:.2f} s; Envoy {usage(gateway)}")
        started = clock.monotonic()
        running = read_running(StateDir(gateway.root))
        assert running is not None
        os.kill(running.pid, 9)
        gateway.until(lambda: ask(gateway.addresses("s0")[0], 80) == "")
        gateway.until(lambda: ask(gateway.addresses("s1999")[0], 80) != "", seconds=15)
        back = clock.monotonic() - started
        report(f"killed and back: {back:.2f} s; Envoy {usage(gateway)}")
        assert one < 2
        assert back < 10


def report(line: str) -> None:
    """Show a measured figure; seen with `pytest -s`."""
    print(line)  # noqa: T201 - figures are what these tests are also for


def usage(gateway: Gateway) -> str:
    """CPU seconds and resident memory of Envoy."""
    running = read_running(StateDir(gateway.root))
    if running is None:
        return "none"
    fields = Path(f"/proc/{running.pid}/stat").read_text().split()
    status = Path(f"/proc/{running.pid}/status").read_text().splitlines()
    resident = next(line.split()[1] for line in status if line.startswith("VmRSS"))
    return f"{(int(fields[13]) + int(fields[14])) / 100:.1f} s CPU, {int(resident) // 1024} MiB"
