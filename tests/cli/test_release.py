"""`lbctl release`: a balancer is handed back as it is."""

from __future__ import annotations

import pytest

from lbctl.engine.claim import SHARED_FINALIZER
from lbctl.engine.publish import READY_CONDITION

OTHER = "example.com/other"


def marks(cloud):
    """Marks of what is left of Service web."""
    return {t.kind: t.tags["owner"] for t in cloud.things.values() if t.kind != "firewall"}


def fields(cloud):
    return {t.id: dict(t.fields) for t in cloud.things.values() if t.kind != "firewall"}


def test_what_is_released_stays_without_marks(office):
    """Balancer, listener and address stay as they are, our tags, finalizer and condition are gone: exit code 0."""
    office.serve("web")
    before = fields(office.cloud)
    address = office.hands.get("shop/web").status.load_balancer.ingress
    said = office.lbctl("release", "shop/web", "--yes", "-o", "json")
    live = office.hands.get("shop/web")
    assert said.code == 0, said
    assert said.document["version"] == 1
    assert {one["kind"] for one in said.document["kept"]} == {"balancer", "listener", "rule"}
    assert said.document["finalizers"] == [SHARED_FINALIZER]
    assert fields(office.cloud) == before
    assert set(marks(office.cloud).values()) == {""}
    assert live.metadata.finalizers == ()
    assert live.status.load_balancer.ingress == address
    assert READY_CONDITION not in [condition.type for condition in live.status.conditions]


def test_a_released_service_can_be_deleted_and_its_balancer_stays(office):
    """After the release neither the deletion of the Service nor `gc` touches what it had."""
    office.serve("web")
    office.lbctl("release", "shop/web", "--yes")
    before = fields(office.cloud)
    office.hands.delete("shop/web")
    office.lbctl("once")
    assert office.lbctl("gc", "--delete", "--apart", "0s", "--older-than", "0s", "--yes").code == 0
    assert office.hands.get("shop/web") is None
    assert fields(office.cloud) == before


def test_a_stuck_deletion_ends(office):
    """A Service whose balancer cannot be deleted is let go: the object goes, the balancer stays without marks."""
    office.serve("web")
    next(t for t in office.cloud.things.values() if t.kind == "balancer").fields["protected"] = True
    office.hands.delete("shop/web")
    office.lbctl("once", "--timeout", "1s")
    assert office.hands.get("shop/web") is not None
    assert office.lbctl("release", "shop/web", "--yes").code == 0
    assert office.hands.get("shop/web") is None
    assert marks(office.cloud)["balancer"] == ""


def test_whose_finalizer_blocks_is_said(office):
    """A finalizer of somebody else keeps the Service: it is named with what to do, exit code 6, and left alone."""
    office.serve("web")
    office.hands.patch("shop/web", {"metadata": {"finalizers": [SHARED_FINALIZER, OTHER]}})
    office.hands.delete("shop/web")
    said = office.lbctl("release", "shop/web", "--yes")
    assert said.code == 6
    assert f"waits for the finalizer {OTHER}" in said.out
    assert "do this:" in said.out
    assert office.hands.get("shop/web").metadata.finalizers == (OTHER,)


def test_forget_asks_no_cloud(office):
    """With --forget the finalizer goes although the cloud answers nothing, and what is there keeps its marks."""
    office.serve("web")
    before = office.cloud.state()
    calls = sum(office.cloud.calls.values())
    office.hands.delete("shop/web")
    said = office.lbctl("release", "shop/web", "--forget", "--yes")
    assert said.code == 0, said
    assert office.hands.get("shop/web") is None
    assert office.cloud.state() == before
    assert sum(office.cloud.calls.values()) == calls


@pytest.mark.parametrize("change", [{"type": "ClusterIP"}, {"loadBalancerClass": "example.com/other"}])
def test_what_is_not_ours_is_left_alone(office, change):
    """A Service of another controller, or none, is refused with exit code 5 and keeps its finalizer."""
    office.create("web", type="ClusterIP")
    office.hands.patch("shop/web", {"metadata": {"finalizers": [OTHER]}, "spec": {"type": "LoadBalancer", **change}})
    assert office.lbctl("release", "shop/web", "--yes").code == 5
    assert office.hands.get("shop/web").metadata.finalizers == (OTHER,)


def test_it_needs_consent_and_a_service(office):
    """Without --yes and without a terminal: exit code 3. A Service that does not exist: exit code 3, and its name."""
    office.serve("web")
    before = office.hands.get("shop/web")
    assert office.lbctl("release", "shop/web").code == 3
    assert office.hands.get("shop/web") == before
    said = office.lbctl("release", "shop/nothing", "--yes")
    assert said.code == 3
    assert "shop/nothing" in said.err


def test_while_a_controller_leads(office):
    """What is wanted stays the controller's: exit code 1 says who leads. What goes is left to it, to be kept."""
    office.serve("web")
    office.lead("controller-1")
    before = office.cloud.state()
    refused = office.lbctl("release", "shop/web", "--yes")
    assert refused.code == 1
    assert "controller-1 leads and would take shop/web back" in refused.err

    office.hands.delete("shop/web")
    said = office.lbctl("release", "shop/web", "--yes", "--timeout", "1s")
    assert said.code == 6
    assert office.cloud.state() == before
    office.lead("controller-1", seconds_ago=120)  # its lease has run out, and this process does what it left
    assert office.lbctl("once").code == 0
    assert office.hands.get("shop/web") is None
    assert marks(office.cloud)["balancer"] == ""
