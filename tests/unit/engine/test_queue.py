"""Which key comes next."""

from __future__ import annotations

import pytest

from lbctl.engine.queue import Priority, ScopeQueue


def drain(queue, now):
    """Pop until nothing is due, in order."""
    keys = []
    while (key := queue.pop(now)) is not None:
        keys.append(key)
        queue.done(key)
    return keys


def test_a_burst_costs_one_pass_after_a_tenth_of_a_second_of_quiet():
    """And two seconds at the latest."""
    queue = ScopeQueue()
    for tick in range(19):
        queue.touch("a", now=tick * 0.1)
        assert queue.pop(tick * 0.1 + 0.05) is None
    assert queue.next_due() == pytest.approx(1.9)
    queue.touch("a", now=1.95)
    assert queue.pop(1.99) is None
    assert drain(queue, 2.0) == ["a"]


@pytest.mark.spec("SC-077")
def test_a_users_change_overtakes_five_hundred_drift_checks():
    """Priority before age."""
    queue = ScopeQueue()
    for index in range(500):
        queue.touch(f"drift-{index}", now=0, priority=Priority.DRIFT)
    queue.touch("node", now=0.5, priority=Priority.NODES)
    queue.touch("user", now=1.0)
    assert drain(queue, 5)[:2] == ["user", "node"]


@pytest.mark.spec("SC-078")
def test_a_key_is_never_handed_out_twice():
    """What is dirtied meanwhile comes back after done."""
    queue = ScopeQueue()
    queue.touch("a", now=0)
    assert queue.pop(1) == "a"
    queue.touch("a", now=1)
    assert queue.pop(9) is None
    queue.done("a")
    assert queue.pop(9) == "a"
    queue.done("a")
    assert queue.pop(99) is None


def test_a_touch_is_not_put_off_by_a_later_timer():
    """A retry in five minutes gives way to a change now, and a timer never delays a change."""
    queue = ScopeQueue()
    queue.later("a", at=300)
    queue.touch("a", now=0)
    assert queue.pop(0.2) == "a"
    queue.done("a")
    queue.touch("b", now=0)
    queue.later("b", at=300)
    assert queue.pop(0.2) == "b"


def test_the_next_time_is_told():
    """None when nothing waits, the past when something is due."""
    queue = ScopeQueue()
    assert queue.next_due() is None
    queue.later("a", at=7)
    queue.later("b", at=3)
    assert queue.next_due() == 3
    assert queue.pop(5) == "b"
    assert queue.next_due() == 7


def test_a_forgotten_key_does_not_come():
    """Nor does it hold others up."""
    queue = ScopeQueue()
    queue.touch("a", now=0)
    queue.touch("b", now=0)
    queue.forget("a")
    assert drain(queue, 1) == ["b"]
