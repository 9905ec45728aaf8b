"""How many targets of a Service are healthy, as `lbctl status --targets` asks."""

from __future__ import annotations

import pytest

from lbctl.driver import Health, TellsHealth
from lbctl.engine.planning import build_world
from lbctl.errors import Throttled
from lbctl.model.intent import identity_of
from lbctl_gce.modes import FINALIZERS, Mode
from tests.clouds.gce.errors import Refusal
from tests.clouds.gce.faults import Fault
from tests.clouds.gce.world import Google
from tests.gce.conftest import Build
from tests.world import change, service

CLASS = "networking.gke.io/l4-regional-"
MODES = {
    "netlb-tp": f"{CLASS}external-legacy",
    "netlb-rbs": f"{CLASS}external",
    "netlb-neg": None,
    "ilb-ig": f"{CLASS}internal-legacy",
    "ilb-neg": f"{CLASS}internal",
}
GROUPED = [mode for mode in MODES if mode != "netlb-tp"]


def told(world: Google, name: str = "web") -> Health | None:
    """What the driver tells of one Service."""
    driver = world.driver
    assert isinstance(driver, TellsHealth)
    known = build_world(
        world.account, list(world.account.services.values()), cluster=world.cluster, now=world.clock.now()
    )
    identity = identity_of(world.live(name))
    return driver.health([identity], known).get(identity)


def serve(world: Google, mode: str, name: str = "web", ports: tuple[int, ...] = (80, 443)) -> None:
    """A Service of one kind."""
    wanted = service(name, ports=ports, load_balancer_class=MODES[mode])
    marks = () if MODES[mode] else (FINALIZERS[Mode(mode)],)
    world.apply(change(wanted, metadata=change(wanted.metadata, finalizers=marks)))


@pytest.mark.parametrize("mode", MODES)
def test_each_node_counts_once_a_port(world: Google, mode: str) -> None:
    """Of all zones, in every kind; one that the checks find sick is not healthy, nor is one that they cannot reach."""
    world.join("n3", "c")
    serve(world, mode)
    assert told(world) == Health(6, 6)
    world.compute.sick.add("n3")
    assert told(world) == Health(4, 6)
    for rule in world.objects("firewalls").values():
        rule.pop("sourceRanges", None)
    assert told(world) == Health(0, 6)


@pytest.mark.parametrize("mode", GROUPED)
def test_asking_costs_one_call_for_each_group_of_the_asked_service(world: Google, mode: str) -> None:
    """Other Services' groups are not asked for."""
    world.join("n3", "c")
    serve(world, mode)
    serve(world, mode, "other", (81,))
    world.compute.journal.clear()
    assert told(world) == Health(6, 6)
    assert world.compute.journal.calls == ["regionBackendServices.getHealth"] * 2


def test_asking_costs_one_call_for_each_node_of_a_pool(world: Google) -> None:
    """The API takes one instance a call."""
    serve(world, "netlb-tp")
    world.compute.journal.clear()
    assert told(world) == Health(4, 4)
    assert world.compute.journal.calls == ["targetPools.getHealth"] * 2


def test_a_shared_backend_service_tells_for_each_of_its_services(build: Build) -> None:
    """Two Services of one protocol and affinity; each counts its own ports."""
    world = build()
    inside = {
        "networking.gke.io/load-balancer-type": "Internal",
        "cloud.google.com/load-balancer-backend-share": "true",
    }
    world.apply(service(annotations=inside))
    world.apply(service("other", ports=(81, 82), annotations=inside))
    assert told(world) == Health(2, 2)
    assert told(world, "other") == Health(4, 4)


def test_what_is_not_there_is_not_told(world: Google) -> None:
    """A Service without a forwarding rule has no health, and one call that is throttled is the cloud's own error."""
    world.compute.limits["FORWARDING_RULES"] = 1
    world.kube.put(service())
    world.settle(30)
    assert told(world) is None
    world.compute.limits.clear()
    world.settle(600)
    refusal = Refusal(403, "rateLimitExceeded", "Rate Limit Exceeded")
    world.compute.faults.append(Fault("regionBackendServices.getHealth", refusal))
    with pytest.raises(Throttled, match="shop/web"):
        told(world)
