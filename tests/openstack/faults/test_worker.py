"""Octavia's worker dies at every call: the balancer is stuck for good, its operator mends it, and lbctl goes on.

A worker that is killed leaves what it was at PENDING, and not even an administrator's request changes that. What
operators do is a word in the database: ERROR, from where a balancer can be deleted, and ACTIVE when it works after all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.pictures import picture, whole
from tests.openstack.scene import Scene
from tests.world import change, service

MONITORED = {"loadbalancer.openstack.org/enable-health-monitor": "true"}
WRITES = (
    ("POST", "/loadbalancers$"),
    ("POST", "/pools$"),
    ("PUT", "/members$"),
    ("POST", "/healthmonitors$"),
    ("POST", "/listeners$"),
    ("PUT", "/listeners/"),
    ("DELETE", "/listeners/"),
    ("DELETE", "/pools/"),
    ("DELETE", "/loadbalancers/"),
)
PENDING = ("PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE")
# A balancer in ERROR is looked at every five minutes.
LONG = 330.0
TABLES = ("listener", "pool", "member", "health_monitor")


class Operator:
    """Who runs the cloud: sees that the worker has died, and mends the balancer that it was at."""

    def __init__(self, cloud: Cloud, scene: Scene) -> None:
        self._cloud = cloud
        self._scene = scene
        self.deaths = 0
        self.called = False

    def lose_worker(self) -> None:
        """The worker is killed and started again; nothing goes on with what it was at."""
        self._cloud.crash_octavia()
        self._scene.clock.patience = 0
        self.deaths += 1
        self.called = True

    def declare(self, state: str) -> None:
        """Write a state of the balancer and of all that was stuck with it."""
        found = self._scene.balancers()
        for body in found:
            self._cloud.execute(
                "UPDATE load_balancer SET provisioning_status = :s WHERE id = :id", s=state, id=body["id"]
            )
        for table in TABLES if state == "ACTIVE" else ():
            self._cloud.execute(
                f"UPDATE {table} SET provisioning_status = :s WHERE project_id = :id AND provisioning_status LIKE :old",
                s=state,
                id=self._cloud.ids["project demo"],
                old="PENDING%",
            )

    def mend(self) -> None:
        """Let the balancer work again."""
        self.declare("ACTIVE")
        self.leave()

    def remove(self) -> None:
        """Delete a balancer that is in ERROR; operators come by another door than lbctl."""
        self._scene.clock.patience = 60
        url = f"{self._cloud.layout.url('octavia')}/v2.0/lbaas/loadbalancers"
        for body in self._scene.balancers():
            self._scene.admin.session.delete(f"{url}/{body['id']}?cascade=true")
        self._scene.rest()
        self.leave()

    def leave(self) -> None:
        """Go back to bed."""
        self._scene.clock.patience = 60
        self.called = False


@contextmanager
def deadly(cloud: Cloud, operator: Operator, *, lose: bool) -> Iterator[list]:
    """The worker dies when it has been given each kind of write for the first time; with `lose`, nobody is answered."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                cloud.octavia.fault(method=method, pattern=pattern, lose=lose, then=operator.lose_worker)
            )
            for method, pattern in WRITES
        ]


def until_mended(scene: Scene, operator: Operator, cloud: Cloud, mend: Callable[[str], None]) -> None:
    """Work until all is done; when the worker has died, see that nobody writes, and have the operator mend."""
    while work_on(scene, operator):
        stuck = {body["provisioning_status"] for body in scene.balancers()}
        assert stuck <= set(PENDING)
        with cloud.octavia.counted() as calls:
            scene.pass_time(20)
        assert not [str(call) for call in calls if call.is_write], "nothing is sent to a stuck balancer"
        mend(next(iter(stuck)))


def work_on(scene: Scene, operator: Operator) -> bool:
    """Work until the operator is called, which is true, or nothing happens for so long that all is done."""
    end = scene.clock.monotonic() + LONG
    while not operator.called and (work := scene.due_work(end - scene.clock.monotonic())) is not None:
        scene.do(work)
    return operator.called


@pytest.mark.spec("OS-022", "OS-023", "OS-084")
@pytest.mark.parametrize("silent", [False, True], ids=["answered", "silent"])
def test_a_worker_that_dies_at_each_call_costs_no_second_address(scene: Scene, cloud: Cloud, silent: bool):
    """After each kind of write the worker dies: nothing is written until the operator has mended the balancer.

    In the end all is as wanted behind the floating IP that there was from the beginning, and then all is gone. In the
    silent life no answer comes back, lbctl dies as well, and the operator throws the unfinished balancer away.
    """
    operator = Operator(cloud, scene)

    def mend(state: str) -> None:
        operator.declare("ERROR")
        if silent:
            scene.crash()
        if state == "PENDING_DELETE":
            operator.leave()
        elif silent and state == "PENDING_CREATE":
            operator.remove()
        else:
            scene.pass_time(20)
            assert "BalancerFailed" in scene.reasons()
            operator.mend()

    with deadly(cloud, operator, lose=silent), cloud.neutron.counted() as neutron:
        scene.kube.put(service(ports=(80, 81), annotations=MONITORED))
        until_mended(scene, operator, cloud, mend)
        assert picture(scene) == whole(80, 81)
        live = scene.live()
        moved = {"ports": service(ports=(80, 443)).spec.ports, "load_balancer_source_ranges": ("10.0.0.0/8",)}
        scene.kube.put(change(live, spec=change(live.spec, **moved)))
        until_mended(scene, operator, cloud, mend)
        assert picture(scene) == whole(80, 443)
        scene.kube.delete("shop/web")
        until_mended(scene, operator, cloud, mend)
    assert operator.deaths == len(WRITES)
    assert not scene.exists()
    assert scene.leftovers() == []
    assert sum(call.method == "POST" and call.path.endswith("/floatingips") for call in neutron) == 1
