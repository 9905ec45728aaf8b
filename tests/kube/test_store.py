"""The views of a resource, by key and by uid."""

from __future__ import annotations

from lbctl.kube.store import Store
from lbctl.model.objects import Node, ObjectMeta


def node(name: str, uid: str = "") -> Node:
    """A Node with a uid made from its name."""
    return Node(metadata=ObjectMeta(name=name, uid=uid or f"uid-{name}"))


def test_views_are_found_by_key_and_by_uid():
    """What was put in is found both ways, what was taken out by none."""
    store: Store[Node] = Store()
    assert store.apply(node("a")) is None
    assert store.find("a") == store.find_uid("uid-a") == node("a")
    assert store.remove("a") == node("a")
    assert store.remove("a") is None
    assert store.find("a") is store.find_uid("uid-a") is None


def test_a_recreated_object_takes_the_old_uid_out():
    """Two objects of one name are never both in the store."""
    store: Store[Node] = Store()
    store.apply(node("a", "1"))
    assert store.apply(node("a", "2")) == node("a", "1")
    assert store.find_uid("1") is None
    assert len(store) == 1


def test_a_replacement_tells_what_came_went_and_stayed():
    """Every key of before and after is told once."""
    store: Store[Node] = Store()
    store.replace([node("a"), node("b")])
    changes = store.replace([node("b", "new"), node("c")])
    assert changes == [(node("a"), None), (node("b"), node("b", "new")), (None, node("c"))]
    assert store.snapshot() == (node("b", "new"), node("c"))
    assert store.find_uid("uid-b") is None


def test_a_snapshot_stands_still():
    """Iterating while somebody writes neither fails nor sees the write."""
    store: Store[Node] = Store()
    store.replace([node("a"), node("b")])
    seen = []
    for view in store:
        store.apply(node(f"later-{view.key}"))
        seen.append(view.key)
    assert seen == ["a", "b"]
    assert len(store) == 4
