"""Pauses after failures."""

from __future__ import annotations

import random

import pytest

from lbctl.engine.backoff import Backoff


@pytest.mark.spec("SC-075")
def test_the_series_doubles_from_five_seconds_to_five_minutes_with_a_fifth_of_jitter():
    """5, 10, 20, 40, 80, 160, 300, 300 …, each within 20 %."""
    for seed in range(50):
        backoff = Backoff(random.Random(seed))
        pauses = [backoff.failed("a") for _ in range(9)]
        for pause, middle in zip(pauses, (5, 10, 20, 40, 80, 160, 300, 300, 300), strict=True):
            assert middle * 0.8 <= pause <= middle * 1.2


def test_jitter_spreads_and_success_resets():
    """Two keys do not come back together; after a reset the series starts anew."""
    backoff = Backoff(random.Random(1))
    assert backoff.failed("a") != backoff.failed("b")
    backoff.failed("a")
    backoff.reset("a")
    assert backoff.failed("a") <= 6
    assert backoff.failures("a") == 1
