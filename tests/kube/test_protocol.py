"""The rules of listing and watching, one by one, without a server."""

from __future__ import annotations

import random

import pytest

from lbctl.errors import KubeError, KubeThrottled, KubeUnreachable
from lbctl.kube.protocol import Backoff, Figures, Phase, WatchProtocol

EXPIRED = KubeError("too old resource version", status=410)
BROKEN = KubeUnreachable("the connection broke")
SELECTOR = "spec.type=LoadBalancer"


def protocol(*, field_selector: str = "", seed: int = 1) -> WatchProtocol:
    """A protocol before its first request."""
    return WatchProtocol(rng=random.Random(seed), field_selector=field_selector)


def watching(*, version: str = "7", now: float = 1000.0) -> WatchProtocol:
    """A protocol that is loaded up to `version` and has its watch open."""
    loaded = protocol()
    loaded.ask(now)
    loaded.on_open(now)
    assert loaded.on_bookmark(now, version, ends_list=True)
    loaded.on_loaded(now)
    return loaded


def listing() -> WatchProtocol:
    """A protocol whose server has refused streamed lists."""
    refused = protocol()
    refused.ask(0.0)
    refused.on_failure(0.0, KubeError("unknown parameter", status=422))
    return refused


@pytest.mark.spec("SC-085")
def test_the_first_request_is_a_streamed_list():
    """The first request asks for all objects, an end mark and bookmarks, as a consistent read of no given version."""
    ask = protocol().ask(0.0)
    assert ask.phase is Phase.STREAM_LIST
    assert dict(ask.query) | {"timeoutSeconds": ""} == {
        "watch": "1",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "",
    }


@pytest.mark.parametrize("code", [400, 422])
def test_a_refused_streamed_list_becomes_pages_for_good(code):
    """A server that does not know streamed lists is asked for pages at once, and never again for a stream."""
    asked = protocol()
    asked.ask(0.0)
    asked.on_failure(0.0, KubeError("invalid", status=code))
    assert asked.wait_seconds(2.0) == 0.0
    assert asked.ask(2.0).phase is Phase.LIST
    assert asked.on_page("5", "")
    asked.on_loaded(0.0)
    asked.ask(3.0)
    asked.on_failure(3.0, EXPIRED)
    assert asked.ask(9.0).phase is Phase.LIST


@pytest.mark.spec("SC-085")
def test_a_silent_streamed_list_becomes_pages():
    """Ten seconds without an object and without the end mark: the server has ignored the parameter."""
    asked = protocol()
    asked.ask(0.0)
    asked.on_open(0.0)
    asked.on_object(5.0, "3", added=True)
    assert not asked.lists_in_vain(14.9)
    assert asked.lists_in_vain(15.0)
    asked.on_failure(15.5, BROKEN)
    assert asked.ask(15.5).phase is Phase.LIST


def test_changes_do_not_prolong_a_streamed_list():
    """Heartbeats of a busy cluster do not hide that the end mark never comes."""
    asked = protocol()
    asked.ask(0.0)
    asked.on_open(0.0)
    for second in range(1, 11):
        asked.on_object(float(second), str(second), added=False)
        asked.on_bookmark(float(second), str(second), ends_list=False)
    assert asked.lists_in_vain(10.0)


def test_a_server_that_cannot_be_reached_keeps_its_streamed_list():
    """No connection says nothing about what the server knows."""
    asked = protocol()
    asked.ask(0.0)
    asked.on_failure(20.0, BROKEN)
    assert asked.ask(60.0).phase is Phase.STREAM_LIST


def test_an_unknown_field_selector_is_dropped():
    """A server that cannot select by type is asked for everything, still as a stream."""
    asked = protocol(field_selector=SELECTOR)
    assert asked.ask(0.0).query["fieldSelector"] == SELECTOR
    asked.on_failure(0.0, KubeError("field label not supported: spec.type", status=400))
    again = asked.ask(1.0)
    assert again.phase is Phase.STREAM_LIST
    assert "fieldSelector" not in again.query
    assert asked.field_selector == ""


def test_an_unknown_field_selector_is_dropped_from_lists_too():
    """On an older server the stream is refused first, then the selector."""
    asked = protocol(field_selector=SELECTOR)
    asked.ask(0.0)
    asked.on_failure(0.0, KubeError("invalid", status=422))
    asked.ask(0.0)
    asked.on_failure(0.0, KubeError("field label not supported: spec.type", status=400))
    assert dict(asked.ask(0.0).query) == {"limit": "500"}


def test_pages_follow_each_other():
    """A list is read by its continue tokens, and only the last page completes it."""
    asked = listing()
    assert dict(asked.ask(0.0).query) == {"limit": "500"}
    assert not asked.on_page("9", "next")
    assert dict(asked.ask(0.0).query) == {"limit": "500", "continue": "next"}
    assert not asked.synced
    assert asked.on_page("9", "")
    asked.on_loaded(0.0)
    assert asked.synced
    assert asked.ask(0.0).query["resourceVersion"] == "9"


@pytest.mark.spec("SC-089")
def test_an_expired_continue_token_leads_to_one_full_list():
    """The rest of an expired list is not taken; everything is read again in one answer."""
    asked = listing()
    asked.ask(0.0)
    asked.on_page("9", "next")
    asked.ask(0.0)
    asked.on_failure(0.0, EXPIRED)
    assert dict(asked.ask(5.0).query) == {}
    asked.on_page("12", "")
    asked.on_loaded(0.0)
    asked.ask(6.0)
    asked.on_failure(6.0, EXPIRED)
    assert dict(asked.ask(20.0).query) == {"limit": "500"}


def test_a_page_that_got_no_answer_is_asked_for_again():
    """A broken connection in the middle of a list costs that page, not the list."""
    asked = listing()
    asked.ask(0.0)
    asked.on_page("9", "next")
    asked.ask(0.0)
    asked.on_failure(0.0, BROKEN)
    assert asked.ask(5.0).query["continue"] == "next"


def test_objects_of_an_incomplete_list_do_not_move_the_version():
    """Only a complete load may be continued from."""
    asked = protocol()
    asked.ask(0.0)
    asked.on_open(0.0)
    asked.on_object(0.0, "5", added=True)
    asked.on_bookmark(0.0, "6", ends_list=False)
    assert asked.resource_version == ""
    assert not asked.synced


@pytest.mark.spec("SC-084")
def test_bookmarks_and_objects_move_the_version():
    """A watch goes on from the newest version that an object or a bookmark told."""
    open_watch = watching(version="7")
    open_watch.on_object(1001.0, "8", added=False)
    open_watch.on_bookmark(1600.0, "90", ends_list=False)
    open_watch.on_end(1600.0)
    ask = open_watch.ask(1600.0)
    assert ask.phase is Phase.WATCH
    assert ask.query["resourceVersion"] == "90"


def test_the_time_of_a_watch_is_spread():
    """Watches end after 240 to 300 seconds, so that a thousand of them do not end together."""
    times = {int(protocol(seed=seed).ask(0.0).query["timeoutSeconds"]) for seed in range(200)}
    assert min(times) >= 240
    assert max(times) <= 300
    assert len(times) > 40


@pytest.mark.spec("SC-086")
def test_silence_is_bounded_by_what_the_server_has_shown():
    """90 s once a bookmark came, 150 s before the first, and the watch's own time and 10 s without bookmarks."""
    by_pages = listing()
    by_pages.ask(0.0)
    by_pages.on_page("9", "")
    by_pages.on_loaded(0.0)
    ask = by_pages.ask(0.0)
    assert ask.read_seconds == int(ask.query["timeoutSeconds"]) + 10
    streamed = watching()
    assert streamed.silence_seconds == 150.0
    streamed.on_bookmark(1060.0, "8", ends_list=False)
    assert streamed.silence_seconds == 90.0
    assert streamed.ask(1100.0).read_seconds == 90.0


def test_a_watch_that_ends_in_time_is_opened_again_at_once():
    """The normal end of a watch is no failure, but there is never more than one watch a second."""
    open_watch = watching(now=1000.0)
    open_watch.on_end(1270.0)
    assert open_watch.wait_seconds(1270.0) == 0.0
    open_watch.ask(1270.0)
    open_watch.on_open(1270.0)
    open_watch.on_object(1270.1, "8", added=False)
    open_watch.on_end(1270.2)
    assert open_watch.wait_seconds(1270.2) == pytest.approx(0.8)


def test_a_watch_that_ends_at_once_is_a_failure():
    """A server that accepts watches and drops them does not get one a second for ever."""
    open_watch = watching(now=0.0)
    now, opened = 300.0, 0
    while now < 420.0:
        open_watch.ask(now)
        open_watch.on_open(now)
        open_watch.on_end(now + 0.1)
        opened += now >= 360.0
        now += 0.1 + open_watch.wait_seconds(now + 0.1)
    assert 1 <= opened <= 3


@pytest.mark.spec("SC-082")
def test_an_expired_version_is_never_used_again():
    """After 410 the next request is a new load."""
    open_watch = watching(version="7")
    open_watch.on_failure(1001.0, EXPIRED)
    assert open_watch.wait_seconds(1001.0) >= 0.8
    ask = open_watch.ask(1003.0)
    assert ask.phase is Phase.STREAM_LIST
    assert "resourceVersion" not in ask.query
    assert open_watch.synced


@pytest.mark.parametrize("error", [BROKEN, KubeThrottled("slow down", status=429), KubeError("no", status=403)])
def test_a_passing_failure_keeps_the_version(error):
    """A broken connection, throttling or a missing right costs a pause, not a new load."""
    open_watch = watching(version="7")
    open_watch.on_failure(1001.0, error)
    assert open_watch.ask(1003.0).query["resourceVersion"] == "7"


def test_server_errors_keep_the_version_three_times():
    """A server that fails on every watch from this version gets a new load in the end."""
    open_watch = watching()
    phases = []
    for second in range(4):
        open_watch.on_failure(1000.0 + second, KubeUnreachable("internal", status=500))
        phases.append(open_watch.ask(1000.0 + second).phase)
    assert phases == [Phase.WATCH, Phase.WATCH, Phase.WATCH, Phase.STREAM_LIST]


@pytest.mark.spec("SC-087")
def test_the_servers_own_pause_is_respected():
    """429 with Retry-After 7 means at least seven seconds."""
    open_watch = watching()
    open_watch.on_failure(1001.0, KubeThrottled("slow down", status=429, after_seconds=7.0))
    assert open_watch.wait_seconds(1001.0) >= 7.0


def test_pauses_double_up_to_their_bound_and_begin_anew_after_two_healthy_minutes():
    """0.8 s, doubled up to 30 s, each up to doubled by chance; a failure after two good minutes is the first again."""
    backoff = Backoff(random.Random(3), Figures())
    now, bases = 1000.0, [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    for base in bases:
        pause = backoff.pause(now)
        assert base <= pause <= 2 * base
        now += pause
    assert backoff.pause(now + 120.0) <= 1.6


@pytest.mark.spec("SC-083")
@pytest.mark.parametrize("error", [EXPIRED, BROKEN], ids=["expired for ever", "connection refused"])
@pytest.mark.parametrize("seed", range(20))
def test_a_server_in_trouble_is_left_alone(error, seed):
    """After one minute of failures there are at most 18 requests in the next."""
    asked = protocol(seed=seed)
    now, requests = 0.0, 0
    while now < 120.0:
        asked.ask(now)
        requests += now >= 60.0
        asked.on_failure(now, error)
        now += asked.wait_seconds(now)
    assert requests <= 18


def test_the_servers_count_is_asked_for_once_an_hour():
    """Where no selector keeps the server from counting; a difference makes the next request a new load."""
    asked = watching(now=1000.0)
    assert not asked.is_count_due(4599.0)
    assert asked.is_count_due(4600.0)
    asked.on_count(4600.0, differs=False)
    assert not asked.is_count_due(4601.0)
    assert asked.ask(4601.0).phase is Phase.WATCH
    asked.on_count(8200.0, differs=True)
    assert asked.ask(8201.0).phase is Phase.STREAM_LIST


def test_a_narrowed_watch_is_never_counted():
    """The server counts only what no selector narrows."""
    asked = protocol(field_selector="spec.type=LoadBalancer")
    asked.ask(0.0)
    asked.on_open(0.0)
    assert asked.on_bookmark(0.0, "7", ends_list=True)
    asked.on_loaded(0.0)
    assert not asked.is_count_due(10_000.0)
