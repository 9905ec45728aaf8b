"""Each fault switch does what its name says, and only that."""

from __future__ import annotations

import http.client
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lbctl.sandbox.api import ApiServer
    from tests.kube_servers import Kube

SERVICES = "/api/v1/namespaces/default/services"
WEB = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
LOST = (http.client.HTTPException, OSError)


@pytest.fixture
def api(server: Kube) -> ApiServer:
    """The embedded server itself."""
    assert server.embedded is not None
    return server.embedded


@pytest.mark.parametrize("code", [409, 429, 500, 503])
def test_a_refusal_hits_the_nth_write_and_does_nothing(server: Kube, api: ApiServer, code: int) -> None:
    """The second creation is refused with the code, the first and third pass, and the refused one left nothing."""
    api.faults.answer(code, verb="create", skip=1, retry_after_seconds=7 if code == 429 else 0)
    answers = [server.send("POST", SERVICES, WEB | {"metadata": {"name": name}}) for name in ("a", "b", "c")]
    assert [answer.code for answer in answers] == [201, code, 201]
    assert answers[1].headers.get("Retry-After") == ("7" if code == 429 else None)
    assert server.send("GET", f"{SERVICES}/b").code == 404


def test_a_refusal_can_be_aimed_at_a_path(server: Kube, api: ApiServer) -> None:
    """Only requests whose path matches are refused, as often as told."""
    api.faults.answer(503, path=r"/services/web$", times=2)
    server.send("POST", SERVICES, WEB)
    assert [server.send("GET", f"{SERVICES}/web").code for _ in range(3)] == [503, 503, 200]


def test_a_lost_answer_was_carried_out(server: Kube, api: ApiServer) -> None:
    """The client sees a broken connection, and the object is there."""
    api.faults.lose_answer(verb="create")
    with pytest.raises(LOST):
        server.send("POST", SERVICES, WEB)
    assert server.send("GET", f"{SERVICES}/web").code == 200
    assert api.journal.count("create", 0) == 1


def test_a_delayed_request_is_answered_later(server: Kube, api: ApiServer) -> None:
    """The answer takes at least as long as the delay; other verbs are not held up."""
    api.faults.delay(0.3, verb="list", times=1)
    start = time.monotonic()
    assert server.send("GET", f"{SERVICES}/kubernetes").code == 200
    assert time.monotonic() - start < 0.3
    start = time.monotonic()
    assert server.send("GET", SERVICES).code == 200
    assert time.monotonic() - start >= 0.3


def broken_off(server: Kube, path: str, first: threading.Event | None = None) -> bytes:
    """What arrived of a stream that did not end in good order; `first` is set when it began."""
    connection = server.connect()
    connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
    response = connection.getresponse()
    try:
        begun = response.readline()
        if first is not None:
            first.set()
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
        return begun + caught.value.partial
    finally:
        response.close()
        connection.close()


def test_dropped_connections_end_a_watch_without_goodbye(server: Kube, api: ApiServer) -> None:
    """The stream breaks off after whole lines, and a new connection is welcome."""
    begun = threading.Event()
    dropper = threading.Thread(target=lambda: begun.wait(5) and api.faults.drop_connections())
    dropper.start()
    assert broken_off(server, f"{SERVICES}?watch=1", begun).startswith(b'{"type":"ADDED"')
    dropper.join(5)
    assert server.send("GET", SERVICES).code == 200


def test_a_stalled_watch_is_silent_and_catches_up(server: Kube, api: ApiServer) -> None:
    """Nothing arrives while watches are stalled, not even bookmarks; afterwards everything does."""
    with server.watching(f"{SERVICES}?watch=1&allowWatchBookmarks=true", seconds=5) as events:
        assert next(events)["object"]["metadata"]["name"] == "kubernetes"
        seen: list[str] = []
        with api.faults.stalled_watches():
            reader = threading.Thread(target=lambda: seen.append(_next_object(events)))
            server.send("POST", SERVICES, WEB)
            reader.start()
            reader.join(0.5)
            assert reader.is_alive()
        reader.join(5)
    assert seen == ["web"]


def _next_object(events) -> str:
    return next(event["object"]["metadata"]["name"] for event in events if event["type"] != "BOOKMARK")


def test_a_torn_watch_ends_in_the_middle_of_a_line(server: Kube, api: ApiServer) -> None:
    """The client gets half a line of JSON and then a broken connection."""
    server.send("POST", SERVICES, WEB)
    api.faults.tear_watch()
    torn = broken_off(server, f"{SERVICES}?watch=1")
    assert torn.startswith(b'{"type":"ADDED"')
    assert not torn.endswith(b"\n")


def test_a_server_without_watch_lists_refuses_them(server: Kube, api: ApiServer) -> None:
    """SendInitialEvents gets 422, as before the feature."""
    api.faults.watch_list = "refuse"
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    answer = server.send("GET", f"{SERVICES}?{query}")
    assert (answer.code, answer.body["reason"]) == (422, "Invalid")


def test_a_server_may_ignore_watch_lists(server: Kube, api: ApiServer) -> None:
    """The watch works, but no bookmark ever marks the end of the initial events."""
    api.faults.watch_list = "ignore"
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1"
    with server.watching(f"{SERVICES}?{query}") as events:
        seen = list(events)
    assert seen[0]["type"] == "ADDED"
    assert not [event for event in seen if "annotations" in event["object"]["metadata"] and event["type"] == "BOOKMARK"]


def test_an_unreachable_server_refuses_connections_and_comes_back(server: Kube, api: ApiServer) -> None:
    """Connections are refused for a while; afterwards the same address answers with the same objects."""
    server.send("POST", SERVICES, WEB)
    with api.faults.unreachable(), pytest.raises(ConnectionRefusedError):
        server.send("GET", SERVICES)
    assert server.send("GET", f"{SERVICES}/web").code == 200


def test_cleared_faults_are_gone(server: Kube, api: ApiServer) -> None:
    """After clearing, nothing that was set hits."""
    api.faults.answer(500, times=-1)
    assert server.send("GET", SERVICES).code == 500
    api.faults.clear()
    assert server.send("GET", SERVICES).code == 200


def test_the_journal_tells_who_asked_for_what(server: Kube, api: ApiServer) -> None:
    """Verb, path, user agent and code of each request are kept and counted."""
    server.send("GET", f"{SERVICES}/none", User_Agent="lbctl/1")
    (line,) = api.journal.lines(verb="get", containing="/services/none")
    assert (line.user_agent, line.code) == ("lbctl/1", 404)
    assert api.journal.count("get", 404) == 1
