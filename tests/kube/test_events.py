"""Events as they arrive in the cluster."""

from __future__ import annotations

import msgspec
import pytest

from lbctl.clock import ManualClock
from lbctl.kube.damping import Reference
from lbctl.kube.events import LONGEST_QUEUE, MOST_TRIES, SOURCE, Recorder
from lbctl.kube.target import EVENTS
from lbctl.model.status import Notice, Severity
from tests.kube.conftest import create_service

FAILED = Notice(Severity.WARNING, "SyncLoadBalancerFailed", "no subnet")


@pytest.fixture
def clock():
    """A clock that the test moves."""
    return ManualClock()


def events(rest, namespace):
    """Our events of the namespace, as JSON has them; a real server tells news of its own there."""
    found = msgspec.json.decode(rest.list(EVENTS.within(namespace)))["items"]
    return [event for event in found if event["source"].get("component") == SOURCE]


@pytest.mark.spec("SC-069")
def test_an_event_is_what_readers_look_for(rest, namespace, clock):
    """Source, object with uid, type, reason and text, so that `kubectl describe` finds it."""
    service = create_service(rest, namespace)
    recorder = Recorder(rest, clock)
    recorder.emit(service, FAILED)
    recorder.drain(clock.monotonic())
    (event,) = events(rest, namespace)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": namespace,
        "name": "web",
        "uid": service.metadata.uid,
    }
    assert event["source"] == {"component": "service-controller"}
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "SyncLoadBalancerFailed", "no subnet")
    assert (event["count"], event["firstTimestamp"]) == (1, "2026-01-01T00:00:00Z")


@pytest.mark.spec("SC-070")
def test_a_hundred_identical_failures_are_one_event_with_a_count(rest, namespace, clock):
    """100 failures in half an hour: one Event object, and at most one write in five minutes."""
    service = create_service(rest, namespace)
    recorder = Recorder(rest, clock)
    for _ in range(100):
        recorder.emit(service, FAILED)
        recorder.drain(clock.monotonic())
        clock.advance(18.0)
    (event,) = events(rest, namespace)
    assert event["count"] == 86
    assert event["lastTimestamp"] > event["firstTimestamp"]
    assert (recorder.stats.created, recorder.stats.raised) == (1, 5)


def test_an_event_on_an_object_without_namespace_is_in_the_default_one(rest, clock):
    """The server wants events of Nodes in the namespace `default`."""
    recorder = Recorder(rest, clock)
    recorder.emit(Reference("v1", "Node", "", "kube-test-node", "u-1"), FAILED)
    recorder.drain(clock.monotonic())
    assert recorder.stats.created == 1
    assert "kube-test-node" in {event["involvedObject"]["name"] for event in events(rest, "default")}


@pytest.mark.spec("SC-045")
@pytest.mark.parametrize("code", [403, 404])
def test_a_refused_event_is_forgotten(own, api, clock, code):
    """A namespace that is being deleted takes no events: that is counted, and the next event is sent."""
    service = create_service(own, "default")
    api.faults.answer(code, verb="create", path="/events")
    recorder = Recorder(own, clock)
    recorder.emit(service, FAILED)
    recorder.emit(service, Notice(Severity.NORMAL, "EnsuredLoadBalancer", "done"))
    recorder.drain(clock.monotonic())
    assert recorder.stats.refused == 1
    assert [event["reason"] for event in events(own, "default")] == ["EnsuredLoadBalancer"]


def test_an_unreachable_server_gets_the_events_later(own, api, clock):
    """What could not be sent is tried again in order, and given up after twelve times."""
    service = create_service(own, "default")
    recorder = Recorder(own, clock)
    recorder.emit(service, FAILED)
    recorder.emit(service, Notice(Severity.NORMAL, "EnsuredLoadBalancer", "done"))
    with api.faults.unreachable():
        recorder.drain(clock.monotonic())
    recorder.drain(clock.monotonic())
    assert recorder.stats.created == 2
    recorder.emit(service, Notice(Severity.NORMAL, "UpdatedLoadBalancer", "lost"))
    with api.faults.unreachable():
        for _ in range(MOST_TRIES):
            recorder.drain(clock.monotonic())
    assert recorder.stats.dropped == 1
    assert len(events(own, "default")) == 2


def test_an_event_that_expired_is_told_again(own, api, clock):
    """The server forgets events after an hour: the count goes on in a new one."""
    service = create_service(own, "default")
    recorder = Recorder(own, clock)
    recorder.emit(service, FAILED)
    recorder.drain(clock.monotonic())
    (event,) = events(own, "default")
    own.send("delete", EVENTS.one(event["metadata"]["name"], namespace="default"))
    clock.advance(4000.0)
    recorder.emit(service, FAILED)
    recorder.drain(clock.monotonic())
    (again,) = events(own, "default")
    assert (again["count"], again["reason"]) == (2, FAILED.reason)


def test_a_full_queue_drops_and_counts(own, clock):
    """Whoever has news is never held up."""
    recorder = Recorder(own, clock)
    about = Reference("v1", "Service", "default", "web", "u-1")
    for number in range(LONGEST_QUEUE + 5):
        recorder.emit(about, Notice(Severity.WARNING, "SyncLoadBalancerFailed", str(number)))
    assert recorder.stats.dropped == 5
