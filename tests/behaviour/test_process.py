"""A whole process with its threads, on an embedded API server."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from lbctl.clock import SystemClock
from lbctl.driver import DriverInfo
from lbctl.engine.process import MOST_FAILURES, Process
from lbctl.kube.lease import micro_time
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.hands import Hands
from lbctl.settings import load
from tests.bench.free_cloud import INFO
from tests.clouds.memory import PREFIX, MemoryCloud
from tests.clouds.memory import info as memory_info
from tests.kube_servers import connect


def make_process(api: ApiServer, folder: Path, info: DriverInfo = INFO) -> Process:
    """A process that was not started yet."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(api.kubeconfig())
    flags = {
        "kube.kubeconfig": str(kubeconfig),
        "obs.address": "127.0.0.1:0",
        "accounts.free.provider": "free",
    }
    if info.settings is INFO.settings:
        flags["accounts.free.settings.file"] = str(folder / "state")
    settings = load(file=None, environ={}, flags=flags).settings
    return Process(settings, clock=SystemClock(), find=lambda _name: info)


class Running:
    """A process in a thread."""

    def __init__(self, api: ApiServer, folder: Path, info: DriverInfo = INFO) -> None:
        self.process = make_process(api, folder, info)
        self.thread = threading.Thread(target=self.process.run)
        self.thread.start()

    @property
    def writes(self) -> int:
        return self.process.assembly.accounts["free"].driver.writes

    def until(self, holds, seconds=20.0) -> None:
        clock = SystemClock()
        end = clock.monotonic() + seconds
        while not holds():
            assert clock.monotonic() < end
            clock.wait(0.05)

    def stop(self) -> None:
        self.process.stop()
        self.thread.join(30)


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}], "ipFamilies": ["IPv4"]},
    "status": {"loadBalancer": {}},
}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n1"},
    "spec": {"providerID": "free://n1"},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.fixture
def api():
    with ApiServer(bookmark_seconds=0.2) as server:
        server.store.seed([SERVICE, NODE])
        yield server


def web(api: ApiServer) -> dict:
    """The Service as it is stored."""
    return next(one for one in api.store.objects("v1", "Service", "default") if one["metadata"]["name"] == "web")


@pytest.mark.spec("SC-088")
def test_nothing_is_worked_on_before_services_and_nodes_are_complete(api, tmp_path):
    """The list of Nodes fails: no write. It succeeds: the Service is served with the node in it."""
    api.faults.answer(503, path="/api/v1/nodes", times=2)
    running = Running(api, tmp_path)
    try:
        feeds = running.process._feeds
        running.until(lambda: feeds and feeds[0].synced.is_set())
        SystemClock().wait(0.5)
        assert not feeds[1].synced.is_set()
        assert running.writes == 0
        assert running.process.is_ready() != ""
        running.until(lambda: running.writes > 0)
        driver = running.process.assembly.accounts["free"].driver
        (seen,) = driver.state.values()
        targets = next(s.resource.fields["targets"] for s in seen.values() if "targets" in s.resource.fields)
        assert targets == {"free://n1"}
    finally:
        running.stop()


def test_a_process_serves_and_stops_and_gives_the_lease_back(api, tmp_path):
    """The address is in the status, the endpoints answer, and a clean stop empties the Lease."""
    import urllib.request

    running = Running(api, tmp_path)
    try:
        running.until(lambda: web(api)["status"]["loadBalancer"].get("ingress"))
        port = running.process._endpoints.port
        for path in ("healthz", "readyz"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as reply:
                assert reply.read() == b"ok\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
            assert b"lbctl_build_info" in reply.read()
    finally:
        running.stop()
    assert lease_named(api, "lbctl")["spec"].get("holderIdentity", "") == ""


def test_the_lease_is_given_back_after_the_last_call_to_the_cloud(tmp_path):
    """A stop in the middle of a call: it ends under our Lease, the pass ends with it, and the Lease is free."""
    cloud, clock = MemoryCloud(), SystemClock()
    calling, holders = threading.Event(), []
    with ApiServer(bookmark_seconds=0.2) as api:
        api.store.seed([SERVICE, NODE])

        def holder() -> str:
            return lease_named(api, "lbctl")["spec"].get("holderIdentity", "")

        def take_long(_name: str, _number: int) -> None:
            calling.set()
            running.process._stop.wait(20.0)
            end = clock.monotonic() + 1.0
            while holder() and clock.monotonic() < end:
                clock.wait(0.05)
            holders.append(holder())

        cloud.before = take_long
        running = Running(api, tmp_path, memory_info(cloud))
        assert calling.wait(20.0)
        running.stop()
        assert [bool(one) for one in holders] == [True]
        assert cloud.writes == 1
        assert holder() == ""


def test_a_process_ends_with_any_thread_that_fails(api, tmp_path):
    """It would look healthy and do a part of its work; the error is told, and whoever supervises it starts another."""
    process = make_process(api, tmp_path)
    process._spawn("any", lambda: {}["a bug"])
    with pytest.raises(KeyError, match="a bug"):
        process.run()


def test_both_ends_of_a_leadership_are_events_on_the_lease(api, tmp_path):
    """As client-go tells them, with the identity, so that `kubectl describe lease` shows who led and until when."""
    running = Running(api, tmp_path)
    try:
        running.until(lambda: web(api)["status"]["loadBalancer"].get("ingress"))
    finally:
        running.stop()
    events = [e for e in api.store.objects("v1", "Event", "kube-system") if e["reason"] == "LeaderElection"]
    assert {event["involvedObject"]["name"] for event in events} == {"lbctl"}
    said = sorted(event["message"].partition(" ")[2] for event in events)
    assert said == ["became leader", "stopped leading"]


def locker(holder: str) -> dict:
    """The Lease by which the writers of the cloud's shared objects take turns."""
    spec = {"leaseDurationSeconds": 900, "holderIdentity": holder, "renewTime": micro_time(SystemClock().now())}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "locker", "namespace": "kube-system"},
        "spec": spec,
    }


@pytest.mark.spec("AZ-092")
def test_the_cloud_is_written_only_in_our_turn(api, tmp_path):
    """The Lease is taken before the first write and free again when the Service is served."""
    api.store.seed([locker("")])
    running = Running(api, tmp_path, dataclasses.replace(INFO, write_lease="kube-system/locker"))
    try:
        running.until(lambda: web(api)["status"]["loadBalancer"].get("ingress"))
        running.until(lambda: lease_named(api, "locker")["spec"].get("holderIdentity", "") == "")
        assert lease_named(api, "locker")["spec"]["acquireTime"]
    finally:
        running.stop()


@pytest.mark.spec("AZ-092")
def test_out_of_turn_a_service_waits_and_says_for_whom(api, tmp_path):
    """Nothing is written in the cloud, and the condition names the holder."""
    api.store.seed([locker("resource-provider")])
    running = Running(api, tmp_path, dataclasses.replace(INFO, write_lease="kube-system/locker"))
    try:
        running.until(lambda: "resource-provider" in str(web(api)["status"].get("conditions")))
        assert running.writes == 0
    finally:
        running.stop()


def test_another_controller_that_runs_is_warned_of(api, tmp_path, caplog):
    """A live Lease of the cloud's own controller: the log names its holder and what to turn off, and work goes on."""
    api.store.seed([locker("its-pod_1")])
    running = Running(api, tmp_path, dataclasses.replace(INFO, controller_leases=("kube-system/locker",)))
    try:
        running.until(lambda: web(api)["status"]["loadBalancer"].get("ingress"))
    finally:
        running.stop()
    (warning,) = [record.message for record in caplog.records if "another controller" in record.message]
    assert "its-pod_1 holds the Lease kube-system/locker" in warning
    assert "-service-lb-controller" in warning


def lease_named(api: ApiServer, name: str) -> dict:
    """A Lease as it is stored."""
    leases = api.store.objects("coordination.k8s.io/v1", "Lease")
    return next(one for one in leases if one["metadata"]["name"] == name)


CANARY = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "canary", "namespace": "default"},
    "spec": {"type": "ClusterIP", "ports": [{"port": 80}]},
}
SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "canary-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "canary"}},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.2.0.1"]}],
    "ports": [],
}


def with_annotations(annotations: dict) -> dict:
    """The Service with these annotations of the driver in memory."""
    named = {PREFIX + key: value for key, value in annotations.items()}
    return SERVICE | {"metadata": SERVICE["metadata"] | {"annotations": named}}


def only_balancer(cloud: MemoryCloud) -> dict:
    """Fields of the only balancer in memory, empty while there is none."""
    return next((dict(t.fields) for t in list(cloud.things.values()) if t.kind == "balancer"), {})


def test_services_that_others_name_are_watched_as_soon_as_one_is_named(tmp_path):
    """The first Service that names one may come long after the start; its pods are targets at once."""
    cloud = MemoryCloud()
    with ApiServer(bookmark_seconds=0.2) as api:
        api.store.seed([SERVICE, NODE, CANARY, SLICE])
        running = Running(api, tmp_path, memory_info(cloud))
        try:
            running.until(lambda: only_balancer(cloud).get("targets") == {"n1"})
            watched = [feed for feed in running.process._reflectors if feed.resource_name == "services"]
            assert len(watched) == 1
            annotations = {PREFIX + "pods": "true", PREFIX + "also": "canary"}
            hands = Hands(connect(api.kubeconfig(), tmp_path))
            hands.patch("default/web", {"metadata": {"annotations": annotations}})
            running.until(lambda: only_balancer(cloud).get("targets") == {"10.2.0.1"})
        finally:
            running.stop()


def test_a_custom_kind_that_the_cluster_does_not_have_keeps_nobody_waiting(tmp_path):
    """The process becomes ready, and the Service that names an object of it is served as if it were missing."""
    cloud = MemoryCloud()
    with ApiServer(bookmark_seconds=0.2) as api:
        api.store.seed([with_annotations({"tier": "gold"}), NODE])
        running = Running(api, tmp_path, memory_info(cloud))
        try:
            running.until(lambda: only_balancer(cloud).get("bandwidth") == 0)
            assert running.process.is_ready() == ""
        finally:
            running.stop()


def test_what_can_be_done_without_and_cannot_be_read_keeps_nobody_waiting(tmp_path):
    """The server fails to list what a Service names: the process becomes ready, and everybody else is served."""
    cloud = MemoryCloud()
    with ApiServer(bookmark_seconds=0.2) as api:
        api.faults.answer(500, path=r"services\?.*type(!|%21)", times=-1)
        api.store.seed([with_annotations({"also": "canary"}), NODE, CANARY])
        running = Running(api, tmp_path, memory_info(cloud))
        try:
            running.until(lambda: only_balancer(cloud).get("targets") == {"n1"})
            assert running.process.is_ready() == ""
            assert api.journal.count("list", 500) + api.journal.count("watch", 500) >= MOST_FAILURES
        finally:
            running.stop()
