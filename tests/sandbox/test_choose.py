"""How connections are spread over targets."""

from __future__ import annotations

import random
from collections import Counter

from lbctl.sandbox.nodes.choose import Chooser, Mode
from lbctl.sandbox.nodes.rules import PortRule, Target

TARGETS = tuple(Target(f"127.0.0.{number}", 80) for number in range(1, 4))
RULE = PortRule("TCP", 30080, targets=TARGETS)
STICKY = PortRule("TCP", 30080, targets=TARGETS, affinity_seconds=60)


def test_round_robin_is_even(clock, rng):
    """Over 300 connections each of three targets gets exactly 100, whoever asks."""
    chooser = Chooser(Mode.ROUND_ROBIN, clock=clock, rng=rng)
    assert Counter(chooser.pick(RULE, f"127.0.1.{turn % 7}") for turn in range(300)) == dict.fromkeys(TARGETS, 100)


def test_random_is_uniform_and_repeats_with_its_seed(clock):
    """Of 3,000 connections each of three targets gets a third within 4 standard deviations; the seed decides which."""
    picks = [
        [Chooser(Mode.RANDOM, clock=clock, rng=seeded).pick(RULE, "127.0.1.1") for _ in range(3000)]
        for seeded in (random.Random(1), random.Random(1), random.Random(2))
    ]
    assert picks[0] == picks[1]
    assert picks[0] != picks[2]
    # The standard deviation of a binomial count is sqrt(3000 * 1/3 * 2/3) = 25.8.
    assert all(abs(count - 1000) < 104 for count in Counter(picks[0]).values())


def test_affinity_holds_while_it_is_used_and_ends_after_its_time(clock, rng):
    """A client stays with its target as long as no pause reaches the time-out, then it is spread anew."""
    chooser = Chooser(Mode.ROUND_ROBIN, clock=clock, rng=rng)
    first = chooser.pick(STICKY, "127.0.1.1")
    assert chooser.pick(STICKY, "127.0.1.2") != first
    for _ in range(5):
        clock.advance(59)
        assert chooser.pick(STICKY, "127.0.1.1") == first
    clock.advance(60)
    assert chooser.pick(STICKY, "127.0.1.1") != first


def test_affinity_does_not_hold_a_client_at_a_target_that_is_gone(clock, rng):
    """When its target is not eligible any more, a client gets one that is."""
    chooser = Chooser(Mode.ROUND_ROBIN, clock=clock, rng=rng)
    first = chooser.pick(STICKY, "127.0.1.1")
    others = tuple(target for target in TARGETS if target != first)
    shrunk = PortRule("TCP", 30080, targets=others, affinity_seconds=60)
    assert chooser.pick(shrunk, "127.0.1.1") in others


def test_without_targets_nothing_is_chosen(clock, rng):
    """No target, no connection, in both modes."""
    for mode in Mode:
        assert Chooser(mode, clock=clock, rng=rng).pick(PortRule("TCP", 30080), "127.0.1.1") is None
