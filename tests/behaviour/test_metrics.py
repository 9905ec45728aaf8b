"""What a running process shows at `/metrics`, on a real API server's terms and with a cloud in memory."""

from __future__ import annotations

import json
import logging
import re
import threading
import urllib.request

import pytest

from lbctl.clock import SystemClock
from lbctl.engine.process import Process
from lbctl.errors import PermissionDenied, QuotaExceeded
from lbctl.kube.access import Access
from lbctl.kube.rest import Rest
from lbctl.obs.log import JsonFormatter
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.hands import Hands
from lbctl.settings import load
from tests.clouds.memory import MemoryCloud, info

CLOCK = SystemClock()


class Running:
    """A process on its own API server, and what it shows."""

    def __init__(self, api, folder, **more):
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(api.kubeconfig())
        flags = {
            "kube.kubeconfig": str(kubeconfig),
            "obs.address": "127.0.0.1:0",
            "accounts.memory.provider": "memory",
            **more,
        }
        self.cloud = MemoryCloud()
        self.api = api
        self.hands = Hands(Rest(Access(kubeconfig=str(kubeconfig)), CLOCK))
        settings = load(file=None, environ={}, flags=flags).settings
        self.process = Process(settings, clock=CLOCK, find=lambda _name: info(self.cloud))
        self.thread = threading.Thread(target=self.process.run)

    def apply(self, name, *, annotations=None, **spec):
        self.hands.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
                "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], **spec},
            }
        )

    def scrape(self):
        """Every sample by its name with labels in their order."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.process.port}/metrics") as reply:
            text = reply.read().decode()
        return {name: float(value) for name, value in re.findall(r"^([a-z_]+(?:{.*})?) (\S+)$", text, re.MULTILINE)}

    def until_counted(self, name):
        """Return once this sample is there: a pass is counted just after its Service shows how it went."""
        end = CLOCK.monotonic() + 15
        while not self.scrape().get(name):
            assert CLOCK.monotonic() < end, f"{name} does not appear"
            CLOCK.wait(0.1)

    def until(self, name, value):
        """The samples once this one has this value; None means that it is not shown."""
        end = CLOCK.monotonic() + 15
        while (samples := self.scrape()).get(name) != value:
            assert CLOCK.monotonic() < end, f"{name} is {samples.get(name)}, not {value}"
            CLOCK.wait(0.1)
        return samples


def node(name):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"providerID": f"memory:///{name}"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": f"10.0.0.{len(name)}"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


@pytest.fixture
def running(tmp_path, request):
    """A process that leads; parameters are settings."""
    with ApiServer() as api:
        api.store.seed([node("n1"), node("n02")])
        running = Running(api, tmp_path, **getattr(request, "param", {}))
        running.thread.start()
        while not running.process.port:
            CLOCK.wait(0.02)
        yield running
        running.process.stop()
        running.thread.join(20)
        assert not running.thread.is_alive()


def services(provider, state):
    return f'lbctl_services{{provider="{provider}",state="{state}"}}'


def test_a_service_counts_as_ready_once_it_is(running):
    """One Service: one ready, none pending, its time to an address and its changes counted, under both names."""
    running.apply("web")
    samples = running.until(services("memory", "ready"), 1)
    assert samples[services("memory", "pending")] == 0
    assert samples['lbctl_time_to_address_seconds_count{provider="memory"}'] == 1
    assert samples['lbctl_plans_total{kind="balancer",provider="memory",verb="create"}'] == 1
    assert samples["lbctl_leader"] == samples['leader_election_master_status{name="lbctl"}'] == 1
    assert samples['workqueue_adds_total{name="service"}'] >= 1
    assert samples['workqueue_work_duration_seconds_count{name="service"}'] >= 1
    assert samples['workqueue_queue_duration_seconds_count{name="service"}'] >= 1
    assert not [name for name in samples if name.startswith("lbctl_service_pending_seconds")]


def test_a_service_that_waits_is_named_with_its_reason(running):
    """A mistake in an annotation: one failed, named with namespace and reason; mended, it is gone from the list."""
    running.apply("web", annotations={"memory.example.com/flavor": "no such flavor"})
    pending = 'lbctl_service_pending_seconds{namespace="default",reason="InvalidService",service="web"}'
    samples = running.until(services("memory", "failed"), 1)
    assert samples[pending] >= 0
    running.apply("web")
    samples = running.until(services("memory", "ready"), 1)
    assert pending not in samples


def test_a_controller_without_any_success_shows_since_when(running):
    """The time of the last success is there from the start, so that an alert on its age can fire."""

    def refuse(_name, _number):
        raise PermissionDenied("no")

    running.cloud.before = refuse
    running.apply("web")
    samples = running.until(services("memory", "failed"), 1)
    assert samples['lbctl_last_success_timestamp_seconds{provider="memory"}'] > 0


def test_a_service_of_another_class_counts_as_foreign(running):
    """A class that nobody here serves is counted apart."""
    running.apply("web", loadBalancerClass="example.com/other")
    samples = running.until(services("", "foreign"), 1)
    assert samples[services("memory", "ready")] == 0


def test_a_joining_node_is_timed_until_it_is_a_target(running):
    """A new Node shows in lbctl's and in upstream's figures of target updates."""
    running.apply("web")
    before = running.until(services("memory", "ready"), 1)
    assert before["service_controller_loadbalancer_sync_total"] == 0
    running.api.store.seed([node("n0003")])
    samples = running.until('lbctl_node_to_target_seconds_count{provider="memory"}', 1)
    assert samples["service_controller_nodesync_latency_seconds_count"] == 1
    running.until("service_controller_loadbalancer_sync_total", 1)


def test_a_held_change_is_counted_by_its_hazard(running):
    """A change that moves the address waits for approval, and shows as one action held."""
    running.apply("web")
    running.until(services("memory", "ready"), 1)
    running.apply("web", annotations={"memory.example.com/flavor": "large"})
    samples = running.until(services("memory", "held"), 1)
    assert samples['lbctl_actions_held{hazard="moves_address"}'] >= 1
    assert not [name for name in samples if name.startswith("lbctl_service_pending_seconds")]


def test_time_is_told_stage_by_stage(running):
    """Each stage of a pass that called the driver is timed under its name."""
    running.apply("web")
    samples = running.until(services("memory", "ready"), 1)
    for stage in ("snapshot", "model", "plan", "apply", "status"):
        assert samples[f'lbctl_stage_seconds_count{{provider="memory",stage="{stage}"}}'] >= 1


def test_a_cloud_that_refuses_shows_as_failed_passes(running):
    """A pass whose Service failed is none that went well, although nothing of lbctl is broken."""

    def refuse(name, _number):
        if name == "create-balancer":
            raise QuotaExceeded("one too many")

    running.cloud.before = refuse
    running.apply("web")
    running.until(services("memory", "failed"), 1)
    running.until_counted('lbctl_reconcile_seconds_count{provider="memory",result="failed"}')


@pytest.mark.parametrize("running", [{"queue.drift_seconds": 0.3}], indirect=True)
def test_a_repair_is_counted_by_the_kind_of_what_others_changed(running):
    """Somebody takes the targets out by hand: one pool repaired."""
    running.apply("web")
    running.until(services("memory", "ready"), 1)
    (pool,) = [thing for thing in running.cloud.things.values() if thing.fields.get("targets")]
    pool.fields["targets"] = frozenset()
    running.until(f'lbctl_drift_repaired_total{{kind="{pool.kind}",provider="memory"}}', 1)


def test_log_lines_of_a_pass_say_what_it_is_about(running):
    """Whatever is logged while a Service is worked on names it, its provider and the reconcile's id."""
    lines = []

    def log(name, _number):
        made = logging.LogRecord("cloud", logging.INFO, "x.py", 1, name, (), None)
        lines.append(json.loads(JsonFormatter().format(made)))

    running.cloud.before = log
    running.apply("web")
    running.until(services("memory", "ready"), 1)
    (create,) = [line for line in lines if line["message"] == "create-balancer"]
    assert (create["service"], create["provider"]) == ("default/web", "memory")
    assert len(create["reconcile"]) == 12
