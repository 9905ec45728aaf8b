"""Many balancers at once, on services that can do many things at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.openstack import environment
from tests.clouds.openstack.cloud import Cloud, free_port, running
from tests.clouds.openstack.database import find_server, running_mariadb
from tests.openstack.scene import Scene
from tests.world import service

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("openstack"), pytest.mark.timeout(900)]
COUNT = 20


@pytest.fixture
def parallel_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The services on MariaDB."""
    try:
        environment.make()
        find_server()
    except environment.CannotInstall as error:
        if environment.is_required():
            pytest.fail(f"parallel services are required here and cannot be had: {error}")
        pytest.skip(f"NO PARALLEL BALANCER IS TESTED: {error}")
    folder = tmp_path_factory.mktemp("parallel")
    with running_mariadb(folder, free_port()) as mysql, running(folder, mysql=mysql) as cloud:
        yield cloud


@pytest.mark.spec("OS-018", "OS-019")
def test_twenty_services_are_made_and_removed_at_once(parallel_cloud: Cloud, tmp_path):
    """Twenty balancers are made side by side, polled together by one list a round, and all of them go again."""
    scene = Scene(parallel_cloud, tmp_path)
    scene.settle()
    names = [f"web{number}" for number in range(COUNT)]
    with parallel_cloud.octavia.counted() as calls:
        for name in names:
            scene.kube.put(service(name))
        scene.settle()
    assert all(scene.condition(name).status == "True" for name in names)
    assert len({address for name in names for address in scene.addresses(name)}) == COUNT
    creations = [index for index, call in enumerate(calls) if call.method == "POST"]
    assert len(creations) == COUNT
    reads = [str(call).partition("?")[0] for call in calls if not call.is_write]
    assert set(reads) == {"GET /", "GET /v2.0/lbaas/loadbalancers"}
    assert len(reads) < 2 * COUNT
    assert scene.plans() == []
    for name in names:
        scene.kube.delete(f"shop/{name}")
    scene.settle()
    assert not scene.kube.services
    assert scene.leftovers() == []
    assert not scene.bugs
    scene.driver.close()
