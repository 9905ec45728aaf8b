"""Which events are worth a write."""

from __future__ import annotations

import itertools

import pytest

from lbctl.kube.damping import LONGEST_MEMORY, Damping, Reference, Write
from lbctl.model.status import Notice, Severity

WEB = Reference("v1", "Service", "shop", "web", "u-1")
FAILED = Notice(Severity.WARNING, "SyncLoadBalancerFailed", "no subnet")


@pytest.mark.spec("SC-070")
def test_a_hundred_identical_failures_are_one_event_object():
    """100 failures in 30 minutes: one Event object, and at most one write in five minutes."""
    damping, writes = Damping(), []
    for failure in range(100):
        now = failure * 18.0
        write = damping.decide(now, WEB, FAILED)
        if write:
            writes.append((now, write))
            damping.written(WEB, FAILED, "web.1")
    assert [write.name for _, write in writes] == ["", *["web.1"] * (len(writes) - 1)]
    times = [now for now, _ in writes]
    assert all(later - earlier >= 300 for earlier, later in itertools.pairwise(times))
    assert writes[-1][1].count == 1 + sum(1 for now in range(1, 100) if now * 18 <= times[-1])


def test_normal_events_are_told_each_time():
    """What was done is told again when it was done again, as a higher count."""
    damping, done = Damping(), Notice(Severity.NORMAL, "EnsuredLoadBalancer", "Ensured load balancer")
    assert damping.decide(0.0, WEB, done) == Write("", 1)
    damping.written(WEB, done, "web.2")
    assert damping.decide(1.0, WEB, done) == Write("web.2", 2)


def test_one_object_cannot_fill_the_cluster():
    """25 different events at once, then one in five minutes; another object is not held back."""
    damping = Damping()
    news = [Notice(Severity.WARNING, "SyncLoadBalancerFailed", f"failure {number}") for number in range(100)]
    assert sum(damping.decide(0.0, WEB, event) is not None for event in news) == 25
    assert sum(damping.decide(601.0, WEB, event) is not None for event in news[50:]) == 2
    assert damping.decide(0.0, Reference("v1", "Service", "shop", "api", "u-2"), FAILED)


def test_a_recreated_object_has_its_own_events():
    """The same news about another uid is other news."""
    damping = Damping()
    damping.decide(0.0, WEB, FAILED)
    assert damping.decide(1.0, Reference("v1", "Service", "shop", "web", "u-9"), FAILED) == Write("", 1)


def test_the_memory_is_bounded():
    """What was seen long ago is forgotten, not kept for ever."""
    damping = Damping()
    for number in range(LONGEST_MEMORY + 1):
        damping.decide(0.0, Reference("v1", "Service", "shop", "web", str(number)), FAILED)
    assert damping.decide(1.0, Reference("v1", "Service", "shop", "web", "0"), FAILED) == Write("", 1)
    assert damping.decide(1.0, Reference("v1", "Service", "shop", "web", str(LONGEST_MEMORY)), FAILED) is None
