"""What a watch shows, on any API server: edges of selectors, where it begins, how it ends."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.kube_servers import embedded_kube

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kube_servers import Kube

END = "k8s.io/initial-events-end"
NUMBERS = itertools.count(1)
BALANCER = {"type": "LoadBalancer", "ports": [{"port": 80}]}


@pytest.fixture
def home(kube: Kube) -> str:
    """The path of Services in a namespace of the test's own."""
    name = f"watch-{next(NUMBERS)}"
    assert kube.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).code == 201
    return f"/api/v1/namespaces/{name}/services"


def make(kube: Kube, home: str, name: str, **spec: Any) -> dict[str, Any]:
    """A new Service."""
    answer = kube.send("POST", home, {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]} | spec})
    assert answer.code == 201, answer
    return answer.body


def merge(kube: Kube, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The object after a merge patch."""
    answer = kube.send("PATCH", path, body, Content_Type="application/merge-patch+json")
    assert answer.code == 200, answer
    return answer.body


def revision(kube: Kube, home: str) -> str:
    """The revision of the present."""
    return str(kube.send("GET", home).body["metadata"]["resourceVersion"])


def real_events(events: Iterator[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Type and name of each event that is no bookmark."""
    return ((event["type"], event["object"]["metadata"]["name"]) for event in events if event["type"] != "BOOKMARK")


def test_a_watch_shows_what_comes_after_its_revision(kube: Kube, home: str) -> None:
    """Creation, change and deletion arrive in order, with kind and version, and nothing from before."""
    make(kube, home, "old")
    start = revision(kube, home)
    with kube.watching(f"{home}?watch=1&resourceVersion={start}") as events:
        make(kube, home, "new")
        merge(kube, f"{home}/new", {"metadata": {"labels": {"a": "b"}}})
        gone = kube.send("DELETE", f"{home}/new").body
        seen = list(itertools.islice(events, 3))
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [
        ("ADDED", "new"),
        ("MODIFIED", "new"),
        ("DELETED", "new"),
    ]
    assert seen[0]["object"]["kind"] == "Service"
    assert seen[2]["object"]["metadata"]["uid"] == gone["metadata"]["uid"]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert revisions == sorted(set(revisions))


def test_a_watch_without_revision_begins_with_what_is_there(kube: Kube, home: str) -> None:
    """Present objects come first, as if they were new."""
    make(kube, home, "a")
    make(kube, home, "b")
    with kube.watching(f"{home}?watch=1") as events:
        assert set(itertools.islice(real_events(events), 2)) == {("ADDED", "a"), ("ADDED", "b")}


def test_a_selector_sees_the_edges(kube: Kube, home: str) -> None:
    """A balancer that is none any more is DELETED as it last matched, under the new revision, and ADDED later."""
    start = revision(kube, home)
    query = f"watch=1&fieldSelector=spec.type%3DLoadBalancer&resourceVersion={start}"
    with kube.watching(f"{home}?{query}") as events:
        make(kube, home, "plain")
        make(kube, home, "web", **BALANCER)
        left = merge(kube, f"{home}/web", {"spec": {"type": "ClusterIP"}})
        merge(kube, f"{home}/web", {"metadata": {"labels": {"unseen": "yes"}}})
        merge(kube, f"{home}/web", {"spec": {"type": "LoadBalancer"}})
        seen = list(itertools.islice(events, 3))
    assert [event["type"] for event in seen] == ["ADDED", "DELETED", "ADDED"]
    assert {event["object"]["metadata"]["name"] for event in seen} == {"web"}
    assert seen[1]["object"]["spec"]["type"] == "LoadBalancer"
    assert seen[1]["object"]["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
    assert "deletionTimestamp" not in seen[1]["object"]["metadata"]


def test_labels_select_what_a_watch_shows(kube: Kube, home: str) -> None:
    """A Service that gains the label is ADDED, one that loses it DELETED."""
    make(kube, home, "web")
    start = revision(kube, home)
    with kube.watching(f"{home}?watch=1&labelSelector=seen&resourceVersion={start}") as events:
        merge(kube, f"{home}/web", {"metadata": {"labels": {"seen": "yes"}}})
        merge(kube, f"{home}/web", {"metadata": {"labels": {"seen": None}}})
        assert list(itertools.islice(real_events(events), 2)) == [("ADDED", "web"), ("DELETED", "web")]


def test_initial_events_end_with_a_marked_bookmark(kube: Kube, home: str) -> None:
    """A watch list shows every object, then one bookmark that says so, then what is new."""
    make(kube, home, "a")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with kube.watching(f"{home}?{query}") as events:
        first, mark = itertools.islice(events, 2)
        make(kube, home, "b")
        assert next(real_events(events)) == ("ADDED", "b")
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {END: "true"}
    assert int(mark["object"]["metadata"]["resourceVersion"]) >= int(first["object"]["metadata"]["resourceVersion"])


def test_a_watch_ends_when_its_time_is_over(kube: Kube, home: str) -> None:
    """`timeoutSeconds` ends the stream cleanly."""
    with kube.watching(f"{home}?watch=1&resourceVersion={revision(kube, home)}&timeoutSeconds=1") as events:
        assert list(events) == []


def test_a_revision_to_come_waits(kube: Kube, home: str) -> None:
    """A watch from the future shows nothing of the present."""
    ahead = int(revision(kube, home)) + 1_000_000
    make(kube, home, "web")
    with kube.watching(f"{home}?watch=1&resourceVersion={ahead}&timeoutSeconds=1") as events:
        assert list(events) == []


def test_bookmarks_move_on_while_nothing_is_shown(server: Kube) -> None:
    """On a quiet watch the bookmark's revision follows writes that its selector hides."""
    home = "/api/v1/namespaces/default/services"
    query = "watch=1&fieldSelector=spec.type%3DLoadBalancer&allowWatchBookmarks=true&resourceVersion="
    with server.watching(f"{home}?{query}{revision(server, home)}") as events:
        made = make(server, home, "plain")
        newest = int(made["metadata"]["resourceVersion"])
        marks = (int(event["object"]["metadata"]["resourceVersion"]) for event in events if event["type"] == "BOOKMARK")
        assert next(mark for mark in marks if mark >= newest)


def test_bookmarks_come_only_when_asked_for(server: Kube) -> None:
    """A watch that did not ask gets none, however long it is quiet."""
    home = "/api/v1/namespaces/default/services"
    with server.watching(f"{home}?watch=1&timeoutSeconds=1&resourceVersion={revision(server, home)}") as events:
        assert list(events) == []


def test_a_forgotten_revision_ends_the_watch_with_410_in_the_stream(server: Kube) -> None:
    """The HTTP code is 200; the one line is an ERROR with code 410 and reason Expired."""
    home = "/api/v1/namespaces/default/services"
    start = revision(server, home)
    make(server, home, "web")
    assert server.embedded is not None
    server.embedded.faults.expire_history()
    with server.watching(f"{home}?watch=1&resourceVersion={start}") as events:
        (line,) = events
    assert line["type"] == "ERROR"
    assert (line["object"]["code"], line["object"]["reason"]) == (410, "Expired")
    assert line["object"]["message"].startswith(f"too old resource version: {start} (")


def test_a_short_history_forgets_by_itself() -> None:
    """A watch from before the kept changes gets 410, one from within them goes on."""
    with embedded_kube(bookmark_seconds=0.1, history=2) as server:
        home = "/api/v1/namespaces/default/services"
        names = ["a", "b", "c", "d"]
        revisions = [make(server, home, name)["metadata"]["resourceVersion"] for name in names]
        with server.watching(f"{home}?watch=1&resourceVersion={revisions[0]}") as events:
            assert next(events)["object"]["code"] == 410
        with server.watching(f"{home}?watch=1&resourceVersion={revisions[1]}") as events:
            assert list(itertools.islice(real_events(events), 2)) == [("ADDED", "c"), ("ADDED", "d")]


def test_an_unchanged_write_makes_no_event(kube: Kube, home: str) -> None:
    """After a patch without effect the next event is that of the next real change."""
    made = make(kube, home, "web")
    with kube.watching(f"{home}?watch=1&resourceVersion={made['metadata']['resourceVersion']}") as events:
        merge(kube, f"{home}/web", {"spec": {"type": "ClusterIP"}})
        changed = merge(kube, f"{home}/web", {"metadata": {"labels": {"a": "b"}}})
        assert next(events)["object"]["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


def test_pages_are_of_one_moment(kube: Kube, home: str) -> None:
    """What is written between two pages is in neither of them, and the last page has no token."""
    for name in ("a", "b", "c"):
        make(kube, home, name)
    first = kube.send("GET", f"{home}?limit=2").body
    make(kube, home, "d")
    kube.send("DELETE", f"{home}/c")
    second = kube.send("GET", f"{home}?limit=2&continue={first['metadata']['continue']}").body
    shown = [item["metadata"]["name"] for page in (first, second) for item in page["items"]]
    assert shown == ["a", "b", "c"]
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert not second["metadata"].get("continue")


def test_a_forgotten_page_is_410_with_a_token_for_the_rest(server: Kube) -> None:
    """The Status carries a token that continues at the present, inconsistent with the pages before."""
    home = "/api/v1/namespaces/default/services"
    for name in ("a", "b", "c"):
        make(server, home, name)
    first = server.send("GET", f"{home}?limit=1").body
    assert server.embedded is not None
    server.embedded.faults.expire_history()
    gone = server.send("GET", f"{home}?limit=1&continue={first['metadata']['continue']}")
    assert (gone.code, gone.body["reason"]) == (410, "Expired")
    rest = server.send("GET", f"{home}?continue={gone.body['metadata']['continue']}").body
    assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c", "kubernetes"]


def test_an_exact_revision_shows_the_past(kube: Kube, home: str) -> None:
    """A list at an earlier revision has what was there then."""
    make(kube, home, "a")
    then = revision(kube, home)
    kube.send("DELETE", f"{home}/a")
    past = kube.send("GET", f"{home}?resourceVersion={then}&resourceVersionMatch=Exact").body
    assert [item["metadata"]["name"] for item in past["items"]] == ["a"]
    assert kube.send("GET", home).body["items"] == []


def test_one_object_can_be_watched_by_its_path(kube: Kube, home: str) -> None:
    """Below `/watch/` the path of an object shows that object alone."""
    make(kube, home, "a")
    make(kube, home, "b")
    path = home.replace("/api/v1/", "/api/v1/watch/")
    with kube.watching(f"{path}/b?timeoutSeconds=1") as events:
        assert list(real_events(events)) == [("ADDED", "b")]


def test_a_watch_can_show_tables(kube: Kube, home: str) -> None:
    """`kubectl get -w` gets a row an event, with the columns of the kind."""
    make(kube, home, "a", **BALANCER)
    connection = kube.connect()
    headers = {"Authorization": f"Bearer {kube.token}", "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    connection.request("GET", f"{home}?watch=1&timeoutSeconds=1", headers=headers)
    response = connection.getresponse()
    event = json.loads(response.readline())
    connection.close()
    response.close()
    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"][:2] == ["a", "LoadBalancer"]


def test_unknown_fields_are_warned_about(kube: Kube, home: str) -> None:
    """The Warning header names each field that was dropped, unless the client asked for silence."""
    body = {"metadata": {"name": "a"}, "spec": {"fooo": 1, "ports": [{"port": 80}]}}
    loud = kube.send("POST", f"{home}?dryRun=All", body)
    quiet = kube.send("POST", f"{home}?dryRun=All&fieldValidation=Ignore", body)
    assert loud.headers["Warning"] == r'299 - "unknown field \"spec.fooo\""'
    assert "Warning" not in quiet.headers


def test_a_patch_that_races_is_refused_or_wins_whole(kube: Kube, home: str) -> None:
    """Of two writers at one revision exactly one succeeds."""
    made = make(kube, home, "a")
    body = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"], "labels": {"a": "b"}}}
    headers = {"Content_Type": "application/merge-patch+json"}
    with ThreadPoolExecutor(4) as pool:
        bodies = [body | {"metadata": body["metadata"] | {"labels": {"writer": str(i)}}} for i in range(4)]
        codes = list(pool.map(lambda it: kube.send("PATCH", f"{home}/a", it, **headers).code, bodies))
    assert sorted(codes) == [200, 409, 409, 409]
