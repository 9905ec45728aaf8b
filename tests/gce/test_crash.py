"""Dying before or after every single write, of the cloud or of the API server, changes nothing in the end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from lbctl.model.objects import Service
from tests.clouds.gce.errors import Refusal
from tests.clouds.gce.faults import Fault
from tests.clouds.gce.world import Google, nothing_happens
from tests.gce.conftest import Build
from tests.world import change, service

Step = Callable[[Google], None]


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
    "netlb-neg": None,
    "ilb-ig": "networking.gke.io/l4-regional-internal-legacy",
    "ilb-neg": "networking.gke.io/l4-regional-internal",
}
ENDINGS: dict[str, tuple[int, Any]] = {}
"""Writes and end of undisturbed runs, which are the same for every test of one scenario."""


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


def play(world: Google, step: Step, counter: Counter) -> None:
    """Play a step; a crash in it is followed by a new process."""
    world.before = world.kube.before = counter.begin
    world.after = world.kube.after = counter.end
    step(world)
    try:
        world.settle()
    except Crash:
        world.before = world.after = world.kube.before = world.kube.after = nothing_happens
        world.crash()
        world.settle(60)


@dataclass
class Scenario:
    """A world that has come to the step before the last, as often as it is asked for."""

    world: Google
    last: Step
    kept: tuple[Any, ...]

    @classmethod
    def prepare(cls, build: Build, steps: Sequence[Step]) -> Scenario:
        """Play all steps but the last."""
        world = build()
        for step in steps[:-1]:
            step(world)
            world.settle()
        return cls(world, steps[-1], world.keep())

    def again(self) -> Google:
        """The world right before the last step."""
        self.world.back_to(self.kept)
        return self.world

    def undisturbed(self, name: str) -> tuple[int, Any]:
        """How many writes the last step costs, and the end; planning it again finds nothing to do."""
        if name not in ENDINGS:
            counter, world = Counter(), self.world
            play(world, self.last, counter)
            assert counter.count > 2
            assert world.plans() == []
            ENDINGS[name] = counter.count, picture(world)
        return ENDINGS[name]


def crash_everywhere(name: str, build: Build, steps: Sequence[Step], *, before: bool) -> None:
    """Play the last step once for each of its writes, each time dying at another one."""
    scenario = Scenario.prepare(build, steps)
    count, wanted = scenario.undisturbed(name)
    for at in range(1, count + 1):
        counter, world = Counter(at, before=before), scenario.again()
        play(world, scenario.last, counter)
        assert counter.fired
        # The plan was empty for this very state of cloud and Services, so it is now.
        assert picture(world) == wanted, f"after a crash at write {at}"


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
    crash_everywhere(scenario, build, SCENARIOS[scenario], before=before)


@pytest.mark.slow
@pytest.mark.parametrize("mode", CLASSES)
@pytest.mark.parametrize("scenario", ["create", "recreate", "delete-local"])
def test_a_crash_after_every_write_converges_in_every_other_mode(build: Build, mode: str, scenario: str) -> None:
    """Target pools, internal balancers with groups, endpoints inside and outside: the same end, and an empty plan."""
    steps = [lambda world: world.kube.put(wanted_in(mode)), *SCENARIOS[scenario][1:]]
    crash_everywhere(f"{mode} {scenario}", build, steps, before=False)


def wanted_in(mode: str) -> Service:
    """A Service of one kind; endpoints behind an external balancer are told by upstream's finalizer alone."""
    wanted = service(ports=(80, 443), load_balancer_class=CLASSES[mode])
    marks = () if CLASSES[mode] else ("gke.networking.io/l4-netlb-v3",)
    return change(wanted, metadata=change(wanted.metadata, finalizers=marks))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["local", "migrate"])
def test_a_crash_after_every_write_of_a_target_pools_rebuilding_converges(build: Build, scenario: str) -> None:
    """Another health check for the pool, and the exchange of the pool for a backend service: the address is kept."""
    first = classed_create if scenario == "local" else unclassed_create
    steps = [first, make_local if scenario == "local" else migrate]
    crash_everywhere(f"pool {scenario}", lambda: build(backend_service_default=False), steps, before=False)


def classed_create(world: Google) -> None:
    """Make a Service that has a target pool by its class."""
    world.kube.put(wanted_in("netlb-tp"))


def unclassed_create(world: Google) -> None:
    """Make a Service that has a target pool because that is the default."""
    world.kube.put(service())


def migrate(world: Google) -> None:
    """Ask for a backend service instead of the pool."""
    live = world.live()
    world.kube.put(change(live, metadata=change(live.metadata, annotations={"lbctl.io/gce-target-pool": "migrate"})))


FAULTS = {
    "lost": {"lost": True},
    "throttled": {"refusal": Refusal(403, "rateLimitExceeded", "Rate Limit Exceeded")},
    "server-error": {"refusal": Refusal(503, "backendError", "Service unavailable")},
    "stale": {"refusal": Refusal(412, "conditionNotMet", "Invalid fingerprint.")},
    "in-operation": {"refusal": Refusal(503, "backendError", "Internal error"), "in_operation": True},
}


@pytest.mark.slow
@pytest.mark.spec("GCE-082")
@pytest.mark.parametrize("scenario", ["create", "recreate", "delete"])
@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_answer_at_every_write_changes_nothing_in_the_end(build: Build, scenario: str, fault: str) -> None:
    """A lost reply, a throttle, a server error, a stale fingerprint, a failed operation: the end is the same."""
    spoil_everywhere(scenario, build, SCENARIOS[scenario], FAULTS[fault])


@pytest.mark.slow
@pytest.mark.parametrize("mode", CLASSES)
def test_a_lost_answer_at_every_write_changes_nothing_in_any_mode(build: Build, mode: str) -> None:
    """What was written is found again, never made twice, when a balancer is made and when it is made anew."""
    steps = [lambda world: world.kube.put(wanted_in(mode)), recreate]
    for number, name in ((1, "create"), (2, "recreate")):
        spoil_everywhere(f"{mode} {name}", build, steps[:number], FAULTS["lost"])


def spoil_everywhere(name: str, build: Build, steps: Sequence[Step], fault: dict[str, Any]) -> None:
    """Play the last step once for each of its writes to the cloud, each time with one bad answer."""
    scenario = Scenario.prepare(build, steps)
    _, wanted = scenario.undisturbed(name)
    for number in itertools.count():
        world = scenario.again()
        spoilt = Fault(skip=number, **fault)
        world.compute.faults.append(spoilt)
        scenario.last(world)
        world.settle(200)
        if spoilt.times > 0:
            assert number > 2
            return
        assert picture(world) == wanted, f"at write {number + 1}"
