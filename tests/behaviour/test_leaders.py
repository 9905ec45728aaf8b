"""Two processes on one cluster: the old leader never writes once its lease may be somebody else's."""

from __future__ import annotations

import contextlib

import pytest

from lbctl.errors import LostLease
from tests.clouds.memory import PREFIX, MemoryCloud, info
from tests.world import change, service


def second_process(make_world, first):
    """Another process on the same API objects and the same cloud, which leads from now on."""
    first.leading = False
    return make_world(first.info, kube=first.kube, nodes=())


def work_until(world, step):
    """Let a process work up to its n-th write and leave it there, in the middle of a pass; None when it ends before."""
    count = 0
    while True:
        world.controller.tick()
        work = world.controller.next_work()
        if work is None:
            due = world.controller.next_due()
            if due is None or due > world.clock.monotonic() + 30:
                return None
            world.clock.advance(max(due - world.clock.monotonic(), 0.001))
            continue
        running = world.controller.run(work)
        for _ in running:
            count += 1
            if count == step:
                return running
        world.controller.done(work)


def go_on(running):
    """Let a pass that was left in the middle run to its end, which may be the loss of its lease."""
    with contextlib.suppress(LostLease):
        for _ in running:
            pass


def begin(make_world, cloud, scenario):
    """A process that is about to do something."""
    world = make_world(info(cloud))
    world.settle()
    if scenario != "create":
        world.apply(service(ports=(80, 443)))
    if scenario == "create":
        world.kube.put(service(ports=(80, 443)))
    elif scenario == "delete":
        world.kube.delete("shop/web")
    else:
        live = world.live()
        annotated = change(live.metadata, annotations={PREFIX + "timeout": "90"})
        world.kube.put(change(live, spec=service(ports=(80, 8443)).spec, metadata=annotated))
    return world


@pytest.mark.spec("SC-080")
@pytest.mark.parametrize("scenario", ["create", "update", "delete"])
def test_an_old_leader_that_wakes_up_in_the_middle_writes_nothing(make_world, scenario):
    """At every point of a pass: the lease moves on, the new leader finishes, the old one goes on and is stopped."""
    undisturbed = MemoryCloud()
    wanted_world = begin(make_world, undisturbed, scenario)
    uid = wanted_world.live().metadata.uid
    wanted_world.settle()
    wanted = undisturbed.state_but_for(uid)
    step = 0
    while True:
        step += 1
        cloud = MemoryCloud()
        old = begin(make_world, cloud, scenario)
        uid = old.live().metadata.uid
        running = work_until(old, step)
        if running is None:
            break
        new = second_process(make_world, old)
        new.settle(60)
        state, writes, kube_writes = cloud.state(), cloud.writes, new.kube.writes
        go_on(running)
        assert (cloud.state(), cloud.writes, new.kube.writes) == (state, writes, kube_writes)
        new.settle(700)
        assert cloud.state_but_for(uid) == wanted, f"at step {step}"
        assert not new.plans()
    assert step > 3
