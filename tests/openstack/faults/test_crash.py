"""Dying anywhere, losing answers, being refused: the end is always the same, and nothing is left over.

What a process leaves behind when it dies is the writes it has made, and its successor starts with a fresh look. So one
life in which every process makes a single write goes through every such state, with the balancer busy where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.pictures import picture, whole
from tests.openstack.scene import Scene
from tests.world import change, service

READS = {"snapshot", "poll", "observe", "confirm leaving"}
BUSY = {"faultstring": "Load Balancer 1 is immutable and cannot be updated."}


def one_write(scene: Scene) -> bool:
    """Work until a second write is about to be made, to the cloud or the API server; False when there was none."""
    made = False
    while (work := scene.due_work()) is not None:
        for call in scene.controller.run(work):
            if call in READS:
                continue
            if made:
                return True
            made = True
        scene.controller.done(work)
    return False


def one_write_a_process(scene: Scene) -> int:
    """Let process after process make one write and die, until there is nothing left to write; how many died."""
    died = 0
    while one_write(scene):
        died += 1
        scene.crash()
    return died


def move_port(scene: Scene) -> None:
    """Another port instead of the one that there is."""
    live = scene.live()
    scene.kube.put(change(live, spec=change(live.spec, ports=service(ports=(443,)).spec.ports)))


def lives(scene: Scene, work: Callable[[], object]) -> None:
    """Create, update and delete a Service, each by this way of working, and look after each."""
    scene.kube.put(service(ports=(80,)))
    work()
    assert picture(scene) == whole(80)
    move_port(scene)
    work()
    assert picture(scene) == whole(443)
    scene.kube.delete("shop/web")
    work()
    assert not scene.exists()
    assert scene.leftovers() == []


@pytest.mark.spec("OS-005", "OS-084")
def test_a_death_after_each_write_changes_nothing_in_the_end(build: Callable[..., Scene]):
    """Every process of a life dies after one write; balancer, floating IP, status and plan are what they always are.

    Node security groups are kept too: their rules and ports are writes like the others.
    """
    scene = build(conf="manage-security-groups = true")
    deaths: list[int] = []
    lives(scene, lambda: deaths.append(one_write_a_process(scene)))
    assert min(deaths) > 2


@contextmanager
def gauntlet(cloud: Cloud) -> Iterator[list]:
    """Each kind of write is throttled, fails, meets a busy balancer, and loses its answer, one after the other."""
    with ExitStack() as stack:
        faults = [
            stack.enter_context(proxy.fault(method=method, pattern=pattern, **kind))
            for proxy, method, pattern in (
                (cloud.octavia, "POST", "/loadbalancers$"),
                (cloud.octavia, "POST", "/pools$"),
                (cloud.octavia, "PUT", "/members$"),
                (cloud.octavia, "POST", "/listeners$"),
                (cloud.octavia, "DELETE", "/listeners/"),
                (cloud.octavia, "DELETE", "/pools/"),
                (cloud.octavia, "DELETE", "/loadbalancers/"),
                (cloud.neutron, "POST", "/floatingips$"),
                (cloud.neutron, "DELETE", "/floatingips/"),
            )
            for kind in (
                {"refuse": 429, "headers": {"Retry-After": "1"}},
                {"refuse": 503},
                {"refuse": 409, "body": BUSY},
                {"lose": True},
            )
        ]
        yield faults


@pytest.mark.spec("OS-012", "OS-053", "OS-088")
def test_a_throttled_failing_busy_or_silent_cloud_makes_nothing_twice(scene: Scene, cloud: Cloud):
    """Whatever each write meets on its way, there is one balancer with one floating IP, and in the end nothing."""
    with gauntlet(cloud) as faults, cloud.octavia.counted() as octavia, cloud.neutron.counted() as neutron:
        lives(scene, lambda: scene.pass_time(300))
    assert all(fault.hits for fault in faults), [str(fault) for fault in faults if not fault.hits]
    # The answer of the last try was lost; nobody has asked again for what was there.
    assert sum(call.method == "POST" and call.path.endswith("/loadbalancers") for call in octavia) == 4
    assert sum(call.method == "POST" and call.path.endswith("/floatingips") for call in neutron) == 4


@pytest.mark.spec("OS-082")
def test_what_is_left_of_a_balancer_deleted_by_hand_goes_with_the_service(scene: Scene):
    """A floating IP without its balancer is deleted with the Service."""
    scene.apply(service(ports=(80,)))
    scene.admin.load_balancer.delete(f"/lbaas/loadbalancers/{scene.balancer()['id']}?cascade=true")
    scene.rest()
    scene.delete("web")
    scene.settle(30)
    assert not scene.exists()
    assert scene.leftovers() == []
