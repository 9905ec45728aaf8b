"""The bodies of all patches on Services."""

from __future__ import annotations

import pytest

from lbctl.kube.patches import Clearing, build_finalizer_addition, build_finalizer_removal, build_status
from lbctl.model.objects import Condition, Ingress, ObjectMeta, PortStatus, Service, ServiceStatus

OURS = "service.kubernetes.io/load-balancer-cleanup"
IDENTITY = {"uid": "u-1", "resourceVersion": "42"}


def service(*finalizers: str, conditions: tuple[Condition, ...] = ()) -> Service:
    """A Service as it was read, with these finalizers and conditions."""
    meta = ObjectMeta(name="web", namespace="shop", uid="u-1", resource_version="42", finalizers=finalizers)
    return Service(metadata=meta, status=ServiceStatus(conditions=conditions))


@pytest.mark.spec("SC-008")
def test_adding_keeps_other_finalizers_and_their_order():
    """Ours come last, once each; the version makes sure that the list is still the one that was read."""
    body = build_finalizer_addition(service("b.example/x", OURS, "a.example/y"), [OURS, "gke.example/v2"])
    assert body == {"metadata": IDENTITY | {"finalizers": ["b.example/x", OURS, "a.example/y", "gke.example/v2"]}}


@pytest.mark.spec("SC-009")
def test_removing_names_the_finalizer_and_never_the_list():
    """Also the last finalizer is deleted from the list, not by writing null."""
    body = build_finalizer_removal(service(OURS), [OURS])
    assert body == {"metadata": IDENTITY | {"$deleteFromPrimitiveList/finalizers": [OURS]}}


def test_removing_may_clear_the_status_in_the_same_patch():
    """The ingress and our conditions go with the finalizer; conditions of others are not named."""
    body = build_finalizer_removal(service(OURS), [OURS], Clearing(condition_types=("lbctl.io/LoadBalancerReady",)))
    assert body["status"] == {
        "loadBalancer": {"ingress": None},
        "conditions": [{"$patch": "delete", "type": "lbctl.io/LoadBalancerReady"}],
    }
    assert "status" not in build_finalizer_removal(service(OURS), [OURS], Clearing(ingress=False))


def test_removing_may_take_annotations_off_in_the_same_patch():
    """Each is named with null; without any the patch says nothing of annotations."""
    body = build_finalizer_removal(service(OURS), [OURS], Clearing(annotations=("example.com/a", "example.com/b")))
    assert body["metadata"]["annotations"] == {"example.com/a": None, "example.com/b": None}
    assert "annotations" not in build_finalizer_removal(service(OURS), [OURS], Clearing())["metadata"]


def test_a_status_names_every_required_member():
    """Members that the API requires are written even when they have their usual value."""
    entry = Ingress(ip="203.0.113.9", ip_mode="VIP", ports=(PortStatus(port=80), PortStatus(port=81, error="X")))
    body = build_status(service(), ingress=[entry, Ingress(hostname="lb.example")], conditions=())
    assert body == {
        "metadata": IDENTITY,
        "status": {
            "loadBalancer": {
                "ingress": [
                    {
                        "ip": "203.0.113.9",
                        "ipMode": "VIP",
                        "ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP", "error": "X"}],
                    },
                    {"hostname": "lb.example"},
                ]
            }
        },
    }


def test_an_empty_ingress_is_written_as_null():
    """A merge patch clears with null."""
    assert build_status(service(), ingress=[], conditions=())["status"] == {"loadBalancer": {"ingress": None}}


def test_conditions_are_written_as_a_whole_list():
    """A merge patch replaces the list, so it holds exactly what is given, and one that is left out is gone."""
    other = Condition(type="cilium.io/X", status="True", reason="R", message="m", last_transition_time="t")
    old = Condition(type="lbctl.io/LoadBalancerReady", status="False", reason="Provisioning", last_transition_time="t")
    new = Condition(type="lbctl.io/LoadBalancerReady", reason="Ready", last_transition_time="u")
    body = build_status(service(conditions=(old, other)), ingress=[], conditions=[new, other])
    assert body["status"]["conditions"] == [
        {
            "type": "lbctl.io/LoadBalancerReady",
            "status": "Unknown",
            "reason": "Ready",
            "message": "",
            "lastTransitionTime": "u",
        },
        {"type": "cilium.io/X", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "t"},
    ]


def test_annotations_are_set_and_removed_beside_the_status():
    """None removes an annotation; those that are not named stay."""
    body = build_status(service(), ingress=[], conditions=(), annotations={"lbctl.io/a": "1", "lbctl.io/b": None})
    assert body["metadata"] == IDENTITY | {"annotations": {"lbctl.io/a": "1", "lbctl.io/b": None}}


def test_the_last_condition_is_cleared_with_null():
    """An empty list after a full one is a null in the patch, not silence."""
    old = Condition(type="lbctl.io/LoadBalancerReady", status="False")
    assert build_status(service(conditions=(old,)), ingress=[], conditions=[])["status"]["conditions"] is None
