"""Prints the figures of a cluster of 5,000 Nodes and 10,000 Services, 2,000 of them balancers, as one JSON object.

The API server runs in this process, the controller in another, so that only the controller's CPU and memory count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lbctl.sandbox.api import ApiServer

NODES, SERVICES, BALANCERS = 5_000, 10_000, 2_000
IDLE_SECONDS = 30
HEARTBEATS_PER_SECOND = 17
BURST_EVENTS = 20_000


class Child:
    """The measured controller."""

    def __init__(self, kubeconfig: Path, state: Path) -> None:
        command = [sys.executable, "-m", "tests.bench.child", str(kubeconfig), str(state)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.started = time.monotonic()

    def stats(self) -> dict:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("stats\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def until(self, holds: Callable[[dict], bool], *, seconds: float = 300, pause: float = 0.1) -> dict:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = self.stats()
            if holds(now):
                return now
            time.sleep(pause)
        raise TimeoutError(f"not reached in {seconds} s: {self.stats()}")

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()
        self._process.wait(60)


def node(index: int, beat: int = 0) -> dict:
    """A Node of about 14 kB, as kubelets write them."""
    name = f"node-{index:05d}"
    images = [
        {
            "names": [f"registry.example/{name}/image-{i}@sha256:{'ab' * 32}", f"registry.example/app-{i}:v1.{i}"],
            "sizeBytes": 10**8,
        }
        for i in range(50)
    ]
    conditions = [
        {
            "type": kind,
            "status": "True" if kind == "Ready" else "False",
            "lastHeartbeatTime": f"2026-01-01T{beat // 3600 % 24:02d}:{beat // 60 % 60:02d}:{beat % 60:02d}Z",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "reason": f"Kubelet{kind}",
            "message": f"kubelet reports {kind}",
        }
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": f"zone-{index % 3}",
                "node.kubernetes.io/instance-type": "m7.large",
            },
        },
        "spec": {"providerID": f"aws:///zone-{index % 3}/i-{index:017x}"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": f"10.{index // 62500}.{index // 250 % 250}.{index % 250 + 1}"}
            ],
            "conditions": conditions,
            "images": images,
        },
    }


def service(index: int) -> dict:
    """A Service of about 1.7 kB; the first ones are balancers."""
    kind = "LoadBalancer" if index < BALANCERS else "ClusterIP"
    ports: list[dict] = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    if kind == "LoadBalancer":
        ports[0]["nodePort"] = 30000 + index
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": f"svc-{index:05d}",
            "namespace": "default",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x" * 900},
            "labels": {"app": f"app-{index}", "team": f"team-{index % 40}"},
        },
        "spec": {"type": kind, "selector": {"app": f"app-{index}"}, "ports": ports, "ipFamilies": ["IPv4"]},
        "status": {"loadBalancer": {}},
    }


def writes(api: ApiServer) -> tuple[int, int]:
    """Writes and events that the API server has taken so far, without those on and about the Lease."""
    calls = [line for line in api.journal.lines() if line.verb in ("create", "patch", "update", "POST", "PATCH", "PUT")]
    calls = [line for line in calls if "/leases" not in line.path and "/kube-system/events" not in line.path]
    events = [line for line in calls if "/events" in line.path]
    return len(calls) - len(events), len(events)


def percent(child: Child, seconds: float) -> float:
    """CPU of the child over a time, in percent of one core."""
    before = child.stats()["cpu"]
    time.sleep(seconds)
    return 100 * (child.stats()["cpu"] - before) / seconds


def heartbeats(api: ApiServer, per_second: float, stop: threading.Event) -> Iterator[int]:
    """Let kubelets write their status at this rate until told to stop."""
    beat = 0
    while not stop.is_set():
        beat += 1
        api.store.seed([node(beat % NODES, beat)])
        stop.wait(1 / per_second)
        yield beat


def measure() -> dict[str, float]:
    """All figures; takes some minutes."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="lbctl-bench-") as folder, ApiServer(history=50_000) as api:
        kubeconfig, state = Path(folder) / "kubeconfig", Path(folder) / "state"
        kubeconfig.write_text(api.kubeconfig())
        api.store.seed(node(index) for index in range(NODES))
        api.store.seed(service(index) for index in range(SERVICES))
        _first_run(api, kubeconfig, state, figures)
        _restart(api, kubeconfig, state, figures)
    return figures


def _first_run(api: ApiServer, kubeconfig: Path, state: Path, figures: dict[str, float]) -> None:
    child = Child(kubeconfig, state)
    synced = child.until(lambda s: s["synced"], pause=0.02)
    figures["cpu_synced_s"] = synced["cpu"]
    figures["rss_mib"] = synced["rss"]
    done = child.until(lambda s: s["settled"] and s["writes"] >= BALANCERS)
    figures["cpu_ms_per_balancer"] = 1000 * (done["cpu"] - synced["cpu"]) / BALANCERS
    figures["create_all_s"] = time.monotonic() - child.started
    figures["rss_at_work_mib"] = done["rss"]
    child.stop()


def _restart(api: ApiServer, kubeconfig: Path, state: Path, figures: dict[str, float]) -> None:
    before_writes, before_events = writes(api)
    child = Child(kubeconfig, state)
    settled = child.until(lambda s: s["settled"])
    figures["restart_idle_s"] = time.monotonic() - child.started
    figures["restart_cpu_s"] = settled["cpu"]
    time.sleep(5)
    after_writes, after_events = writes(api)
    figures["restart_writes"] = after_writes - before_writes + child.stats()["writes"]
    figures["restart_events"] = after_events - before_events
    before = child.stats()
    api.store.seed([node(NODES)])
    after = child.until(lambda s: s["settled"] and s["writes"] - before["writes"] >= BALANCERS)
    figures["node_added_cpu_s"] = after["cpu"] - before["cpu"]
    figures["node_added_updates"] = after["writes"] - before["writes"]
    time.sleep(12)
    figures["idle_cpu_percent"] = percent(child, IDLE_SECONDS)
    stop = threading.Event()
    beating = threading.Thread(target=lambda: list(heartbeats(api, HEARTBEATS_PER_SECOND, stop)))
    beating.start()
    figures["heartbeat_cpu_percent"] = percent(child, IDLE_SECONDS)
    stop.set()
    beating.join()
    figures["node_events_per_s"] = _burst(api, child)
    child.stop()


def _burst(api: ApiServer, child: Child) -> float:
    """Node events decoded per CPU second."""
    before = child.stats()["cpu"]
    for start in range(0, BURST_EVENTS, 1000):
        api.store.seed(node(index % NODES, index) for index in range(start, start + 1000))
    time.sleep(5)
    return BURST_EVENTS / (child.stats()["cpu"] - before)


if __name__ == "__main__":
    print(json.dumps({name: round(value, 3) for name, value in measure().items()}, indent=2))
