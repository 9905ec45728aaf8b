"""Pods with readiness gates: which are seen, and what is written on them, as the API server takes it."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from lbctl.errors import KubeDenied, KubeGone
from lbctl.kube.resources import pod_resource
from lbctl.kube.rest import MERGE_PATCH
from lbctl.kube.target import PODS, Target
from lbctl.kube.writes import PodWriter
from lbctl.model.objects import Condition, Pod
from tests.kube.conftest import QUICK, Mirror, connect, eventually

PREFIX = "gate.example.com/"
ACCOUNTS = Target(resource="serviceaccounts")
KUBELETS = {"type": "ContainersReady", "status": "True", "reason": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
ROLE = {
    "kind": "ClusterRole",
    "rules": [{"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]}],
}


@pytest.fixture
def place(rest, namespace):
    """A namespace that takes Pods."""
    rest.send("create", ACCOUNTS.within(namespace), body={"metadata": {"name": "default"}})
    return namespace


def pod(name: str, *gates: str) -> dict[str, object]:
    """A Pod with readiness gates, as its author writes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [{"name": "web", "image": "web"}],
            "readinessGates": [{"conditionType": gate} for gate in gates],
        },
    }


def create(rest, namespace: str, name: str, *gates: str) -> Pod:
    """The Pod as the server stored it."""
    return msgspec.json.decode(rest.send("create", PODS.within(namespace), body=pod(name, *gates)), type=Pod)


def set_status(rest, seen: Pod, status: dict[str, object]) -> None:
    """Write a Pod's status as its kubelet does."""
    target = PODS.one(seen.metadata.name, namespace=seen.metadata.namespace, subresource="status")
    rest.send("patch", target, body={"status": status}, content_type=MERGE_PATCH)


def remove(rest, seen: Pod) -> None:
    """Delete a Pod that no kubelet has to say goodbye to."""
    target = PODS.one(seen.metadata.name, namespace=seen.metadata.namespace)
    rest.send("delete", target, body={"gracePeriodSeconds": 0})


def live(rest, seen: Pod) -> Pod:
    """The Pod as the server holds it."""
    return msgspec.json.decode(rest.get(PODS.one(seen.metadata.name, namespace=seen.metadata.namespace)), type=Pod)


def condition(status: str, reason: str = "") -> Condition:
    """What we write."""
    return Condition(
        type=PREFIX + "web", status=status, reason=reason, message="", last_transition_time="2026-01-02T00:00:00Z"
    )


@pytest.mark.spec("AWS-072")
def test_only_pods_with_a_gate_of_the_prefix_are_kept(rest, place):
    """Of all Pods only those are told and stored, with gates, conditions and addresses."""
    gate = f"{place}.example.com/web"
    create(rest, place, "plain")
    create(rest, place, "foreign", "other.example.com/web")
    first = create(rest, place, "first", "other.example.com/web", gate)
    with Mirror(rest, pod_resource([f"{place}.example.com/"])) as mirror:
        seen = mirror.sync()
        assert seen.next()[1].key == first.key
        assert len(mirror.reflector.store) == 1
        create(rest, place, "plain-2")
        second = create(rest, place, "second", gate)
        assert seen.next()[1].key == second.key
        set_status(rest, second, {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [KUBELETS]})
        old, new = seen.next()
        assert (old.addresses, new.addresses, new.is_true("ContainersReady")) == ((), ("10.0.0.1",), True)
        remove(rest, first)
        told = list(iter(lambda: seen.next()[1], None))  # a real server tells first that it is about to go
        assert {one.key for one in told} <= {first.key}
        assert [one.key for one in mirror.reflector.store] == [second.key]
        assert seen.quiet


def test_what_is_kept_in_part_is_not_counted(own):
    """The server counts all Pods, so that comparing would load them anew each time."""
    own.send("create", PODS.within("default"), body=pod("plain"))
    figures = dataclasses.replace(QUICK, count_pause=0.01, shortest_timeout=1, longest_timeout=1)
    with Mirror(own, pod_resource([PREFIX]), figures=figures) as mirror:
        mirror.sync()
        eventually(lambda: mirror.reflector.stats.watches > 2)
        assert (mirror.reflector.stats.miscounts, mirror.reflector.stats.lists) == (0, 0)


@pytest.mark.spec("AWS-072")
def test_a_condition_is_written_beside_those_of_the_kubelet(rest, place):
    """Ours comes and turns, whatever was written meanwhile; the others stay as they are."""
    seen = create(rest, place, "web", PREFIX + "web")
    set_status(rest, seen, {"conditions": [KUBELETS]})
    written = PodWriter(rest).write_pod_condition(seen, condition("False", "Initial"))
    assert written.condition(PREFIX + "web") == condition("False", "Initial")
    opened = PodWriter(rest).write_pod_condition(seen, condition("True"))
    assert opened == live(rest, seen)
    assert opened.condition(PREFIX + "web") == condition("True")
    assert opened.is_true("ContainersReady")
    assert PodWriter(rest).write_pod_condition(opened, condition("True")) == opened


@pytest.mark.spec("AWS-072")
def test_nothing_is_written_on_a_pod_of_another_uid(rest, place):
    """A Pod that was made anew under the name is not the one that was judged, and one that is gone is no news."""
    seen = create(rest, place, "web", PREFIX + "web")
    remove(rest, seen)
    with pytest.raises(KubeGone):
        PodWriter(rest).write_pod_condition(seen, condition("True"))
    again = create(rest, place, "web", PREFIX + "web")
    with pytest.raises(KubeGone):
        PodWriter(rest).write_pod_condition(seen, condition("True"))
    assert live(rest, again).condition(PREFIX + "web") is None


def test_the_right_to_patch_the_status_of_pods_is_enough(api, own, tmp_path):
    """An identity that may neither read nor patch Pods opens a gate."""
    seen = msgspec.json.decode(own.send("create", PODS.within("default"), body=pod("web", PREFIX + "web")), type=Pod)
    limited = connect(api.kubeconfig(api.users.add("ctl", [ROLE])), tmp_path)
    with pytest.raises(KubeDenied):
        limited.get(PODS.one("web", namespace="default"))
    assert PodWriter(limited).write_pod_condition(seen, condition("True")).is_true(PREFIX + "web")
