"""The memory cloud and one lbctl on it, with Services in memory and on the API servers."""

from __future__ import annotations

import pytest

from tests.clouds.memory import MemoryCloud, info
from tests.kube_servers import connect
from tests.server_kube import ServerKube
from tests.world import MemoryKube, World

# A real server makes its certificate in a folder of its own.
TRUSTING = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")


@pytest.fixture
def cloud():
    """An empty cloud."""
    return MemoryCloud()


@pytest.fixture(
    params=[
        "memory",
        pytest.param("embedded", marks=pytest.mark.slow),
        pytest.param("real", marks=[pytest.mark.slow, TRUSTING]),
    ]
)
def make_kube(request, tmp_path):
    """Makes an empty place for Services; on a server there is one at a time."""
    if request.param == "memory":
        return MemoryKube
    server = request.getfixturevalue(f"{request.param}_server")
    rest = connect(server.kubeconfig(), tmp_path)
    return lambda: ServerKube(rest)


@pytest.fixture
def make_world(make_kube):
    """Starts an lbctl for a kind of driver, with the options of `World`; none may leave a bug behind."""
    made = []

    def make(kind, *, kube=None, **options):
        world = World(kind, kube=kube or make_kube(), **options)
        made.append(world)
        return world

    yield make
    assert [bug for world in made for bug in world.bugs] == []


@pytest.fixture
def world(make_world, cloud):
    """A started lbctl with two nodes."""
    world = make_world(info(cloud))
    world.settle()
    return world
