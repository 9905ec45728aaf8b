"""What the tests of the Kubernetes access share: connections, a namespace a test, a listener that can be waited for."""

from __future__ import annotations

import itertools
import queue
import random
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from lbctl.clock import SystemClock
from lbctl.kube.protocol import Figures
from lbctl.kube.target import NAMESPACES, SERVICES
from lbctl.kube.watch import Reflector
from lbctl.kube.wire import Codec
from lbctl.model.objects import Service
from lbctl.sandbox.api import ApiServer
from tests.kube_servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lbctl.kube.rest import Rest
    from tests.kube_servers import Kube

SECONDS = 20.0
FINALIZER = "lbctl.io/load-balancer-cleanup"
SERVICE = Codec(Service)

# The rules of the protocol with short times: each test that waits for one of them overrides it.
QUICK = Figures(first_pause=0.01, longest_pause=0.05, shortest_watch=0.01)

_namespaces = (f"kube-test-{number}" for number in itertools.count())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests on the shared server trust it unseen: a real one makes its certificate in a folder of its own."""
    trusting = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
    for item in items:
        if not {"kube", "real_server"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(trusting)


class Seen:
    """A listener whose news a test can wait for."""

    def __init__(self) -> None:
        self.synced = threading.Event()
        self._changes: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def on_change(self, old: Any, new: Any) -> None:
        """Keep the change for `next`."""
        self._changes.put((old, new))

    def on_synced(self) -> None:
        """Note the end of the first load."""
        self.synced.set()

    def next(self) -> tuple[Any, Any]:
        """The oldest change that was not asked for yet; fails when none comes."""
        return self._changes.get(timeout=SECONDS)

    def next_about(self, name: str) -> tuple[Any, Any]:
        """The next change of the object of this name, others are skipped: a shared server has objects of others."""
        while True:
            old, new = self.next()
            if (new or old).metadata.name == name:
                return old, new

    @property
    def quiet(self) -> bool:
        """Whether nothing is left to ask for."""
        return self._changes.empty()


class Mirror:
    """A reflector on a thread of its own, for the time of a `with` block."""

    def __init__(self, rest: Rest, resource: Any, *, seen: Seen | None = None, figures: Figures = QUICK) -> None:
        self.seen = seen or Seen()
        self.reflector: Reflector[Any] = Reflector(
            resource,
            rest=rest,
            clock=SystemClock(),
            rng=random.Random(1),
            listener=self.seen,
            figures=figures,
        )
        self._thread = threading.Thread(target=self.reflector.run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.reflector.stop()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the reflector did not stop"

    def sync(self) -> Seen:
        """The listener, once the first load is complete."""
        assert self.seen.synced.wait(SECONDS), self.reflector.stats
        return self.seen


def eventually(holds: Callable[[], bool]) -> None:
    """Return as soon as it holds; fails when it never does."""
    pause, tries = threading.Event(), int(SECONDS / 0.01)
    assert any(holds() or pause.wait(0.01) for _ in range(tries)), "did not happen in time"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An embedded server of the test's own, to be misused."""
    with ApiServer(tls=False, bookmark_seconds=0.1) as server:
        yield server


@pytest.fixture
def own(api: ApiServer, tmp_path: Path) -> Rest:
    """Requests to the test's own server."""
    return connect(api.kubeconfig(), tmp_path)


@pytest.fixture
def rest(kube: Kube, tmp_path: Path) -> Rest:
    """Requests to the shared server, embedded or real."""
    return connect(kube.kubeconfig(), tmp_path)


@pytest.fixture
def namespace(rest: Rest) -> str:
    """A namespace of the test's own on the shared server."""
    name = next(_namespaces)
    rest.send("create", NAMESPACES, body={"metadata": {"name": name}})
    return name


def create_service(rest: Rest, namespace: str, name: str = "web", *, finalizers: tuple[str, ...] = ()) -> Service:
    """A new Service of type LoadBalancer."""
    body = {
        "metadata": {"name": name, "finalizers": list(finalizers)},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }
    return SERVICE.view(rest.send("create", SERVICES.within(namespace), body=body))


def patch_service(rest: Rest, service: Service, body: dict[str, Any]) -> Service:
    """The Service after somebody else's patch."""
    target = SERVICES.one(service.metadata.name, namespace=service.metadata.namespace)
    return SERVICE.view(rest.send("patch", target, body=body, content_type="application/merge-patch+json"))


def delete(rest: Rest, service: Service) -> None:
    """Delete the Service, as a user does."""
    rest.send("delete", SERVICES.one(service.metadata.name, namespace=service.metadata.namespace))
