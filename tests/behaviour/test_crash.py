"""Dying before or after every single write, of the cloud or of the API server, changes nothing in the end."""

from __future__ import annotations

import pytest

from tests.clouds.memory import PREFIX, Crash, MemoryCloud, info
from tests.world import change, service


def create(world):
    """Make a Service with two ports."""
    world.kube.put(service(ports=(80, 443)))


def update(world):
    """Change ports, ranges and a field that is updated in place."""
    live = world.live()
    new = service(ports=(80, 8443), load_balancer_source_ranges=("10.0.0.0/8",))
    annotated = change(live.metadata, annotations={PREFIX + "timeout": "90"})
    world.kube.put(change(live, spec=new.spec, metadata=annotated))


def delete(world):
    """Delete the Service."""
    world.kube.delete("shop/web")


def change_type(world):
    """Turn the Service into a ClusterIP one."""
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, type="ClusterIP")))


SCENARIOS = {"create": [create], "update": [create, update], "delete": [create, delete], "type": [create, change_type]}


class Counter:
    """Counts the writes of cloud and API server together, and dies at one of them."""

    def __init__(self, at: int = 0, *, before: bool = True) -> None:
        self.count, self.at, self.is_before, self.fired = 0, at, before, False

    def begin(self, what, number) -> None:
        self.count += 1
        if self.is_before and self.count == self.at:
            self.fired = True
            raise Crash(what)

    def end(self, what, number) -> None:
        if not self.is_before and self.count == self.at:
            self.fired = True
            raise Crash(what)


def play(make_world, steps, counter):
    """Play a scenario in a fresh world; a crash in its last step is followed by a new process.

    Returns the world, its cloud and the Service's uid.
    """
    cloud = MemoryCloud()
    world = make_world(info(cloud))
    world.settle()
    for step in steps[:-1]:
        step(world)
        world.settle()
    cloud.before = world.kube.before = counter.begin
    cloud.after = world.kube.after = counter.end
    steps[-1](world)
    uid = world.live().metadata.uid
    try:
        world.settle()
    except Crash:
        world.crash()
        world.settle()
    return world, cloud, uid


def picture(world, cloud, uid):
    """Everything that must be the same whatever happened on the way, but for the Service's uid."""
    services = {
        key: (s.metadata.finalizers, s.spec.type, bool(s.status.load_balancer.ingress))
        for key, s in world.kube.services.items()
    }
    return cloud.state_but_for(uid), services


@pytest.mark.spec("SC-029", "SC-030", "SC-035")
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_crash_at_every_write_converges_to_the_same_end(make_world, name, before):
    """Each run dies once, at another write; the next process ends where an undisturbed one ends, with an empty plan."""
    undisturbed = Counter()
    wanted = picture(*play(make_world, SCENARIOS[name], undisturbed))
    assert undisturbed.count > 2
    for at in range(1, undisturbed.count + 1):
        counter = Counter(at, before=before)
        world, cloud, uid = play(make_world, SCENARIOS[name], counter)
        assert counter.fired
        assert picture(world, cloud, uid) == wanted, f"after a crash at write {at}"
        assert not world.plans()
        assert not world.bugs
