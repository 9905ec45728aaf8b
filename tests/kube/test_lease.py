"""The rules of leading, one by one, without a server."""

from __future__ import annotations

import datetime as dt

import pytest

from lbctl.clock import ManualClock
from lbctl.errors import LostLease
from lbctl.kube.fence import LeaseFence, NoLease
from lbctl.kube.lease import Lease, LeaseSpec, LeaseState, LeaseTimes, Move, micro_time

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def lease(holder: str = "other", *, renewed: str = "t1", transitions: int = 4, seconds: int = 15) -> Lease:
    """The Lease as somebody's record has it."""
    spec = LeaseSpec(
        holder_identity=holder,
        lease_duration_seconds=seconds,
        acquire_time="t0",
        renew_time=renewed,
        lease_transitions=transitions,
    )
    return Lease(metadata={"name": "lbctl", "resourceVersion": "5"}, spec=spec)


def candidate() -> LeaseState:
    """A candidate that has seen nothing yet."""
    return LeaseState("me", LeaseTimes())


def test_a_missing_lease_is_taken():
    """Nobody has to be waited for; the first holder is no transition."""
    state = candidate()
    state.observe(0.0, None)
    assert state.decide(0.0) is Move.TAKE
    assert state.build_record(NOON)["leaseTransitions"] == 0


def test_a_holder_is_respected_for_its_own_time_since_the_last_sign():
    """Expiry counts from when we saw the record change, whatever its times say, and for as long as it claims."""
    state = candidate()
    state.observe(100.0, lease(renewed="1999-01-01T00:00:00.000000Z", seconds=20))
    assert state.decide(119.9) is Move.WAIT
    state.observe(110.0, lease(renewed="1999-01-01T00:00:00.000000Z", seconds=20))
    assert state.decide(119.9) is Move.WAIT
    assert state.decide(120.0) is Move.TAKE
    state.observe(119.0, lease(renewed="1998-01-01T00:00:00.000000Z", seconds=20))
    assert state.decide(120.0) is Move.WAIT
    assert state.holder == "other"


@pytest.mark.spec("SC-081")
def test_a_take_over_counts_as_a_transition():
    """Holder and acquire time are new, transitions rise by one, times have six digits."""
    state = candidate()
    state.observe(0.0, lease(transitions=4))
    assert state.build_record(NOON) == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T12:00:00.000000Z",
        "renewTime": "2026-01-01T12:00:00.000000Z",
        "leaseTransitions": 5,
    }


def test_a_renewal_moves_nothing_but_its_time():
    """The acquire time and the transitions stay while we lead."""
    state = candidate()
    state.observe(0.0, lease("me", transitions=4))
    assert state.decide(1000.0) is Move.RENEW
    record = state.build_record(NOON)
    assert (record["acquireTime"], record["leaseTransitions"]) == ("t0", 4)
    assert record["renewTime"] == micro_time(NOON)


def test_a_released_lease_is_free_at_once():
    """No holder means no waiting; transitions count on."""
    state = candidate()
    state.observe(0.0, lease("", transitions=4))
    assert state.decide(0.0) is Move.TAKE
    assert state.build_record(NOON)["leaseTransitions"] == 5
    release = state.build_release(NOON)
    assert (release["holderIdentity"], release["leaseDurationSeconds"], release["leaseTransitions"]) == ("", 1, 4)


@pytest.mark.spec("SC-081")
@pytest.mark.parametrize(("microsecond", "text"), [(0, ".000000Z"), (7, ".000007Z"), (120000, ".120000Z")])
def test_times_have_exactly_six_digits_of_fraction(microsecond, text):
    """Also the one renewal in a million that falls on a full second."""
    assert micro_time(NOON.replace(microsecond=microsecond)).endswith(text)


@pytest.mark.spec("SC-080")
def test_the_fence_closes_by_itself():
    """The fence is open before the deadline, and shut from it on, without anybody noticing anything."""
    clock = ManualClock()
    fence = LeaseFence(clock)
    with pytest.raises(LostLease):
        fence.check()
    fence.open_until(10.0)
    clock.advance(9.999)
    fence.check()
    clock.advance(0.001)
    with pytest.raises(LostLease, match="not renewed in time"):
        fence.check()


def test_a_closed_fence_is_closed():
    """After a loss or a release nothing passes, although the time would not be over."""
    fence = LeaseFence(ManualClock())
    fence.open_until(10.0)
    fence.close()
    assert not fence.is_open
    with pytest.raises(LostLease):
        fence.check()


def test_commands_without_a_lease_pass():
    """The operator's word is enough for one run."""
    NoLease().check()
