"""Dying before or after every single write leaves the same end state, with nothing made twice and nothing left over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.local.gateway import NET, Gateway, ask, echoes
from tests.world import change, service

NODE_PORT = 30080
NAME = "web"


class Death(BaseException):
    """The process dies here."""


class Mortal:
    """Counts the writes to Envoy's state and to the API server, and dies before or after one of them."""

    def __init__(self, gateway: Gateway, at: int, *, before: bool) -> None:
        self.gateway, self.at, self.before, self.count, self.died = gateway, at, before, 0, False
        self._driver = gateway.account.driver
        gateway.account.driver = self
        gateway.kube.before, gateway.kube.after = self._begin, self._end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def apply(self, action: Any, refs: Any) -> Any:
        """The driver's, mortal."""
        self._begin(action.call, 0)
        reply = self._driver.apply(action, refs)
        self._end(action.call, 0)
        return reply

    def _begin(self, *_: object) -> None:
        self.count += 1
        self._die(now=self.before)

    def _end(self, *_: object) -> None:
        self._die(now=not self.before)

    def _die(self, *, now: bool) -> None:
        if now and self.count == self.at and not self.died:
            self.died = True
            raise Death


def create(gateway: Gateway) -> None:
    """Make a Service with two ports."""
    gateway.kube.put(service(NAME, ports=(80, 81)))


def update(gateway: Gateway) -> None:
    """Change ports, ranges and an option."""
    live = gateway.live(NAME)
    spec = change(live.spec, ports=service(ports=(80, 82)).spec.ports, load_balancer_source_ranges=("127.0.0.0/8",))
    metadata = change(live.metadata, annotations={"lbctl.io/algorithm": "random"})
    gateway.kube.put(change(live, spec=spec, metadata=metadata))


def move(gateway: Gateway) -> None:
    """Ask for another address."""
    live = gateway.live(NAME)
    gateway.kube.put(change(live, spec=change(live.spec, load_balancer_ip=f"{NET}.64.99")))


def delete(gateway: Gateway) -> None:
    """Delete the Service."""
    gateway.kube.delete(f"shop/{NAME}")


Step = Callable[[Gateway], None]


def play(gateway: Gateway, step: Step, *, at: int, before: bool) -> bool:
    """Run a step and die at one write; a new process then finishes. False when there is no such write."""
    mortal = Mortal(gateway, at, before=before)
    step(gateway)
    try:
        gateway.settle()
    except Death:
        gateway.crash()
        gateway.settle()
    died, mortal.died = mortal.died, True
    return died


def picture(gateway: Gateway) -> tuple[object, ...]:
    """The end state: what is served where, without what differs from Service to Service."""
    names = [
        sorted(
            entry["name"].partition("/")[2].rpartition("/")[0] for entry in json.loads(path.read_text())["resources"]
        )
        for path in (gateway.root / "cds.json", gateway.root / "lds.json")
    ]
    places = ["/".join(name.split("/")[-1:]) for name in names[1]]
    addresses = len(list((gateway.root / "addresses").iterdir()))
    published = len(gateway.addresses(NAME)) if gateway.exists(NAME) else -1
    return names[0], places, addresses, published, gateway.plans()


SCENARIOS: dict[str, tuple[Step, ...]] = {
    "create": (create,),
    "update": (create, update),
    "move": (create, move),
    "delete": (create, delete),
}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_dying_at_any_write_changes_nothing_in_the_end(gateway: Gateway, scenario: str, *, before: bool):
    """For every write of the scenario: the process dies there, a new one finishes, and the end state is the same."""
    *setup, last = SCENARIOS[scenario]
    expected = None
    with echoes(NODE_PORT, "n1", "n2"):
        for at in range(30):
            for step in setup:
                step(gateway)
                gateway.settle()
            died = play(gateway, last, at=at, before=before)
            expected = expected or picture(gateway)
            assert picture(gateway) == expected, f"died at write {at}"
            # A process that finds the pool made already does not wait for its first health check.
            gateway.until(lambda: not gateway.exists(NAME) or ask(gateway.addresses(NAME)[0], 80) != "", seconds=5)
            if gateway.exists(NAME):
                gateway.delete(NAME)
            assert list((gateway.root / "addresses").iterdir()) == []
            if at and not died:
                return
    pytest.fail("the scenario has no end")
