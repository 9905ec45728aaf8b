"""How many members of a Service are up, as Octavia tells it; nobody looks at them here but the test."""

from __future__ import annotations

from lbctl.driver import Health, TellsHealth
from lbctl.engine.planning import build_world
from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene
from tests.world import service

INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}
MONITORED = {**INTERNAL, "loadbalancer.openstack.org/enable-health-monitor": "true"}
# What Octavia's health manager writes when an amphora reports.
SET_STATUS = "UPDATE member SET operating_status = :status WHERE id = :id"


def told(scene: Scene) -> dict[str, Health]:
    """What the driver tells of all Services, by name."""
    assert isinstance(scene.driver, TellsHealth)
    members = list(scene.account.services.values())
    world = build_world(scene.account, members, cluster=scene.cluster, now=scene.clock.now())
    health = scene.driver.health([one.identity for one in members], world)
    return {identity.name: one for identity, one in health.items()}


def find_up(cloud: Cloud, *members: dict, status: str = "ONLINE") -> None:
    """Let Octavia find members up, or in another state."""
    for member in members:
        cloud.execute(SET_STATUS, status=status, id=member["id"])


def test_each_member_counts_as_octavia_tells_it(scene: Scene, cloud: Cloud):
    """Up, down and leaving count as the API says; neighbours on one balancer are told apart, by one call for both.

    A Service without monitors is not told of at all: nobody knows. One whose balancer has gone has no members.
    """
    scene.kube.put(service("web", annotations=MONITORED))
    scene.kube.put(service("bare", annotations=INTERNAL))
    scene.settle()
    joined = {**MONITORED, "loadbalancer.openstack.org/load-balancer-id": scene.balancer()["id"]}
    scene.apply(service("api", ports=(90, 91), annotations=joined))
    by_port = {pool["name"]: scene.members(pool) for pool in scene.children("pools")}
    (web,) = [members for name, members in by_port.items() if name.endswith("_web")]
    first, second = [members for name, members in sorted(by_port.items()) if name.endswith("_api")]
    assert "ONLINE" not in {member["operating_status"] for member in (*web, *first, *second)}
    assert told(scene) == {"web": Health(0, 2), "api": Health(0, 4)}
    find_up(cloud, web[0], *first)
    find_up(cloud, second[0], status="DEGRADED")
    find_up(cloud, second[1], status="DRAINING")
    with cloud.octavia.counted() as calls:
        assert told(scene) == {"web": Health(1, 2), "api": Health(2, 3)}
    assert [call.method for call in calls] == ["GET"]
    scene.admin.load_balancer.delete(f"/lbaas/loadbalancers/{scene.balancer()['id']}?cascade=true")
    scene.rest()
    assert told(scene) == {"web": Health(0, 0), "api": Health(0, 0)}
