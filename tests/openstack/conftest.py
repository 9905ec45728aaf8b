"""Fixtures: the services, once a session, and scenes on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.clouds.openstack import environment
from tests.clouds.openstack.cloud import Cloud, running
from tests.openstack.scene import Scene

Build = Callable[..., Scene]


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Nothing is tried, and it is said, where the services have not been installed."""
    if not (environment.is_made() or environment.is_required()):
        pytest.skip("NOTHING OF OPENSTACK IS TESTED: its services are not installed; run `make test-openstack`")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Keystone, Neutron and Octavia."""
    try:
        environment.make()
    except environment.CannotInstall as error:
        if environment.is_required():
            pytest.fail(f"OpenStack's services are required here and cannot be installed: {error}")
        pytest.skip(f"NOTHING OF OPENSTACK IS TESTED: its services cannot be installed: {error}")
    with running(tmp_path_factory.mktemp("openstack")) as cloud:
        yield cloud


@pytest.fixture
def build(cloud: Cloud, tmp_path) -> Iterator[Build]:
    """Makes scenes; no test may leave a bug behind."""
    made: list[Scene] = []

    def make(**options: object) -> Scene:
        made.append(Scene(cloud, tmp_path, **options))
        made[-1].settle()
        return made[-1]

    yield make
    for scene in made:
        assert not scene.bugs
        for service in list(scene.kube.services.values()):
            scene.delete(service.metadata.name)
        scene.driver.close()


@pytest.fixture
def scene(build: Build) -> Scene:
    """A scene with two nodes."""
    return build()
