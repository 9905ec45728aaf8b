"""Dying after any write, and every answer lost or refused, changes nothing in the end.

Before a write is after the one before it, so dying after each write of either side, and before the first, is all.
"""

from __future__ import annotations

from functools import cache, partial

import pytest

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.faults import Fault, How, Moment
from tests.clouds.cloudstack.server import CloudStackServer
from tests.clouds.cloudstack.topology import add_guarded_tier, add_network, add_shared, add_tier, picture
from tests.cloudstack.stage import Stage
from tests.cloudstack.test_wishes import PROXY, SOURCES
from tests.world import change, service

NAMED = "203.0.113.17"
JOB_SECONDS = 1.0


class Died(BaseException):
    """The process is gone."""


def create(stage, name="web", ports=(80,), **spec):
    """Make a Service."""
    stage.kube.put(service(name, ports=ports, **spec))


create_two = partial(create, ports=(80, 443))
create_narrow = partial(create, load_balancer_source_ranges=("10.0.0.0/8", "192.0.2.0/24"))


def update(stage):
    """Change a port, the sources, the algorithm and the rules' own sources."""
    live = stage.live()
    spec = service(ports=(80, 8443), load_balancer_source_ranges=("10.0.0.0/8",), session_affinity="ClientIP").spec
    annotations = live.metadata.annotations | {SOURCES: "10.0.0.0/9"}
    stage.kube.put(change(live, spec=spec, metadata=change(live.metadata, annotations=annotations)))


def toggle(stage):
    """Ask for the PROXY protocol, and for one port less."""
    live = stage.live()
    annotations = live.metadata.annotations | {PROXY: "true"}
    spec = service(ports=(80,)).spec
    stage.kube.put(change(live, spec=spec, metadata=change(live.metadata, annotations=annotations)))


def widen(stage):
    """Let everybody in again."""
    live = stage.live()
    stage.kube.put(change(live, spec=change(live.spec, load_balancer_source_ranges=())))


def move(stage):
    """Name a free address, so that the Service moves."""
    live = stage.live()
    stage.kube.put(change(live, spec=change(live.spec, load_balancer_ip=NAMED)))


def delete(stage, name="web"):
    """Delete a Service."""
    stage.kube.delete(f"shop/{name}")


first, second = (partial(create, name=n, ports=(p,), load_balancer_ip=NAMED) for n, p in (("one", 80), ("two", 443)))

SCENARIOS = {
    "create": [create_two],
    "narrow": [create_narrow],
    "update": [create_narrow, update],
    "widen": [create, partial(update), widen],
    "toggle": [create_two, toggle],
    "move": [create, move],
    "delete": [create_narrow, delete],
    "share": [first, second],
    "unshare": [first, second, partial(delete, name="one")],
    "release": [first, second, partial(delete, name="one"), partial(delete, name="two")],
}
NETWORKS = {"isolated": add_network, "vpc": add_tier, "guarded": add_guarded_tier, "shared": add_shared}
EVERYWHERE = ("narrow", "update", "delete")
PLAYED = [
    *((name, "isolated") for name in SCENARIOS),
    *((name, "vpc") for name in (*EVERYWHERE, "move", "share", "unshare")),
    *((name, "guarded") for name in EVERYWHERE),
    *((name, "shared") for name in EVERYWHERE),
]


class Play:
    """Plays a scenario on a cloud of its own; the process may die once, or one write of the last step be struck."""

    def __init__(self, steps, network, *, dies_after_cloud=0, dies_after_kube=0, fault=None):
        self.died = False
        self._last: Fault | None = None
        cloud = Cloud("next" if network is add_guarded_tier else "4.22")
        cloud.jobs.seconds = JOB_SECONDS
        with CloudStackServer(cloud) as server:
            self.stage = Stage(server, network(cloud), record=self._die_with)
            for step in steps[:-1]:
                step(self.stage)
                self.stage.settle(120)
            cloud.faults.clear()
            before = self.stage.kube.writes
            if fault is not None:
                cloud.faults.planned.append(fault)
            if dies_after_cloud:
                self._last = cloud.faults.plan(How.RESET, Moment.AFTER, writes=True, at=dies_after_cloud)
            if dies_after_kube:
                self.stage.kube.after = partial(self._die_at, before + dies_after_kube)
            steps[-1](self.stage)
            self._settle()
            self.writes, self.kube_writes = cloud.faults.writes, self.stage.kube.writes - before
            self.struck = fault is None or fault.seen >= fault.at
            self.plans = self.stage.plans()
            self.picture = picture(cloud), _services(self.stage)
            self.stage.driver.close()

    def _settle(self):
        try:
            self.stage.settle(400)
        except Died:
            self.died = True
            self._last = None
            self.stage.kube.after = lambda _name, _number: None
            self.stage.crash()
            self.stage.settle(400)

    def _die_with(self, _command, code, _seconds):
        if self._last is not None and self._last.seen >= self._last.at and code == "Unreachable":
            raise Died

    def _die_at(self, number, _name, written):
        if written == number:
            raise Died


def _services(stage):
    return {key: (s.metadata.finalizers, len(s.status.load_balancer.ingress)) for key, s in stage.kube.services.items()}


@cache
def calm(name, network):
    """The end of a scenario that nobody disturbs."""
    return Play(SCENARIOS[name], NETWORKS[network])


def judge(play, undisturbed, what):
    """The end is that of an undisturbed run, with nothing left to do."""
    assert play.picture == undisturbed.picture, what
    assert play.plans == [], what
    assert not play.stage.bugs


@pytest.mark.spec("CS-032")
@pytest.mark.parametrize(("name", "network"), PLAYED, ids=[f"{name}-{network}" for name, network in PLAYED])
def test_a_crash_after_every_write_converges_to_the_same_end(name, network):
    """The process dies after each write to the cloud or to Kubernetes; the next one ends where a calm one ends."""
    steps, make, undisturbed = SCENARIOS[name], NETWORKS[network], calm(name, network)
    assert undisturbed.writes > 0
    assert undisturbed.plans == []
    for at in range(1, undisturbed.writes + 1):
        play = Play(steps, make, dies_after_cloud=at)
        assert play.died
        judge(play, undisturbed, f"after a crash at write {at} to the cloud")
    for at in range(1, undisturbed.kube_writes + 1):
        play = Play(steps, make, dies_after_kube=at)
        assert play.died
        judge(play, undisturbed, f"after a crash at write {at} to Kubernetes")


@pytest.mark.spec("CS-060", "CS-064")
@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("narrow", "isolated"),
        ("update", "isolated"),
        ("toggle", "isolated"),
        ("release", "isolated"),
        ("update", "vpc"),
    ],
)
@pytest.mark.parametrize(
    ("how", "moment"),
    [
        (How.RESET, Moment.AFTER),
        (How.HTML, Moment.BEFORE),
        (How.THROTTLE, Moment.BEFORE),
        (How.JOB, Moment.BEFORE),
    ],
    ids=["lost", "503", "throttled", "job-fails"],
)
def test_every_write_survives_its_faults(name, network, how, moment):
    """A lost answer, a proxy's 503, a throttle or a failed job at each write changes nothing in the end."""
    steps, make, undisturbed = SCENARIOS[name], NETWORKS[network], calm(name, network)
    for at in range(1, undisturbed.writes + 1):
        play = Play(steps, make, fault=Fault.of_writes(how, moment, at))
        assert play.struck
        judge(play, undisturbed, f"after a fault at write {at}")
