"""Lists and watch lines as views."""

from __future__ import annotations

import msgspec
import pytest

from lbctl.kube.answers import Status
from lbctl.kube.wire import Bookmark, Change, Codec, Undecodable
from lbctl.model.objects import EndpointSlice, Node, Service

NODES = Codec(Node)
SERVICES = Codec(Service)


def line(kind: str, value: object) -> bytes:
    """One line of a watch."""
    return msgspec.json.encode({"type": kind, "object": value})


def raw_service(name: str, **spec: object) -> dict[str, object]:
    """A Service as JSON has it."""
    return {"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "4"}, "spec": spec}


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_a_change_is_decoded_into_its_view(kind):
    """Unknown fields are skipped, known ones are typed."""
    event = SERVICES.event(line(kind, raw_service("web", type="LoadBalancer", unheardOf={"x": [1]})))
    assert isinstance(event, Change)
    assert (event.type, event.object.key, event.object.spec.type) == (kind, "shop/web", "LoadBalancer")


def test_a_bookmark_tells_its_version():
    """A bookmark has a version and nothing else that an object has."""
    bare = {"kind": "Node", "metadata": {"resourceVersion": "12", "creationTimestamp": None}, "spec": {}}
    assert NODES.event(line("BOOKMARK", bare)) == Bookmark("12", ends_list=False)
    marked = {"metadata": {"resourceVersion": "12", "annotations": {"k8s.io/initial-events-end": "true"}}}
    assert NODES.event(line("BOOKMARK", marked)) == Bookmark("12", ends_list=True)


def test_an_error_is_a_status():
    """An expired watch is told by a line of its own, with HTTP 200."""
    gone = {
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": "too old",
        "reason": "Expired",
        "code": 410,
    }
    event = NODES.event(line("ERROR", gone))
    assert isinstance(event, Status)
    assert (event.code, event.reason) == (410, "Expired")


def test_a_damaged_object_keeps_its_name_and_version():
    """What cannot be decoded still tells which object it is and where the watch stands."""
    event = SERVICES.event(line("MODIFIED", raw_service("web", ports="none")))
    assert isinstance(event, Undecodable)
    assert (event.type, event.key, event.resource_version) == ("MODIFIED", "shop/web", "4")
    assert "$.object.spec.ports" in event.why


@pytest.mark.parametrize("noise", [b"", b"{", b'{"type":"ADDED"}', b'{"type":"ADDED","object":7}', b"\xff", b"[]"])
def test_noise_never_raises(noise):
    """A torn or foreign line is one more undecodable object."""
    assert isinstance(SERVICES.event(noise), Undecodable)


def test_a_page_tells_its_items_and_where_it_goes_on():
    """Items, version and continue token of a page."""
    body = {"metadata": {"resourceVersion": "9", "continue": "next"}, "items": [raw_service("a"), raw_service("b")]}
    page = SERVICES.page(msgspec.json.encode(body))
    assert [view.key for view in page.views] == ["shop/a", "shop/b"]
    assert (page.resource_version, page.continue_token, page.damaged) == ("9", "next", [])


def test_one_damaged_item_does_not_hide_the_others():
    """A page with a damaged item holds all others, and names it."""
    body = {"metadata": {"resourceVersion": "9"}, "items": [raw_service("a", ports=3), raw_service("b")]}
    page = SERVICES.page(msgspec.json.encode(body))
    assert [view.key for view in page.views] == ["shop/b"]
    assert [item.key for item in page.damaged] == ["shop/a"]


def test_empty_lists_may_be_null():
    """The server writes null for lists without entries."""
    assert SERVICES.page(b'{"metadata":{"resourceVersion":"1"},"items":null}').views == []
    slices = Codec(EndpointSlice).event(line("ADDED", {"metadata": {"name": "s"}, "endpoints": None, "ports": None}))
    assert isinstance(slices, Change)
    assert slices.object.endpoints is None
