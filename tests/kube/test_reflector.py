"""A reflector against an API server over HTTP."""

from __future__ import annotations

import contextlib
import dataclasses
import random

import msgspec
import pytest

from lbctl.clock import ManualClock, SystemClock
from lbctl.errors import KubeGone
from lbctl.kube.resources import ENDPOINT_SLICE_RESOURCE, NODE_RESOURCE, service_resource
from lbctl.kube.rest import MERGE_PATCH
from lbctl.kube.target import ENDPOINT_SLICES, NODES
from lbctl.kube.watch import Reflector
from lbctl.sandbox.api import ApiServer
from tests.kube.conftest import (
    FINALIZER,
    QUICK,
    Mirror,
    Seen,
    connect,
    create_service,
    delete,
    eventually,
    patch_service,
)

SERVICES = service_resource([FINALIZER])


def node(name: str, **spec: object) -> dict[str, object]:
    """A Node as somebody seeds it."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}


def hidden_service(name: str) -> dict[str, object]:
    """A Service that is no balancer, as somebody seeds it."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


def nodes(api, *names):
    """Seed Nodes on the test's own server."""
    api.store.seed(node(name) for name in names)


def delete_node(rest, name):
    """Delete a Node."""
    rest.send("delete", NODES.one(name))


@pytest.fixture
def clean(rest):
    """Names of Nodes that do not outlive the test on the shared server."""
    names = ["kube-test-a", "kube-test-b"]
    yield names
    for name in names:
        with contextlib.suppress(KubeGone):
            delete_node(rest, name)


@pytest.mark.spec("SC-085")
def test_a_store_follows_the_cluster(rest, clean):
    """What exists, comes, changes and goes is told once each, and the store equals it."""
    first, second = clean
    rest.send("create", NODES, body=node(first, providerID="x://1"))
    with Mirror(rest, NODE_RESOURCE) as mirror:
        seen = mirror.sync()
        old, new = seen.next_about(first)
        assert (old, new.spec.provider_id) == (None, "x://1")
        rest.send("create", NODES, body=node(second))
        assert seen.next_about(second)[0] is None
        body = {"spec": {"unschedulable": True}}
        rest.send("patch", NODES.one(second), body=body, content_type=MERGE_PATCH)
        old, new = seen.next_about(second)
        assert (old.spec.unschedulable, new.spec.unschedulable) == (False, True)
        assert mirror.reflector.store.find(second) == new
        delete_node(rest, second)
        assert seen.next_about(second) == (new, None)
        assert mirror.reflector.store.find(second) is None
        assert mirror.reflector.stats.lists == 0


def test_heartbeats_end_in_the_reflector(own, api):
    """A change that no rule reads is counted and not told, but its version is the store's."""
    nodes(api, "a")
    with Mirror(own, NODE_RESOURCE) as mirror:
        seen = mirror.sync()
        seen.next()
        for beat in range(5):
            body = {"metadata": {"annotations": {"beat": str(beat)}}}
            own.send("patch", NODES.one("a"), body=body, content_type=MERGE_PATCH)
        own.send("patch", NODES.one("a"), body={"metadata": {"labels": {"zone": "z"}}}, content_type=MERGE_PATCH)
        old, new = seen.next()
        assert (old.metadata.annotations["beat"], new.metadata.labels) == ("4", {"zone": "z"})
        assert mirror.reflector.stats.unchanged == 5


def test_news_that_gather_are_all_told_in_their_order(own, api):
    """While the first of them is let lie for a moment, others come; none is lost and none overtakes another."""
    nodes(api, "a")
    with Mirror(own, NODE_RESOURCE) as mirror:
        seen = mirror.sync()
        seen.next()
        for zone in range(20):
            body = {"metadata": {"labels": {"zone": str(zone)}}}
            own.send("patch", NODES.one("a"), body=body, content_type=MERGE_PATCH)
        assert [seen.next()[1].metadata.labels["zone"] for _ in range(20)] == [str(zone) for zone in range(20)]


def test_an_object_that_was_lost_is_found_by_the_servers_count(own, api):
    """Whatever lost it: a store that holds fewer objects than the server counts is loaded again."""
    nodes(api, "a", "b")
    with Mirror(own, NODE_RESOURCE, figures=dataclasses.replace(QUICK, count_pause=0.0)) as mirror:
        seen = mirror.sync()
        assert {seen.next()[1].key, seen.next()[1].key} == {"a", "b"}
        mirror.reflector.store.remove("b")
        api.faults.drop_connections()
        old, new = seen.next()
        assert (old, new.key) == (None, "b")
        assert mirror.reflector.stats.miscounts == 1


@pytest.mark.spec("SC-082")
def test_deletions_behind_an_expired_version_are_noticed(own, api):
    """Who was deleted while the watch was blind and the history was lost is told as gone."""
    nodes(api, "a", "b")
    with Mirror(own, NODE_RESOURCE) as mirror:
        seen = mirror.sync()
        assert {seen.next()[1].key, seen.next()[1].key} == {"a", "b"}
        with api.faults.stalled_watches():
            delete_node(own, "a")
            nodes(api, "c")
            api.faults.expire_history()
            api.faults.drop_connections()
        changes = [seen.next(), seen.next()]
        assert sorted((old and old.key, new and new.key) for old, new in changes if old) == [("a", None)]
        assert [new.key for old, new in changes if new] == ["c"]
        assert {view.key for view in mirror.reflector.store} == {"b", "c"}
        assert seen.quiet


@pytest.mark.spec("SC-084")
def test_bookmarks_keep_a_quiet_watch_resumable(tmp_path):
    """A watch whose selector hides all that happens goes on after its last event is long forgotten."""
    with ApiServer(tls=False, bookmark_seconds=0.1, history=10) as api:
        own = connect(api.kubeconfig(), tmp_path)
        with Mirror(own, SERVICES) as mirror:
            seen = mirror.sync()
            for batch in range(4):
                api.store.seed(hidden_service(f"hidden-{batch}-{number}") for number in range(8))
                eventually(lambda: mirror.reflector.resource_version == str(api.store.revision()))
            api.faults.drop_connections()
            eventually(lambda: mirror.reflector.stats.failures == 1)
            create_service(own, "default")
            assert seen.next()[1].metadata.name == "web"
            stats = mirror.reflector.stats
            assert (stats.failures, stats.lists, stats.watches) == (1, 0, 2), stats.last_error


@pytest.mark.spec("SC-085")
@pytest.mark.parametrize("answer", ["refuse", "ignore"])
def test_a_server_without_streamed_lists_is_listed(own, api, answer):
    """Refused or not understood, the streamed list is replaced by pages."""
    api.faults.watch_list = answer
    nodes(api, *(f"n{number}" for number in range(3)))
    figures = dataclasses.replace(QUICK, list_silence=0.2, list_silence_slack=0.1)
    with Mirror(own, NODE_RESOURCE, figures=figures) as mirror:
        mirror.sync()
        assert len(mirror.reflector.store) == 3
        assert mirror.reflector.stats.lists == 1
        nodes(api, "later")
        assert "later" in {mirror.seen.next()[1].key for _ in range(4)}


@pytest.mark.spec("SC-086")
def test_a_half_open_connection_is_left(own, api):
    """A silent peer is given up after the bookmarks' time, and what happened meanwhile is told."""
    figures = dataclasses.replace(QUICK, bookmark_silence=0.4, first_bookmark_silence=0.4)
    with Mirror(own, NODE_RESOURCE, figures=figures) as mirror:
        seen = mirror.sync()
        with api.faults.stalled_watches():
            nodes(api, "a")
            eventually(lambda: mirror.reflector.stats.failures >= 1)
            assert "no answer from the server in time" in mirror.reflector.stats.last_error
        assert seen.next()[1].key == "a"
        assert mirror.reflector.stats.lists == 0


@pytest.mark.spec("SC-087")
def test_a_throttled_watch_waits_as_long_as_it_is_told(api, tmp_path):
    """429 with Retry-After 7: the next request comes seven seconds later, or more."""
    api.faults.answer(429, verb="watch", retry_after_seconds=7)
    clock = ManualClock()
    rest = connect(api.kubeconfig(), tmp_path, clock=clock)
    reflector = Reflector(NODE_RESOURCE, rest=rest, clock=clock, rng=random.Random(1), listener=Seen())
    reflector.step()
    assert reflector.stats.failures == 1
    assert reflector._protocol.wait_seconds(clock.monotonic()) >= 7.0


@pytest.mark.spec("SC-089")
def test_an_expired_continue_token_recovers(own, api):
    """The history is lost between two pages: the store is complete all the same."""
    api.faults.watch_list = "refuse"
    nodes(api, *(f"n{number}" for number in range(700)))
    reflector = Reflector(NODE_RESOURCE, rest=own, clock=SystemClock(), rng=random.Random(1), listener=Seen())
    reflector.step()
    reflector.step()
    nodes(api, "between")
    api.faults.expire_history()
    reflector.step()
    assert "410" in reflector.stats.last_error
    assert not reflector.synced
    reflector.step()
    assert reflector.synced
    assert len(reflector.store) == 701


def test_a_torn_line_costs_a_new_connection_only(own, api):
    """A watch cut in the middle of a line goes on from the last whole one."""
    with Mirror(own, NODE_RESOURCE) as mirror:
        seen = mirror.sync()
        api.faults.tear_watch()
        nodes(api, "a", "b")
        assert [seen.next()[1].key, seen.next()[1].key] == ["a", "b"]
        assert mirror.reflector.stats.lists == 0


def test_a_damaged_object_does_not_stop_the_others(own, api):
    """What cannot be decoded is skipped and counted, in lists and in watches; what was known of it stays."""
    nodes(api, "a", "b")
    with Mirror(own, NODE_RESOURCE) as mirror:
        seen = mirror.sync()
        assert {seen.next()[1].key, seen.next()[1].key} == {"a", "b"}
        api.store.seed([node("a", taints="none"), node("c")])
        assert seen.next()[1].key == "c"
        assert mirror.reflector.stats.undecodable == 1
        api.faults.expire_history()
        with api.faults.stalled_watches():
            delete_node(own, "b")
            api.faults.expire_history()
            api.faults.drop_connections()
        assert seen.next()[0].key == "b"
        assert {view.key for view in mirror.reflector.store} == {"a", "c"}


def test_a_service_that_leaves_the_selector_with_our_finalizer_is_not_gone(rest, namespace):
    """A change of type arrives as a deletion; the live object is told, and stays until its finalizer is removed."""
    service = create_service(rest, namespace, "leaves", finalizers=(FINALIZER,))
    with Mirror(rest, SERVICES) as mirror:
        seen = mirror.sync()
        seen.next_about("leaves")
        patch_service(rest, service, {"spec": {"type": "ClusterIP"}})
        old, new = seen.next_about("leaves")
        assert (old.spec.type, new.spec.type) == ("LoadBalancer", "ClusterIP")
        assert mirror.reflector.store.find(service.key) == new
        without = patch_service(rest, service, {"metadata": {"finalizers": []}})
        mirror.reflector.learn(without)
        assert seen.next_about("leaves") == (new, None)
        assert mirror.reflector.store.find(service.key) is None


def test_a_service_that_leaves_the_selector_without_finalizer_is_gone(rest, namespace):
    """Nothing of it concerns us any more; the last that was seen of it is told."""
    service = create_service(rest, namespace, "bare")
    with Mirror(rest, SERVICES) as mirror:
        seen = mirror.sync()
        seen.next_about("bare")
        patch_service(rest, service, {"spec": {"type": "ClusterIP"}})
        assert seen.next_about("bare")[1] is None


def test_a_change_of_type_behind_an_expired_version_is_noticed(own, api):
    """A Service that is missing from the new list is looked up before it counts as gone."""
    service = create_service(own, "default", finalizers=(FINALIZER,))
    with Mirror(own, SERVICES) as mirror:
        seen = mirror.sync()
        seen.next()
        with api.faults.stalled_watches():
            patch_service(own, service, {"spec": {"type": "ClusterIP"}})
            api.faults.expire_history()
            api.faults.drop_connections()
        old, new = seen.next()
        assert (old.spec.type, new.spec.type) == ("LoadBalancer", "ClusterIP")


def test_a_load_that_cannot_prove_a_deletion_is_made_again(own, api):
    """While the look-up of a missing Service fails, nothing is told and nothing is taken out."""
    service = create_service(own, "default", finalizers=(FINALIZER,))
    with Mirror(own, SERVICES) as mirror:
        seen = mirror.sync()
        seen.next()
        with api.faults.stalled_watches():
            patch_service(own, service, {"spec": {"type": "ClusterIP"}})
            api.faults.expire_history()
            api.faults.answer(500, verb="get", path="/services/web", times=2)
            api.faults.drop_connections()
        old, new = seen.next()
        assert (old.spec.type, new.spec.type) == ("LoadBalancer", "ClusterIP")
        assert seen.quiet


def test_a_deletion_that_we_finished_costs_no_look_up(own, api):
    """The reply to the removal of the last finalizer is proof enough: no GET, and the news is told once."""
    service = create_service(own, "default", finalizers=(FINALIZER,))
    with Mirror(own, SERVICES) as mirror:
        seen = mirror.sync()
        seen.next()
        delete(own, service)
        ending = seen.next()[1]
        assert ending.metadata.deletion_timestamp
        api.journal.clear()
        with api.faults.stalled_watches():
            patch_service(own, service, {"metadata": {"finalizers": []}})
            meta = msgspec.structs.replace(ending.metadata, finalizers=())
            mirror.reflector.learn(msgspec.structs.replace(ending, metadata=meta))
        assert seen.next() == (ending, None)
        create_service(own, "default", "later")
        assert seen.next()[1].metadata.name == "later"
        assert api.journal.lines(verb="get") == []


def test_a_recreated_service_is_another_one(own, api):
    """Deleted and made anew under its name: the old one is told as gone, then the new one as new."""
    old = create_service(own, "default")
    with Mirror(own, SERVICES) as mirror:
        seen = mirror.sync()
        seen.next()
        with api.faults.stalled_watches():
            delete(own, old)
            new = create_service(own, "default")
        assert [seen.next(), seen.next()] == [(old, None), (None, new)]


def test_what_was_learned_is_not_undone_by_an_older_event(own, api):
    """The end of the old Service, told late, takes nothing from the new one that we know already."""
    old = create_service(own, "default")
    with Mirror(own, SERVICES) as mirror:
        seen = mirror.sync()
        seen.next()
        with api.faults.stalled_watches():
            delete(own, old)
            new = create_service(own, "default")
            mirror.reflector.learn(new)
            assert seen.next() == (old, new)
        create_service(own, "default", "later")
        assert seen.next()[1].metadata.name == "later"
        assert mirror.reflector.store.find(new.key) == new


def test_a_service_that_cannot_be_read_is_not_gone(own, api):
    """When the look-up of a vanished Service brings something undecodable, what we knew stays."""
    service = create_service(own, "default", finalizers=(FINALIZER,))
    with Mirror(own, SERVICES) as mirror:
        seen = mirror.sync()
        seen.next()
        damaged = hidden_service("web")
        damaged["spec"] |= {"selector": "none"}
        api.store.seed([damaged])
        create_service(own, "default", "later")
        assert seen.next()[1].metadata.name == "later"
        assert mirror.reflector.store.find(service.key).same_as(service)


def test_a_server_that_cannot_select_by_type_is_read_whole(own, api):
    """On 400 the selector is dropped and Services are filtered here, edges included."""
    api.faults.answer(400, verb="watch")
    api.faults.answer(400, verb="list")
    service = create_service(own, "default", finalizers=(FINALIZER,))
    with Mirror(own, SERVICES) as mirror:
        seen = mirror.sync()
        assert [view.key for view in mirror.reflector.store] == ["default/web"]
        seen.next()
        patch_service(own, service, {"spec": {"type": "ClusterIP"}})
        assert seen.next()[1].spec.type == "ClusterIP"
        patch_service(own, service, {"metadata": {"finalizers": []}})
        assert seen.next()[1] is None
        assert len(mirror.reflector.store) == 0


def test_a_failing_listener_does_not_stop_the_mirror(own, api):
    """The fault is counted, the store goes on."""

    class Broken(Seen):
        def on_change(self, *_):
            raise ValueError

    with Mirror(own, NODE_RESOURCE, seen=Broken()) as mirror:
        mirror.sync()
        nodes(api, "a", "b")
        eventually(lambda: len(mirror.reflector.store) == 2)
        eventually(lambda: mirror.reflector.stats.listener_errors == 2)


@pytest.mark.spec("SC-083")
def test_a_refusing_server_is_waited_for(api, tmp_path):
    """No connection for two minutes: at most 18 requests in the second of them, and the store is kept."""
    nodes(api, "a")
    clock = ManualClock()
    rest = connect(api.kubeconfig(), tmp_path, clock=clock)
    reflector = Reflector(NODE_RESOURCE, rest=rest, clock=clock, rng=random.Random(1), listener=Seen())
    requests = []
    with api.faults.unreachable():
        while clock.monotonic() < 120.0:
            requests.append(clock.monotonic())
            reflector.step()
            clock.advance(reflector._protocol.wait_seconds(clock.monotonic()))
    assert reflector.stats.failures == len(requests)
    assert 1 <= sum(60.0 <= at < 120.0 for at in requests) <= 18


def test_endpoint_slices_are_mirrored_too(own):
    """The third resource of the table, with the lists that the server may write as null."""
    body = {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}
    own.send("create", ENDPOINT_SLICES.within("default"), body=body)
    with Mirror(own, ENDPOINT_SLICE_RESOURCE) as mirror:
        assert mirror.sync().next()[1].endpoints[0].addresses == ("10.0.0.1",)


def test_stopping_does_not_wait_for_the_server(own):
    """A reflector in the middle of a silent watch ends at once; `Mirror` fails when it does not."""
    with Mirror(own, NODE_RESOURCE, figures=dataclasses.replace(QUICK, first_bookmark_silence=3600.0)) as mirror:
        mirror.sync()
