"""Writes on Services, as the API server takes them."""

from __future__ import annotations

import pytest

from lbctl.errors import KubeConflict, KubeDenied, KubeGone, KubeUnreachable
from lbctl.kube.patches import Clearing
from lbctl.kube.reads import Cluster
from lbctl.kube.target import SERVICES
from lbctl.kube.writes import ServiceWriter
from lbctl.model.objects import Condition, Ingress
from tests.kube.conftest import FINALIZER, connect, create_service, delete, patch_service

ADDRESS = Ingress(ip="192.0.2.1", ip_mode="VIP")
READY = Condition(
    type="lbctl.io/LoadBalancerReady",
    status="True",
    reason="Ready",
    message="",
    last_transition_time="2026-01-01T00:00:00Z",
)
OTHERS = Condition(
    type="example.com/Other",
    status="False",
    reason="Why",
    message="because",
    last_transition_time="2025-01-01T00:00:00Z",
)
MINIMAL_ROLE = {
    "kind": "ClusterRole",
    "rules": [
        {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]},
    ],
}


def live(rest, service):
    """The Service as the server holds it."""
    return Cluster(rest).get_service(service.metadata.namespace, service.metadata.name)


@pytest.mark.spec("SC-008")
def test_our_finalizer_is_added_after_those_of_others(rest, namespace):
    """The reply is the Service with all finalizers in their order; adding again changes nothing."""
    service = create_service(rest, namespace, finalizers=("b.example/x", "a.example/y"))
    added = ServiceWriter(rest).add_finalizers(service, [FINALIZER])
    assert added.metadata.finalizers == ("b.example/x", "a.example/y", FINALIZER)
    assert live(rest, service) == added
    assert ServiceWriter(rest).add_finalizers(added, [FINALIZER]) == added


@pytest.mark.spec("SC-009")
def test_a_finalizer_added_meanwhile_survives_the_removal_of_ours(rest, namespace):
    """An old view is refused; with a new one exactly ours goes."""
    service = create_service(rest, namespace, finalizers=(FINALIZER,))
    newer = patch_service(rest, service, {"metadata": {"finalizers": [FINALIZER, "third.example/party"]}})
    with pytest.raises(KubeConflict):
        ServiceWriter(rest).remove_finalizers(service, [FINALIZER])
    assert live(rest, service) == newer
    removed = ServiceWriter(rest).remove_finalizers(newer, [FINALIZER])
    assert removed.metadata.finalizers == ("third.example/party",)


@pytest.mark.spec("SC-010")
def test_the_right_to_patch_the_status_is_enough(api, own, tmp_path):
    """Finalizers, status and annotations are written by an identity that may not patch Services."""
    service = create_service(own, "default")
    limited = connect(api.kubeconfig(api.users.add("ctl", [MINIMAL_ROLE])), tmp_path)
    with pytest.raises(KubeDenied):
        patch_service(limited, service, {"metadata": {"labels": {"a": "b"}}})
    writer = ServiceWriter(limited)
    added = writer.add_finalizers(service, [FINALIZER])
    written = writer.write_status(added, ingress=[ADDRESS], conditions=[READY], annotations={"lbctl.io/a": "1"})
    assert (written.status.load_balancer.ingress, written.metadata.annotations) == ((ADDRESS,), {"lbctl.io/a": "1"})
    removed = writer.remove_finalizers(written, [FINALIZER], clearing=Clearing(condition_types=(READY.type,)))
    assert removed.metadata.finalizers == ()
    assert removed.status.load_balancer.ingress == ()
    assert removed.status.conditions == ()


@pytest.mark.spec("SC-011")
def test_a_recreated_service_is_not_touched(rest, namespace):
    """A write for the old object is refused, whatever it is, and the new one stays as it was made."""
    old = create_service(rest, namespace)
    delete(rest, old)
    new = create_service(rest, namespace)
    writer = ServiceWriter(rest)
    for write in (
        lambda: writer.add_finalizers(old, [FINALIZER]),
        lambda: writer.remove_finalizers(old, [FINALIZER]),
        lambda: writer.write_status(old, ingress=[ADDRESS], conditions=[]),
    ):
        with pytest.raises(KubeConflict):
            write()
    assert live(rest, old) == new


@pytest.mark.spec("SC-066")
def test_status_writes_tell_old_views_missing_objects_and_changed_types_apart(rest, namespace):
    """409 and a changed type mean: look again; 404 means: nothing left to do."""
    service = create_service(rest, namespace)
    newer = patch_service(rest, service, {"metadata": {"labels": {"a": "b"}}})
    writer = ServiceWriter(rest)
    with pytest.raises(KubeConflict):
        writer.write_status(service, ingress=[ADDRESS], conditions=[])
    changed = patch_service(rest, newer, {"spec": {"type": "ClusterIP"}})
    with pytest.raises(KubeConflict):
        writer.write_status(changed, ingress=[ADDRESS], conditions=[])
    delete(rest, changed)
    with pytest.raises(KubeGone):
        writer.write_status(changed, ingress=[ADDRESS], conditions=[])


def test_a_status_is_written_and_cleared(rest, namespace):
    """Ingress, conditions and our annotation in one write; our removal leaves the conditions of others as they are."""
    service = create_service(rest, namespace)
    target = SERVICES.one("web", namespace=namespace, subresource="status")
    body = {
        "status": {
            "conditions": [
                {
                    "type": OTHERS.type,
                    "status": OTHERS.status,
                    "reason": OTHERS.reason,
                    "message": OTHERS.message,
                    "lastTransitionTime": OTHERS.last_transition_time,
                }
            ]
        }
    }
    rest.send("patch", target, body=body, content_type="application/merge-patch+json")
    writer = ServiceWriter(rest)
    written = writer.write_status(
        live(rest, service), ingress=[ADDRESS], conditions=[OTHERS, READY], annotations={"lbctl.io/a": "1"}
    )
    assert written.status.load_balancer.ingress == (ADDRESS,)
    assert set(written.status.conditions) == {OTHERS, READY}
    assert Cluster(rest).get_ingress_owner(written) == "lbctl"
    cleared = writer.write_status(written, ingress=[], conditions=[OTHERS, READY], annotations={"lbctl.io/a": None})
    assert cleared.status.load_balancer.ingress == ()
    assert set(cleared.status.conditions) == {OTHERS, READY}
    assert cleared.metadata.annotations == {}
    kept = writer.write_status(
        cleared, ingress=[], conditions=[OTHERS, READY], annotations={"lbctl.io/a": "1", "lbctl.io/b": "2"}
    )
    clearing = Clearing(condition_types=(READY.type,), annotations=("lbctl.io/a", "lbctl.io/absent"))
    finished = writer.remove_finalizers(kept, [FINALIZER], clearing=clearing)
    assert finished.status.conditions == (OTHERS,)
    assert finished.metadata.annotations == {"lbctl.io/b": "2"}


def test_removing_the_last_finalizer_ends_a_deleted_service(rest, namespace):
    """The deletion waits for us, and completes with our write."""
    service = create_service(rest, namespace, finalizers=(FINALIZER,))
    delete(rest, service)
    waiting = live(rest, service)
    assert waiting.metadata.deletion_timestamp
    ServiceWriter(rest).remove_finalizers(waiting, [FINALIZER], clearing=Clearing())
    assert live(rest, service) is None
    with pytest.raises(KubeGone):
        ServiceWriter(rest).remove_finalizers(waiting, [FINALIZER])


def test_a_service_that_is_being_deleted_takes_no_finalizer(rest, namespace):
    """Too late to build anything: look again and decide again."""
    service = create_service(rest, namespace, finalizers=("other.example/f",))
    delete(rest, service)
    with pytest.raises(KubeConflict):
        ServiceWriter(rest).add_finalizers(live(rest, service), [FINALIZER])
    patch_service(rest, service, {"metadata": {"finalizers": []}})


def test_a_dry_run_stores_nothing(rest, namespace):
    """The server checks and answers as if, and holds what it held."""
    service = create_service(rest, namespace)
    writer = ServiceWriter(rest, dry_run=True)
    assert writer.add_finalizers(service, [FINALIZER]).metadata.finalizers == (FINALIZER,)
    assert writer.write_status(service, ingress=[ADDRESS], conditions=[]).status.load_balancer.ingress == (ADDRESS,)
    assert live(rest, service) == service


@pytest.mark.spec("SC-007")
def test_a_finalizer_that_could_not_be_written_raises(own, api):
    """A server error on the finalizer is an error of the write, so that no cloud call may follow."""
    service = create_service(own, "default")
    api.faults.answer(500, verb="patch")
    with pytest.raises(KubeUnreachable):
        ServiceWriter(own).add_finalizers(service, [FINALIZER])
    assert live(own, service).metadata.finalizers == ()
