"""A sandbox for a whole module, and a user who changes things in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from lbctl.engine.process import Process
from lbctl.engine.summary import State, summarise
from lbctl.kube.access import Access
from lbctl.kube.rest import Rest
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.demo.story import manifests
from lbctl.sandbox.hands import Hands
from lbctl.sandbox.sandbox import Sandbox
from tests.cli.console import Said, lbctl
from tests.cli.office import Office
from tests.clouds.installed import install


@dataclass(frozen=True)
class Place:
    """A sandbox and its user."""

    sandbox: Sandbox
    hands: Hands

    @property
    def given(self) -> dict[str, str]:
        """The variables that lead `lbctl` here."""
        return {"KUBECONFIG": str(self.sandbox.kubeconfig), "LBCTL_CONFIG": str(self.sandbox.config)}

    def lbctl(self, *arguments: str) -> Said:
        """What `lbctl` says here."""
        return lbctl(*arguments, given=self.given)

    def until(self, holds: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Return once it holds; fail after `seconds`."""
        clock = self.sandbox.clock
        end = clock.monotonic() + seconds
        while not holds():
            assert clock.monotonic() < end, f"not within {seconds:g} s"
            clock.wait(0.05)

    def wait_state(self, key: str, state: State) -> None:
        """Return once the Service shows this state."""
        self.until(lambda: (found := self.hands.get(key)) is not None and summarise(found).state is state)


def place(sandbox: Sandbox) -> Place:
    """The sandbox with a user."""
    return Place(sandbox, Hands(Rest(Access(kubeconfig=str(sandbox.kubeconfig)), sandbox.clock)))


@pytest.fixture(scope="module")
def served() -> Iterator[Place]:
    """A sandbox whose controller has made the demo's three Services ready; tests leave them as they are."""
    with Sandbox(nodes=2) as sandbox:
        found = place(sandbox)
        for document in manifests():
            found.hands.apply(document)
        sandbox.start_controller(Process(sandbox.settings, clock=sandbox.clock))
        for key in ("shop/web", "shop/orders", "shop/names"):
            found.wait_state(key, State.READY)
        yield found


@pytest.fixture
def unserved() -> Iterator[Place]:
    """A sandbox with the demo's three Services and nobody who serves them."""
    with Sandbox(nodes=2) as sandbox:
        found = place(sandbox)
        for document in manifests():
            found.hands.apply(document)
        yield found


@pytest.fixture
def office(tmp_path, monkeypatch) -> Iterator[Office]:
    """A cluster and a cloud in memory with nobody who serves them."""
    (tmp_path / "site").mkdir()
    cloud = install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with ApiServer() as api:
        yield Office.open(api, cloud, tmp_path)
