"""Dying before or after every single write on AWS changes nothing in the end: no orphan, no duplicate, no plan."""

import re

import pytest

from tests.aws.cluster import MODES, Cluster, service
from tests.world import change

CRASH_SECONDS = 1500
DRAWN_ID = re.compile(r"[0-9a-f]{16,17}")


def create(cluster):
    """Make a Service with two ports and an attribute."""
    cluster.kube.put(wanted(cluster.mode))


def update(cluster):
    """Change a port and the ranges."""
    live = cluster.live()
    new = wanted(cluster.mode, ports=(80, 8443), load_balancer_source_ranges=("10.0.0.0/8",))
    cluster.kube.put(change(live, spec=new.spec))


def delete(cluster):
    """Delete the Service."""
    cluster.kube.delete("shop/web")


def wanted(mode, **spec):
    """The Service of the scenarios."""
    return service(**{"ports": (80, 443), "annotations": MODES[mode], **spec})


SCENARIOS = {"create": [create], "update": [create, update], "delete": [create, delete]}


def play(aws, mode, steps, arm):
    """Play a scenario; the process may die in its last step, and another goes on."""
    cluster = Cluster.begin(aws)
    cluster.mode = mode
    for step in steps[:-1]:
        step(cluster)
        cluster.settle(60)
    aws.calls.clear()
    dead = arm(aws.faults)
    steps[-1](cluster)
    run(cluster, dead)
    aws.faults.revive()
    cluster.crash()
    cluster.settle(CRASH_SECONDS)
    assert not cluster.bugs
    return cluster


def run(cluster, dead):
    """Work until the process is dead, or until there is nothing to do."""
    end = cluster.clock.monotonic() + 60
    while not (dead and dead.is_set()):
        cluster.controller.tick()
        work = cluster.controller.next_work()
        if work is not None:
            cluster.do(work)
            continue
        due = cluster.controller.next_due()
        if due is None or due > end:
            return
        cluster.clock.advance(max(due - cluster.clock.monotonic(), 0.001))


def picture(cluster):
    """Everything that must be the same whatever happened on the way."""
    services = {
        key: (s.metadata.finalizers, s.metadata.annotations, len(s.status.load_balancer.ingress))
        for key, s in cluster.kube.services.items()
    }
    return comparable(cluster.state()), services


def comparable(state):
    """The state without what tells only when something was made, and without ids that the cloud draws."""
    if isinstance(state, dict):
        return {key: comparable(value) for key, value in state.items() if key not in {"CreatedTime", "TargetHealth"}}
    if isinstance(state, list):
        return [comparable(item) for item in state]
    return DRAWN_ID.sub("", state) if isinstance(state, str) else state


@pytest.mark.spec("AWS-076", "AWS-077")
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("mode", MODES)
def test_a_crash_at_every_write_converges_to_the_same_end(aws, mode, scenario):
    """Each run dies at another write, before it or after it; the next process ends where an undisturbed one ends."""
    steps = SCENARIOS[scenario]
    aws.calls.clear()
    undisturbed = play(aws, mode, steps, lambda _: None)
    wanted_end = picture(undisturbed)
    writes = len(aws.calls.writes)
    assert writes >= 2
    for number in range(1, writes + 1):
        for arm in ("die_before", "die_after"):
            cluster = play(aws, mode, steps, lambda faults, arm=arm, number=number: getattr(faults, arm)(number))
            assert picture(cluster) == wanted_end, f"{arm} write {number}"
            assert not cluster.plans(), f"{arm} write {number}"
