"""Options and fixtures that every part of the suite shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kube_servers import Kube, embedded_kube, missing_binaries, real_kube

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# Folders whose tests share servers that only one worker is to start; the first that fits counts.
TOGETHER = ("tests/openstack/faults/", "tests/openstack/", "tests/e2e/")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose the API server."""
    text = "run against this API server only; real needs KUBEBUILDER_ASSETS and fails without"
    parser.addoption("--kube", choices=("embedded", "real"), help=text)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadgroup` a folder of `TOGETHER` goes to one worker, and the longest one is begun first.

    The mark `xdist_group` alone does not: pytest-xdist 3.8 writes it into node ids that pytest 9.2 computes anew.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling  # only where tests are distributed

    class TogetherScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid)

    return TogetherScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long is begun first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def embedded_server(request: pytest.FixtureRequest) -> Iterator[Kube]:
    """A running embedded API server."""
    _skip_unless_asked_for(request, "embedded")
    with embedded_kube(bookmark_seconds=0.1) as server:
        yield server


@pytest.fixture(scope="session")
def real_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """A running kube-apiserver, where there is one."""
    _skip_unless_asked_for(request, "real")
    if reason := missing_binaries():
        (pytest.fail if request.config.getoption("--kube") == "real" else pytest.skip)(reason)
    with real_kube(tmp_path_factory.mktemp("kube")) as server:
        yield server


@pytest.fixture(scope="session", params=["embedded", "real"])
def kube(request: pytest.FixtureRequest) -> Kube:
    """A running API server; each test works in a namespace of its own."""
    server: Kube = request.getfixturevalue(f"{request.param}_server")
    return server


def _skip_unless_asked_for(request: pytest.FixtureRequest, flavour: str) -> None:
    chosen = request.config.getoption("--kube")
    if chosen not in (None, flavour):
        pytest.skip(f"--kube={chosen} was asked for")
