"""Finding the culprit."""

from __future__ import annotations

import math

import pytest

from lbctl.engine.bisection import Bisection
from lbctl.model.resource import Identity


def play(count, guilty):
    """Search among `count` with these guilty ones; returns who was found and how many calls it took."""
    suspects = frozenset(Identity("shop", f"s{i:04d}", str(i)) for i in range(count))
    bisection = Bisection.among(suspects)
    found, calls, served = [], 0, set()
    while not bisection.is_over:
        group = set(bisection.groups[0])
        assert group.isdisjoint(bisection.frozen)
        calls += 1
        if any(int(i.uid) in guilty for i in group):
            culprit = bisection.failed()
            found += [culprit] if culprit else []
        else:
            served |= group
            bisection.passed()
    assert served | set(found) == suspects
    return sorted(int(i.uid) for i in found), calls


@pytest.mark.parametrize("count", [2, 3, 7, 100, 500])
@pytest.mark.parametrize("position", [0, 1, -1])
def test_one_culprit_costs_about_two_calls_a_halving(count, position):
    """At most 2·log2(N) + 1 calls, and everybody else is served."""
    guilty = position % count
    found, calls = play(count, {guilty})
    assert found == [guilty]
    assert calls <= 2 * math.ceil(math.log2(count)) + 1


def test_several_culprits_are_all_found():
    """And nobody else."""
    assert play(64, {3, 4, 60})[0] == [3, 4, 60]
