"""Dying before or after any single write, of Azure or of the API server, changes nothing in the end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import pytest

from tests.azure.cluster import Cluster, cluster
from tests.clouds.azure.bystanders import add_bystanders, foreign_parts
from tests.clouds.azure.cloud import Timing
from tests.clouds.azure.faults import Drop, Effect, Fault, Refuse
from tests.clouds.memory import Crash
from tests.world import change, service

Step = Callable[[Cluster], None]
INTERNAL = "service.beta.kubernetes.io/azure-load-balancer-internal"


def create(world: Cluster) -> None:
    """Make a Service with two ports and two families."""
    world.kube.put(service(ports=(80, 443), ip_families=("IPv4", "IPv6"), ip_family_policy="RequireDualStack"))


def update(world: Cluster) -> None:
    """Change ports, ranges and the traffic policy."""
    live = world.live()
    wanted = service(
        ports=(80, 8443),
        load_balancer_source_ranges=("198.51.100.0/24", "2001:db8::/32"),
        external_traffic_policy="Local",
        health_check_node_port=31000,
        ip_families=("IPv4", "IPv6"),
        ip_family_policy="RequireDualStack",
    )
    world.kube.put(change(live, spec=wanted.spec))


def flip(world: Cluster) -> None:
    """Turn the Service internal."""
    live = world.live()
    world.kube.put(change(live, metadata=change(live.metadata, annotations={INTERNAL: "true"})))


def delete(world: Cluster) -> None:
    """Delete the Service."""
    world.kube.delete("shop/web")


def change_type(world: Cluster) -> None:
    """Turn the Service into a ClusterIP one."""
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, type="ClusterIP")))


def create_several(world: Cluster) -> None:
    """Make three Services at once: two on one public address, one internal."""
    uid = world.kube.put(service()).metadata.uid
    shared = {"service.beta.kubernetes.io/azure-pip-name": f"kubernetes-a{uid.replace('-', '')[:31]}"}
    world.kube.put(service("guest", ports=(443,), annotations=shared))
    world.kube.put(service("inner", ports=(90,), annotations={INTERNAL: "true"}))


def change_several(world: Cluster) -> None:
    """Take the owner of the shared address away, give the guest another port and open the internal one."""
    world.kube.delete("shop/web")
    for name, spec in {
        "guest": service("guest", ports=(8443,)).spec,
        "inner": service("inner", ports=(90,), load_balancer_source_ranges=("10.0.0.0/8",)).spec,
    }.items():
        live = world.live(name)
        world.kube.put(change(live, spec=spec))


def delete_several(world: Cluster) -> None:
    """Delete all three at once."""
    for name in ("web", "guest", "inner"):
        world.kube.delete(f"shop/{name}")


SCENARIOS: dict[str, list[Step]] = {
    "create": [create],
    "update": [create, update],
    "flip": [create, flip],
    "delete": [create, delete],
    "type": [create, change_type],
}
SEVERAL: dict[str, list[Step]] = {
    "create-several": [create_several],
    "change-several": [create_several, change_several],
    "delete-several": [create_several, delete_several],
}
AT_ONCE, SLOW = 0.0, 4.0
"""How long Azure takes for each write, in seconds. Several Services at once are played in the slow form alone."""
PLAYS = [(name, steps, seconds) for name, steps in SCENARIOS.items() for seconds in (AT_ONCE, SLOW)]
PLAYS += [(name, steps, SLOW) for name, steps in SEVERAL.items()]


def play(steps: list[Step], prepare: Callable[[Cluster], None], *, seconds: float = 0.0) -> tuple[object, bool, int]:
    """Play a scenario whose last step is disturbed; the end state, whether it was disturbed, and its writes."""
    with cluster() as world:
        world.azure.cloud.timing = Timing(otherwise=seconds)
        world.add_nodes("n1", "n2")
        world.apply(service("neighbour", ports=(53,)))
        add_bystanders(world.azure)
        before = foreign_parts(world.azure)
        for step in steps[:-1]:
            step(world)
            world.settle(120)
        world.server.journal.clear()
        writes_before = world.kube.writes
        prepare(world)
        steps[-1](world)
        with contextlib.suppress(Crash):
            world.settle(120)
        disturbed = world.server.faults.died or world.kube.writes < 0
        crashed = disturbed or world.crashed
        writes = sum(world.writes().values())
        kube_writes = world.kube.writes - writes_before
        world.server.faults.clear()
        world.kube.before = world.kube.after = lambda _name, _number: None
        if crashed:
            world.crash()
        world.settle(700)
        assert world.plans() == [], world.kube.events
        assert foreign_parts(world.azure) == before
        return picture(world), crashed, writes * 1000 + kube_writes


def picture(world: Cluster) -> str:
    """Everything that must be the same whatever happened on the way."""
    services = {
        key: (s.metadata.finalizers, s.spec.type, len(s.status.load_balancer.ingress))
        for key, s in world.kube.services.items()
    }
    state = world.azure.state()
    for body in state.values():
        # An address that is made twice over a crash would show in the number of addresses, not in its digits.
        body.get("properties", {}).pop("ipAddress", None)
    rules = {name: sorted(rule["destinationPortRanges"]) for name, rule in world.security_rules().items()}
    parts = {key: _names(body) for key, body in state.items()}
    return json.dumps([services, rules, parts], sort_keys=True)


def _names(body: dict) -> object:
    properties = body.get("properties", {})
    return {
        name: sorted(part.get("name", "") for part in value if isinstance(part, dict))
        for name, value in properties.items()
        if isinstance(value, list)
    }


def _undisturbed(world: Cluster) -> None:
    world.crashed = False


@pytest.mark.spec("AZ-035", "AZ-036", "AZ-037", "AZ-038", "AZ-039")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("name", "steps", "seconds"), PLAYS, ids=[f"{name}-{seconds:g}s" for name, _, seconds in PLAYS]
)
def test_a_crash_at_any_cloud_write_heals(name: str, steps: list[Step], seconds: float, *, after: bool) -> None:
    """Whichever write of Azure is the last one of a process, the next process ends in the same state."""
    wanted, _, counted = play(steps, _undisturbed, seconds=seconds)
    for number in range(1, counted // 1000 + 1):

        def prepare(world: Cluster, number: int = number) -> None:
            world.crashed = False
            world.server.faults.die(at_write=number, after=after)

        found, crashed, _ = play(steps, prepare, seconds=seconds)
        assert crashed, (name, number)
        assert found == wanted, (name, number, after)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_crash_at_any_kubernetes_write_heals(scenario: str, *, after: bool) -> None:
    """Whichever write of the API server is the last one of a process, the next process ends in the same state."""
    wanted, _, counted = play(SCENARIOS[scenario], _undisturbed)
    for number in range(1, counted % 1000 + 1):

        def prepare(world: Cluster, number: int = number) -> None:
            world.crashed = False
            first = world.kube.writes

            def die(what: str, at: int) -> None:
                if at == first + number + 1 and not world.crashed:
                    world.crashed = True
                    raise Crash(what)

            setattr(world.kube, "after" if after else "before", die)

        found, _, _ = play(SCENARIOS[scenario], prepare)
        assert found == wanted, (scenario, number, after)


DISTURBANCES: dict[str, tuple[Effect, ...]] = {
    "lost": (Drop(after_write=True), Drop(), Refuse(409, "AnotherOperationInProgress")),
    "refused": (
        Refuse(412, "PreconditionFailed"),
        Refuse(429, "TooManyRequests", headers={"Retry-After": "7"}),
        Refuse(503, "ServerUnavailable"),
    ),
}


@pytest.mark.spec("AZ-026", "AZ-029", "AZ-031", "AZ-035")
@pytest.mark.parametrize("effects", DISTURBANCES.values(), ids=DISTURBANCES)
@pytest.mark.parametrize("scenario", ["update", "flip", "create-several", "delete-several"])
def test_disturbed_writes_change_nothing_in_the_end(scenario: str, effects: tuple[Effect, ...]) -> None:
    """Whichever three writes in a row are refused, throttled or lost, the same process ends in the same state."""
    steps = (SCENARIOS | SEVERAL)[scenario]
    wanted, _, counted = play(steps, _undisturbed)
    for number in range(counted // 1000):

        def prepare(world: Cluster, number: int = number) -> None:
            for after, effect in enumerate(effects):
                world.server.faults.add(Fault(effect, writes=True, skip=number + after))

        found, _, _ = play(steps, prepare)
        assert found == wanted, (scenario, number)
