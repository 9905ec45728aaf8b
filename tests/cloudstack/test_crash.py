"""Dying before or after every write, and every answer lost or refused, changes nothing in the end."""

from __future__ import annotations

import pytest

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.faults import How, Moment
from tests.clouds.cloudstack.server import CloudStackServer
from tests.clouds.cloudstack.topology import add_network, add_tier, picture
from tests.cloudstack.stage import Stage
from tests.world import change, service


class Died(BaseException):
    """The process is gone."""


def create(stage):
    """Make a Service with two ports, one of them for few sources."""
    stage.kube.put(service(ports=(80, 443)))


def create_narrow(stage):
    """Make a Service for two sources."""
    stage.kube.put(service(ports=(80,), load_balancer_source_ranges=("10.0.0.0/8", "192.0.2.0/24")))


def update(stage):
    """Change a port, the sources and the algorithm."""
    live = stage.live()
    new = service(ports=(80, 8443), load_balancer_source_ranges=("10.0.0.0/8",), session_affinity="ClientIP")
    stage.kube.put(change(live, spec=new.spec))


def name_address(stage):
    """Name a free address, so that the Service moves."""
    live = stage.live()
    stage.kube.put(change(live, spec=change(live.spec, load_balancer_ip="203.0.113.17")))


def delete(stage):
    """Delete the Service."""
    stage.kube.delete("shop/web")


SCENARIOS = {
    "create": [create],
    "create-narrow": [create_narrow],
    "update": [create, update],
    "narrow": [create_narrow, update],
    "move": [create, name_address],
    "delete": [create, delete],
}
NETWORKS = {"isolated": add_network, "vpc": add_tier}


class Play:
    """Plays a scenario on a cloud of its own; `fault` strikes one write of its last step, and may kill the process."""

    def __init__(self, steps, network, *, at=0, how=None, moment=Moment.BEFORE, dies=False):
        self.died = self._dies = False
        cloud = Cloud()
        with CloudStackServer(cloud) as server:
            self.stage = Stage(server, network(cloud), record=self._die_with)
            self._dies = False
            for step in steps[:-1]:
                step(self.stage)
                self.stage.settle(120)
            cloud.faults.clear()
            fault = cloud.faults.plan(how, moment, writes=True, at=at) if how else None
            self._dies = dies
            steps[-1](self.stage)
            try:
                self.stage.settle(120)
            except Died:
                self.died = True
                self._dies = False
                self.stage.crash()
                self.stage.settle(120)
            self.stage.settle(700)
            self.struck = fault is None or fault.seen >= at
            self.writes = cloud.faults.writes
            self.plans = self.stage.plans()
            self.picture = picture(cloud), _services(self.stage)
            self.stage.driver.close()

    def _die_with(self, _command, code, _seconds):
        if self._dies and code == "Unreachable":
            raise Died


def _services(stage):
    return {key: (s.metadata.finalizers, len(s.status.load_balancer.ingress)) for key, s in stage.kube.services.items()}


def judge(name, network, **fault):
    """Every write of the scenario's last step gets the fault once; the end is that of an undisturbed run."""
    steps = SCENARIOS[name]
    undisturbed = Play(steps, NETWORKS[network])
    assert undisturbed.writes > 0
    for at in range(1, undisturbed.writes + 1):
        play = Play(steps, NETWORKS[network], at=at, **fault)
        assert play.struck
        assert play.died == fault.get("dies", False)
        assert play.picture == undisturbed.picture, f"after a fault at write {at}"
        assert play.plans == []
        assert not play.stage.bugs


@pytest.mark.spec("CS-032")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("moment", Moment, ids=["before", "after"])
def test_a_crash_at_every_write_converges_to_the_same_end(name, network, moment):
    """The process dies before or after each cloud write; the next one ends where an undisturbed one ends."""
    judge(name, network, how=How.RESET, moment=moment, dies=True)


@pytest.mark.spec("CS-060")
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(
    ("how", "moment"),
    [
        (How.RESET, Moment.AFTER),
        (How.HTML, Moment.BEFORE),
        (How.HTML, Moment.AFTER),
        (How.THROTTLE, Moment.BEFORE),
        (How.ERROR, Moment.BEFORE),
    ],
    ids=["lost", "503", "503-after", "throttled", "530"],
)
def test_every_write_survives_its_faults(name, how, moment):
    """A lost answer, a proxy's 503, a throttle or a server error at each write changes nothing in the end."""
    judge(name, "isolated", how=how, moment=moment)
