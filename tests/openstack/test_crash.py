"""Dying anywhere, losing answers, being refused: the end is always the same, and nothing is left over."""

from __future__ import annotations

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene
from tests.world import change, service


class Death(BaseException):
    """The process dies here."""


def settle_until(scene: Scene, step: int) -> bool:
    """Work and die before the n-th write of the cloud or of the API server; False when there are not so many."""
    count = 0
    while True:
        scene.controller.tick()
        work = scene.controller.next_work()
        if work is None:
            due = scene.controller.next_due()
            now = scene.clock.monotonic()
            if due is None or due > now + 8:
                return False
            scene.clock.wait(max(due - now, 0.01))
            continue
        for call in scene.controller.run(work):
            if call in {"snapshot", "poll", "observe", "confirm leaving"}:
                continue
            count += 1
            if count == step:
                return True
        scene.controller.done(work)


def picture(scene: Scene) -> tuple[object, ...]:
    """Everything that must be the same whatever happened on the way."""
    balancer = scene.balancer()
    listeners = [(body["protocol_port"], body["provisioning_status"]) for body in scene.children("listeners")]
    pools = [[member["name"] for member in scene.members(pool)] for pool in scene.children("pools")]
    attached = [body["port_id"] == balancer["vip_port_id"] for body in scene.floating()]
    return listeners, pools, attached, len(scene.addresses()), scene.plans()


def create(scene: Scene) -> None:
    """A Service with one port."""
    scene.kube.put(service(ports=(80,)))


def update(scene: Scene) -> None:
    """Another port instead of the one that there is."""
    live = scene.live()
    (port,) = live.spec.ports
    new = service(ports=(443 if port.port == 80 else 80,)).spec
    scene.kube.put(change(live, spec=new))


def delete(scene: Scene) -> None:
    """The Service goes."""
    scene.kube.delete("shop/web")


def whole(port: int) -> tuple[object, ...]:
    """The picture of a Service with one port."""
    return [(port, "ACTIVE")], [["node0", "node1"]], [True], 1, []


SCENARIOS = {"create": create, "update": update, "delete": delete}


@pytest.mark.spec("OS-005", "OS-084")
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_death_before_each_write_changes_nothing_in_the_end(scene: Scene, name: str):
    """Each round dies before another write, which is after the one before; the next process ends where all end."""
    died, step = True, 0
    while died:
        step += 1
        if name != "create" and not scene.exists():
            create(scene)
            scene.settle()
        SCENARIOS[name](scene)
        died = settle_until(scene, step)
        scene.crash()
        scene.settle()
        if name == "delete":
            assert not scene.exists()
            assert scene.leftovers() == []
            continue
        (port,) = scene.live().spec.ports
        assert picture(scene) == whole(port.port), f"after a death before write {step}"
        if name == "create":
            scene.delete("web")
            assert scene.leftovers() == []
    assert step > 3


@pytest.mark.spec("OS-012", "OS-053", "OS-088")
@pytest.mark.parametrize("service_name", ["octavia", "neutron"])
def test_a_lost_answer_makes_nothing_twice(scene: Scene, cloud: Cloud, service_name: str):
    """The answer to each creating POST is lost once; there is one balancer with one floating IP all the same."""
    path = {"octavia": "loadbalancers$", "neutron": "floatingips$"}[service_name]
    with getattr(cloud, service_name).fault(method="POST", pattern=path, lose=True) as fault:
        scene.apply(service(ports=(80,)))
        scene.settle(30)
    assert fault.hits >= 1
    assert picture(scene) == whole(80)


@pytest.mark.spec("OS-088")
@pytest.mark.parametrize("status", [429, 503])
def test_a_refused_creation_is_tried_again(scene: Scene, cloud: Cloud, status: int):
    """After one refusal because of load the creation goes through."""
    with cloud.octavia.fault(method="POST", pattern="loadbalancers$", refuse=status, headers={"Retry-After": "1"}):
        scene.apply(service(ports=(80,)))
        scene.settle(30)
    assert picture(scene) == whole(80)


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
