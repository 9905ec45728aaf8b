"""Balancers that are busy, stuck or failed: waited for, told about, never doubled."""

from __future__ import annotations

import itertools

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene
from tests.world import change, service

INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}
SET_STATE = "UPDATE load_balancer SET provisioning_status = :state WHERE id = :id"


def force(cloud: Cloud, scene: Scene, state: str) -> None:
    """Put the balancer of `web` into a state that only a crash of Octavia leaves it in."""
    cloud.execute(SET_STATE, state=state, id=scene.balancer()["id"])


def posts(calls: list) -> int:
    """How many balancers were asked for."""
    return sum(call.method == "POST" and call.path.endswith("/loadbalancers") for call in calls)


@pytest.mark.spec("OS-014", "OS-017")
def test_a_busy_balancer_is_written_to_when_it_is_free(scene: Scene, cloud: Cloud):
    """A write that Octavia refuses because somebody else works on the balancer comes later, without a warning."""
    scene.apply(service(ports=(80,), annotations=INTERNAL))
    force(cloud, scene, "PENDING_UPDATE")
    scene.clock.patience = 0
    with cloud.octavia.counted() as calls:
        live = scene.live()
        scene.kube.put(change(live, spec=change(live.spec, session_affinity="ClientIP")))
        scene.pass_time(300)
    refused = [call for call in calls if call.is_write]
    assert len(refused) == 1, "one write finds out, and no other is sent to a busy balancer"
    warned = {"BalancerStuck", "BalancerFailed", "SyncFailed", "NotReady"} & set(scene.reasons())
    assert not warned
    force(cloud, scene, "ACTIVE")
    scene.clock.patience = 60
    scene.settle(60)
    (pool,) = scene.children("pools")
    assert pool["session_persistence"]["type"] == "SOURCE_IP"
    assert scene.plans() == []
    assert not warned & set(scene.reasons())


@pytest.mark.spec("OS-020")
def test_a_stuck_balancer_is_looked_at_ever_more_rarely(scene: Scene, cloud: Cloud):
    """Looks are at most five seconds apart for ten minutes, then a minute, with one Event BalancerStuck; no write."""
    scene.apply(service(ports=(80,), annotations=INTERNAL))
    looks: list[float] = []
    cloud.octavia.hook = lambda call: looks.append(scene.clock.monotonic()) if "fields" in call.path else None
    scene.clock.patience = 0
    try:
        with cloud.octavia.counted() as calls:
            scene.kube.put(service(ports=(80,), annotations=INTERNAL, session_affinity="ClientIP"))
            stuck_at = scene.clock.monotonic()
            while not looks:
                scene.settle(1)
            force(cloud, scene, "PENDING_UPDATE")
            scene.pass_time(900)
    finally:
        cloud.octavia.hook = lambda _call: None
    gaps = [(late - stuck_at, late - early) for early, late in itertools.pairwise(looks)]
    assert all(gap <= 5.5 for at, gap in gaps if at < 600)
    assert all(55 <= gap <= 65 for at, gap in gaps if at > 680)
    assert "BalancerStuck" in scene.reasons()
    assert sum(call.is_write for call in calls) == 1
    force(cloud, scene, "ACTIVE")
    scene.clock.patience = 60
    scene.settle(90)
    assert scene.plans() == []


@pytest.mark.spec("OS-016")
def test_a_vip_that_is_taken_is_named(build, cloud: Cloud):
    """An internal Service that asks for a node's address is told that this address is in use."""
    scene = build(conf=f"subnet-id = {cloud.ids['nodes4']}")
    taken = cloud.node_addresses[0][0]
    scene.apply(service(ports=(80,), annotations=INTERNAL, load_balancer_ip=taken))
    assert taken in scene.condition().message
    assert scene.balancers() == []
    scene.delete("web")
    assert scene.leftovers() == []


@pytest.mark.spec("OS-083")
def test_a_service_of_the_same_name_waits_for_its_predecessor_to_go(scene: Scene, cloud: Cloud):
    """A Service that is deleted and made again at once gets a new balancer after the old one is gone."""
    scene.apply(service(ports=(80,)))
    old = scene.balancer()["id"]
    scene.kube.delete("shop/web")
    while scene.balancer()["provisioning_status"] != "PENDING_DELETE":
        scene.work()
    scene.crash()
    with cloud.octavia.counted() as calls:
        scene.settle(60)
        scene.apply(service(ports=(80,)))
        scene.settle(60)
    assert posts(calls) == 1
    assert scene.balancer()["id"] != old
    assert len(scene.floating()) == 1
    assert scene.plans() == []


@pytest.mark.spec("OS-023")
def test_a_balancer_whose_maker_died_stays_the_only_one(scene: Scene, cloud: Cloud):
    """Octavia dies while it makes a balancer: it stays PENDING_CREATE for ever, and no second one is asked for."""
    scene.kube.put(service(ports=(80,)))
    while not scene.balancers():
        scene.work()
    cloud.crash_octavia()
    assert scene.balancer()["provisioning_status"] == "PENDING_CREATE"
    scene.clock.patience = 0
    with cloud.octavia.counted() as calls:
        scene.pass_time(120)
        scene.crash()
        scene.pass_time(120)
    assert posts(calls) == 0
    assert len(scene.balancers()) == 1
    # What the operator does: a balancer in ERROR can be deleted.
    force(cloud, scene, "ERROR")
    scene.clock.patience = 60
    scene.delete("web")
    scene.settle(60)
    assert scene.leftovers() == []


@pytest.mark.spec("OS-022")
def test_a_balancer_that_failed_later_is_told_and_kept(scene: Scene, cloud: Cloud):
    """A balancer that was in use and is in ERROR now is reported, kept, and goes with its Service."""
    scene.apply(service(ports=(80,)))
    force(cloud, scene, "ERROR")
    scene.crash()
    with cloud.octavia.counted() as calls:
        scene.edit("web", session_affinity="ClientIP")
        scene.settle(60)
    assert not [call for call in calls if call.is_write]
    assert "BalancerFailed" in scene.reasons()
    scene.delete("web")
    scene.settle(60)
    assert not scene.exists()
    assert scene.leftovers() == []
