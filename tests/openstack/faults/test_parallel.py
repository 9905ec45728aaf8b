"""Many balancers at once: as many as the services' database can bear."""

from __future__ import annotations

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene
from tests.world import service

# MariaDB takes writers side by side; SQLite takes one at a time, so there the balancers only wait for each other.
ON_MARIADB, ON_SQLITE = 20, 4


@pytest.mark.spec("OS-018", "OS-019", "OS-085")
def test_many_services_are_made_and_removed_at_once(scene: Scene, cloud: Cloud):
    """Balancers are made side by side, polled together, cost nothing while nothing changes, and all go again.

    A look at everything is four lists of Octavia and one of Neutron, and one more a pool for its members.
    """
    count = ON_MARIADB if cloud.layout.mysql else ON_SQLITE
    names = [f"web{number}" for number in range(count)]
    with cloud.octavia.counted() as calls:
        for name in names:
            scene.kube.put(service(name))
        scene.settle()
    assert all(scene.condition(name).status == "True" for name in names)
    assert len({address for name in names for address in scene.addresses(name)}) == count
    assert [str(call) for call in calls if call.is_write] == ["POST /v2.0/lbaas/loadbalancers"] * count
    reads = [str(call).partition("?")[0] for call in calls if not call.is_write]
    assert set(reads) <= {"GET /", "GET /v2.0/lbaas/loadbalancers"}
    assert len(reads) < 2 * count
    with cloud.octavia.counted() as octavia, cloud.neutron.counted() as neutron:
        for scope in scene.account.all_scopes():
            scene.controller.resync(scene.account, scope)
        scene.settle()
    assert [*octavia, *neutron] == []
    with cloud.octavia.counted() as octavia, cloud.neutron.counted() as neutron:
        assert scene.plans() == []
    assert (len(octavia), len(neutron)) == (4 + count, 1)
    for name in names:
        scene.kube.delete(f"shop/{name}")
    scene.settle()
    assert not scene.kube.services
    assert scene.leftovers() == []
