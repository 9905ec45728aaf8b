"""Leader election between candidates on one API server; each has its own steps, all share a clock."""

from __future__ import annotations

import logging
import random
import re
import threading

import msgspec
import pytest

from lbctl.clock import ManualClock, SystemClock
from lbctl.errors import LostLease
from lbctl.kube.election import Election
from lbctl.kube.fence import LeaseFence
from lbctl.kube.lease import LeaseTimes
from lbctl.kube.rest import MERGE_PATCH
from lbctl.kube.target import LEASES, NAMESPACES
from tests.kube.conftest import SECONDS

MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def clock():
    """A clock that the test moves."""
    return ManualClock()


class Candidate:
    """One process that stands for election."""

    def __init__(self, rest, clock, identity, namespace, *, times=None):
        self.fence = LeaseFence(clock)
        self.election = Election(
            rest=rest,
            clock=clock,
            rng=random.Random(identity),
            fence=self.fence,
            identity=identity,
            name="lbctl",
            namespace=namespace,
            times=times,
        )

    @property
    def leads(self):
        """Whether it leads and may write."""
        return self.election.leading.is_set() and self.fence.is_open


def lease(rest, namespace):
    """The Lease as JSON has it."""
    return msgspec.json.decode(rest.get(LEASES.one("lbctl", namespace=namespace)))


def wait_to_lead(candidate, clock):
    """Seconds until this candidate leads, when nobody else does anything."""
    begin = clock.monotonic()
    while not candidate.leads:
        clock.advance(candidate.election.step())
        assert clock.monotonic() - begin < 60.0
    return clock.monotonic() - begin


@pytest.mark.spec("SC-079")
def test_there_is_one_leader_at_a_time(rest, namespace, clock):
    """The second candidate sees who leads, and stays behind the fence for as long as the first renews."""
    first, second = (Candidate(rest, clock, identity, namespace) for identity in ("first", "second"))
    first.election.step()
    for _ in range(30):
        first.election.step()
        second.election.step()
        assert (first.leads, second.leads) == (True, False)
        with pytest.raises(LostLease):
            second.fence.check()
        clock.advance(2.0)
    assert second.election.holder == "first"


def test_who_waits_says_for_whom(rest, namespace, clock, caplog):
    """A standby names the leader once, and again when another one leads."""
    caplog.set_level(logging.INFO, "lbctl.kube.election")
    first, second, third = (Candidate(rest, clock, name, namespace) for name in ("first", "second", "third"))

    def told():
        return [line for line in caplog.messages if "waits as third" in line]

    first.election.step()
    for _ in range(3):
        third.election.step()
    assert told() == [f"first leads; this process waits as third for {LEASES.right} {namespace}/lbctl"]
    first.election.release()
    second.election.step()
    for _ in range(3):
        third.election.step()
    assert [line.split()[0] for line in told()] == ["first", "second"]


@pytest.mark.spec("SC-079")
def test_a_killed_leader_is_replaced_within_twenty_seconds(rest, namespace, clock):
    """Nothing is released; the candidate waits out the record, not the leader's fence alone."""
    first, second = (Candidate(rest, clock, identity, namespace) for identity in ("first", "second"))
    first.election.step()
    second.election.step()
    waited = wait_to_lead(second, clock)
    assert 15.0 <= waited <= 20.0
    assert not first.fence.is_open


@pytest.mark.spec("SC-079")
def test_a_clean_stop_is_followed_within_three_seconds(rest, namespace, clock):
    """The leader empties the record, so nobody waits it out."""
    first, second = (Candidate(rest, clock, identity, namespace) for identity in ("first", "second"))
    first.election.step()
    clock_of_second = second.election.step()
    first.election.release()
    with pytest.raises(LostLease):
        first.fence.check()
    clock.advance(clock_of_second)
    assert clock_of_second <= 3.0
    second.election.step()
    assert second.leads


@pytest.mark.spec("SC-081")
def test_the_record_is_readable_by_others(rest, namespace, clock):
    """Holder, duration, MicroTimes and rising transitions, as client-go writes them."""
    first, second = (Candidate(rest, clock, identity, namespace) for identity in ("first", "second"))
    first.election.step()
    acquired = lease(rest, namespace)["spec"]
    assert (acquired["holderIdentity"], acquired["leaseDurationSeconds"]) == ("first", 15)
    assert acquired.get("leaseTransitions", 0) == 0
    clock.advance(2.0)
    first.election.step()
    renewed = lease(rest, namespace)["spec"]
    assert renewed["acquireTime"] == acquired["acquireTime"]
    assert renewed["renewTime"] > acquired["renewTime"]
    second.election.step()
    wait_to_lead(second, clock)
    taken = lease(rest, namespace)["spec"]
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("second", 1)
    for spec in (acquired, renewed, taken):
        assert MICRO_TIME.fullmatch(spec["acquireTime"])
        assert MICRO_TIME.fullmatch(spec["renewTime"])
    second.election.release()
    assert lease(rest, namespace)["spec"].get("holderIdentity", "") == ""


@pytest.mark.spec("SC-080")
def test_a_leader_that_is_cut_off_stops_writing_ten_seconds_after_its_last_renewal(own, api, clock):
    """The fence shuts by the clock alone, and the election ends with LostLease."""
    leader = Candidate(own, clock, "first", "kube-system")
    leader.election.step()
    renewed_at = clock.monotonic()
    with api.faults.unreachable():
        for _ in range(9):
            clock.advance(1.0)
            leader.fence.check()
            leader.election.step()
        clock.advance(1.0)
        assert clock.monotonic() - renewed_at == 10.0
        with pytest.raises(LostLease):
            leader.fence.check()
        with pytest.raises(LostLease, match="cannot renew"):
            leader.election.step()
    assert not leader.election.leading.is_set()


def test_a_renewal_counts_from_before_its_request(own, clock):
    """The fence is never open for longer than the server's record is old."""

    class SlowClock(ManualClock):
        """Each look at the time of day costs four seconds, as a slow request would."""

        def now(self):
            self.advance(4.0)
            return super().now()

    slow = SlowClock()
    leader = Candidate(own, slow, "first", "kube-system")
    leader.election.step()
    slow.advance(5.9)
    leader.fence.check()
    slow.advance(0.1)
    with pytest.raises(LostLease):
        leader.fence.check()


def test_a_renewal_whose_answer_was_lost_does_not_cost_the_lease(own, api, clock):
    """The record was written with our name: the next try finds it and goes on."""
    leader = Candidate(own, clock, "first", "kube-system")
    leader.election.step()
    api.faults.lose_answer(verb="update")
    for _ in range(8):
        clock.advance(2.0)
        leader.election.step()
    assert leader.leads


def test_a_lease_that_somebody_else_took_is_lost_at_once(own, clock):
    """Whoever is in the record leads; we say who it is."""
    leader = Candidate(own, clock, "first", "kube-system")
    leader.election.step()
    target = LEASES.one("lbctl", namespace="kube-system")
    own.send("patch", target, body={"spec": {"holderIdentity": "usurper"}}, content_type=MERGE_PATCH)
    clock.advance(2.0)
    with pytest.raises(LostLease, match="its holder is usurper"):
        leader.election.step()
    assert not leader.fence.is_open


def test_a_deleted_lease_is_made_again(own, clock):
    """Somebody cleaned up: the leader goes on."""
    leader = Candidate(own, clock, "first", "kube-system")
    leader.election.step()
    own.send("delete", LEASES.one("lbctl", namespace="kube-system"))
    clock.advance(2.0)
    leader.election.step()
    assert leader.leads


def test_what_others_wrote_on_the_lease_stays(own, clock):
    """Labels of a prepared Lease survive our renewals."""
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lbctl", "labels": {"a": "b"}},
    }
    own.send("create", LEASES.within("kube-system"), body=body)
    leader = Candidate(own, clock, "first", "kube-system")
    leader.election.step()
    clock.advance(2.0)
    leader.election.step()
    assert leader.leads
    assert lease(own, "kube-system")["metadata"]["labels"] == {"a": "b"}


def test_a_stopped_leader_gives_the_lease_back(own):
    """On its own thread: stop, and the record is free."""
    leader = Candidate(own, SystemClock(), "first", "kube-system", times=LeaseTimes(retry_period=0.02))
    stop = threading.Event()
    thread = threading.Thread(target=leader.election.run, args=(stop,))
    thread.start()
    assert leader.election.leading.wait(SECONDS)
    stop.set()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert lease(own, "kube-system")["spec"].get("holderIdentity", "") == ""


def test_a_candidate_waits_for_its_namespace(own, clock):
    """A namespace that does not exist yet is an error to wait out, not to end with."""
    candidate = Candidate(own, clock, "first", "later")
    candidate.election.step()
    assert not candidate.leads
    own.send("create", NAMESPACES, body={"metadata": {"name": "later"}})
    candidate.election.step()
    assert candidate.leads
