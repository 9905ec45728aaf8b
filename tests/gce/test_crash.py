"""Dying before or after every single write, of the cloud or of the API server, changes nothing in the end."""

from __future__ import annotations

import pytest

from tests.clouds.gce.errors import Refusal
from tests.clouds.gce.faults import Fault
from tests.clouds.gce.world import Google, nothing_happens
from tests.gce.conftest import Build
from tests.world import change, service


class Crash(BaseException):
    """The process dies here."""


def create(world: Google) -> None:
    """Make a Service."""
    world.kube.put(service(ports=(80, 443)))


def recreate(world: Google) -> None:
    """Change ports, so that the forwarding rule has to be made anew, and source ranges."""
    live = world.live()
    ports = service(ports=(80, 8443)).spec.ports
    spec = change(live.spec, ports=ports, load_balancer_source_ranges=("10.0.0.0/8",))
    world.kube.put(change(live, spec=spec))


def make_local(world: Google) -> None:
    """Let only nodes with a pod take traffic, which needs a health check of the Service's own."""
    live = world.live()
    spec = change(live.spec, external_traffic_policy="Local", health_check_node_port=32000)
    world.kube.put(change(live, spec=spec))


def delete(world: Google) -> None:
    """Delete the Service."""
    world.kube.delete("shop/web")


def change_type(world: Google) -> None:
    """Turn the Service into a ClusterIP one."""
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, type="ClusterIP")))


SCENARIOS = {
    "create": [create],
    "recreate": [create, recreate],
    "local": [create, make_local],
    "delete": [create, delete],
    "delete-local": [create, make_local, delete],
    "type": [create, change_type],
}
CLASSES = {
    "netlb-tp": "networking.gke.io/l4-regional-external-legacy",
    "ilb-ig": "networking.gke.io/l4-regional-internal-legacy",
    "ilb-neg": "networking.gke.io/l4-regional-internal",
}


class Counter:
    """Counts the writes of cloud and API server together, and dies at one of them."""

    def __init__(self, at: int = 0, *, before: bool = True) -> None:
        self.count, self.at, self.is_before, self.fired = 0, at, before, False

    def begin(self, what: str, number: int) -> None:
        self.count += 1
        if self.is_before and self.count == self.at:
            self.fired = True
            raise Crash(what)

    def end(self, what: str, number: int) -> None:
        if not self.is_before and self.count == self.at:
            self.fired = True
            raise Crash(what)


def play(world: Google, steps, counter: Counter) -> None:
    """Play a scenario; a crash in its last step is followed by a new process."""
    for step in steps[:-1]:
        step(world)
        world.settle()
    world.before = world.kube.before = counter.begin
    world.after = world.kube.after = counter.end
    steps[-1](world)
    try:
        world.settle()
    except Crash:
        world.before = world.after = world.kube.before = world.kube.after = nothing_happens
        world.crash()
        world.settle(60)


def picture(world: Google):
    """Everything that must be the same whatever happened on the way."""
    services = {
        key: (sorted(s.metadata.finalizers), s.spec.type, [i.ip for i in s.status.load_balancer.ingress])
        for key, s in world.kube.services.items()
    }
    return world.state(), services


@pytest.mark.spec("GCE-020", "GCE-026", "GCE-082", "GCE-089")
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_crash_at_every_write_converges_to_the_same_end(build: Build, scenario: str, before: bool) -> None:
    """Each run dies once, at another write; the next process ends where an undisturbed one ends, with an empty plan."""
    undisturbed = Counter()
    first = build()
    play(first, SCENARIOS[scenario], undisturbed)
    wanted = picture(first)
    assert undisturbed.count > 2
    for at in range(1, undisturbed.count + 1):
        counter = Counter(at, before=before)
        world = build()
        play(world, SCENARIOS[scenario], counter)
        assert counter.fired
        assert picture(world) == wanted, f"after a crash at write {at}"
        assert world.plans() == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", CLASSES)
@pytest.mark.parametrize("scenario", ["create", "recreate", "delete-local"])
def test_a_crash_after_every_write_converges_in_every_other_mode(build: Build, mode: str, scenario: str) -> None:
    """Target pools, internal balancers with groups and with endpoints: the same end, and an empty plan."""
    steps = [lambda world: world.kube.put(classed(CLASSES[mode])), *SCENARIOS[scenario][1:]]
    undisturbed = Counter()
    first = build()
    play(first, steps, undisturbed)
    wanted = picture(first)
    assert undisturbed.count > 2
    for at in range(1, undisturbed.count + 1):
        counter = Counter(at, before=False)
        world = build()
        play(world, steps, counter)
        assert counter.fired
        assert picture(world) == wanted, f"after a crash at write {at}"
        assert world.plans() == []


def classed(load_balancer_class: str):
    """A Service of one class."""
    return service(ports=(80, 443), load_balancer_class=load_balancer_class)


FAULTS = {
    "lost": {"lost": True},
    "throttled": {"refusal": Refusal(403, "rateLimitExceeded", "Rate Limit Exceeded")},
    "too-many": {"refusal": Refusal(429, "rateLimitExceeded", "Too many requests")},
    "server-error": {"refusal": Refusal(503, "backendError", "Service unavailable")},
    "stale": {"refusal": Refusal(412, "conditionNotMet", "Invalid fingerprint.")},
    "in-operation": {"refusal": Refusal(503, "backendError", "Internal error"), "in_operation": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["create", "recreate", "delete"])
@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_answer_at_every_write_changes_nothing_in_the_end(build: Build, scenario: str, fault: str) -> None:
    """A lost reply, a throttle, a server error, a stale fingerprint, a failed operation: the end is the same."""
    steps = SCENARIOS[scenario]
    first = build()
    play(first, steps, Counter())
    wanted = picture(first)
    writes = first.compute.journal.writes
    for number in range(writes):
        world = build()
        for step in steps[:-1]:
            step(world)
            world.settle()
        done = world.compute.journal.writes
        world.compute.faults.append(Fault(skip=number, **FAULTS[fault]))
        steps[-1](world)
        world.settle(200)
        if number >= writes - done:
            break
        assert picture(world) == wanted, f"{fault} at write {number + 1}"
        assert world.plans() == []
