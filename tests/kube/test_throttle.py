"""The client-side limit on requests."""

from __future__ import annotations

import pytest

from lbctl.clock import ManualClock
from lbctl.kube.throttle import Bucket, Rate, Throttle

RATE = Rate(per_second=20.0, burst=30.0)


def test_a_burst_passes_and_the_rest_is_spaced_out():
    """30 requests pass at once, then one each 50 ms."""
    bucket = Bucket(RATE, 0.0)
    assert [bucket.reserve(0.0) for _ in range(30)] == [0.0] * 30
    assert [bucket.reserve(0.0) for _ in range(3)] == pytest.approx([0.05, 0.10, 0.15])


def test_a_bucket_never_holds_more_than_its_burst():
    """A quiet hour earns one burst."""
    bucket = Bucket(RATE, 0.0)
    assert sum(bucket.reserve(3600.0) == 0.0 for _ in range(60)) == 30


def test_who_does_not_wait_gets_a_token_or_none():
    """`take` never goes into debt."""
    bucket = Bucket(Rate(per_second=1.0, burst=2.0), 0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, False, False]
    assert bucket.take(1.0)


def test_threads_wait_on_the_injected_clock():
    """130 requests take five seconds."""
    clock = ManualClock()
    throttle = Throttle(clock, RATE)
    for _ in range(130):
        throttle.take()
    assert clock.monotonic() == pytest.approx(5.0)
