"""Fixtures: the services, and scenes on them.

They are started once a session, and once more for the worker that has `faults` (see `tests/conftest.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clouds.openstack import environment
from tests.clouds.openstack.cloud import Cloud, running
from tests.openstack.scene import Scene

Build = Callable[..., Scene]
HERE = Path(__file__).parent
LAST = HERE / "test_permissions.py"
SECONDS = 300


def pytest_itemcollected(item: pytest.Item) -> None:
    """All tests here are slow, and patient on a loaded machine."""
    if HERE in item.path.parents:
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.timeout(SECONDS))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks back at all the others goes last."""
    items.sort(key=lambda item: item.path == LAST)


@pytest.fixture
def whole_suite(request: pytest.FixtureRequest) -> bool:
    """True when every test of this folder has been asked for; those in `faults` make no call that others do not."""
    config = request.config
    options = ("keyword", "markexpr", "lf", "failedfirst")
    chosen = any(config.getoption(name) for name in options) or any("::" in argument for argument in config.args)
    return not chosen and {item.path for item in request.session.items} >= set(HERE.glob("test_*.py"))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Keystone, Neutron and Octavia; nothing is tried, and it is said, where they have not been installed."""
    try:
        if environment.is_required():
            environment.make()
    except environment.CannotInstall as error:
        pytest.fail(f"OpenStack's services are required here and cannot be installed: {error}")
    if not environment.is_made():
        pytest.skip(f"{environment.MISSING}; see what `make test` says first")
    with running(tmp_path_factory.mktemp("openstack")) as cloud:
        yield cloud


@pytest.fixture
def build(cloud: Cloud, tmp_path) -> Iterator[Build]:
    """Makes scenes; no test may leave a bug behind, and the next one sees no balancer of this one."""
    made: list[Scene] = []

    def make(**options: object) -> Scene:
        made.append(Scene(cloud, tmp_path, **options))
        made[-1].settle()
        return made[-1]

    yield make
    for scene in made:
        assert not scene.bugs
        for floating in scene.floating():
            scene.admin.network.delete(f"/floatingips/{floating['id']}")
        scene.driver.close()
    cloud.forget_balancers()


@pytest.fixture
def scene(build: Build) -> Scene:
    """A scene with two nodes."""
    return build()
