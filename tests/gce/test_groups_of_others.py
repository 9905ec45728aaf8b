"""Instance groups that somebody else fills (alpha feature SkipIGsManagement of gce.conf): linked, never touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbctl_gce.permissions import FILLING
from tests.clouds.gce.world import HOME, INGRESS_UID, PROJECT, REGION, Google
from tests.gce.conftest import Build
from tests.world import service

CLASS = "networking.gke.io/l4-regional-"
OURS = f"k8s-ig--{INGRESS_UID}"
MINE = "k8s-ig--another-cluster"


def path(zone: str, name: str) -> str:
    return f"{HOME}/zones/{REGION}-{zone}/instanceGroups/{name}"


@pytest.fixture
def world(build: Build, tmp_path: Path) -> Google:
    """Nodes n1 and n2 in zone b, and no right to write an instance group."""
    file = tmp_path / "gce.conf"
    file.write_text("[global]\nalpha-features = SkipIGsManagement\n")
    world = build(config_file=str(file))
    assert world.compute.granted is not None
    world.compute.granted[PROJECT] -= FILLING
    world.compute.store.put(path("b", MINE), {})
    return world


def fill(world: Google, zone: str, name: str, *members: str) -> None:
    """Somebody makes a group."""
    world.compute.store.put(path(zone, name), {})
    world.compute.store.members[path(zone, name)] = [f"{HOME}/zones/{REGION}-{zone}/instances/{m}" for m in members]


def linked(world: Google) -> set[str]:
    """What backend services have as backends."""
    groups = [b["group"] for body in world.objects("backendServices").values() for b in body.get("backends", ())]
    return {link.partition("/zones/")[2] for link in groups}


def groups(world: Google) -> dict[str, list[str]]:
    """All groups and who is in them."""
    found = world.compute.store.of("instanceGroups")
    return {at: sorted(world.compute.store.members.get(at, [])) for at, _ in found}


@pytest.mark.parametrize(
    ("kind", "annotations"),
    [
        ("external", {}),
        ("internal-legacy", {}),
        ("internal-legacy", {"cloud.google.com/load-balancer-backend-share": "true"}),
    ],
    ids=["external", "internal", "shared"],
)
def test_every_group_with_the_clusters_name_is_linked_and_left_alone(
    world: Google, kind: str, annotations: dict
) -> None:
    """Whether its name goes on or not; neither nodes that come nor the Service that goes make a difference to it."""
    fill(world, "b", OURS, "n1")
    fill(world, "b", f"{OURS}-more", "n2")
    before = groups(world)
    world.apply(service(load_balancer_class=f"{CLASS}{kind}", annotations=annotations))
    assert world.condition().status == "True"
    assert linked(world) == {f"{REGION}-b/instanceGroups/{name}" for name in (OURS, f"{OURS}-more")}
    world.join("n3")
    world.settle(60)
    assert world.plans() == []
    world.crash()
    world.settle(60)
    assert world.plans() == []
    world.delete("web")
    assert not world.exists()
    assert groups(world) == before
    assert world.objects("backendServices") == {}


def test_without_any_group_a_balancer_waits_and_says_what_to_do(world: Google) -> None:
    """As soon as somebody has made one it is served."""
    world.kube.put(service())
    world.settle(30)
    assert (world.condition().status, world.condition().reason) == ("False", "MissingFact")
    assert f"no instance group in {REGION}-b has a name that begins with {OURS}" in world.condition().message
    assert "SkipIGsManagement" in world.condition().message
    assert world.objects("forwardingRules") == {}
    fill(world, "b", OURS, "n1", "n2")
    world.settle(120)
    assert world.condition().status == "True"


def test_a_zone_without_a_group_is_told_and_the_others_are_served(world: Google) -> None:
    """What serves goes on serving; the group is linked once it is there."""
    fill(world, "b", OURS, "n1", "n2")
    world.apply(service())
    world.join("n3", "c")
    world.settle(60)
    assert world.condition().status == "True"
    assert linked(world) == {f"{REGION}-b/instanceGroups/{OURS}"}
    told = {notice.message for _, notice in world.kube.events if notice.reason == "ZoneWithoutGroup"}
    assert told == {f"nodes in {REGION}-c get no traffic: fill an instance group there whose name begins with {OURS}"}
    (finding,) = [found for found in world.driver.check() if found.level != "ok"]
    assert (finding.level, finding.subject) == ("failed", f"instance groups in {REGION}-c")
    fill(world, "c", OURS, "n3")
    world.settle(700)
    assert linked(world) == {f"{REGION}-{zone}/instanceGroups/{OURS}" for zone in "bc"}


def test_in_a_cluster_without_an_id_only_the_group_of_that_very_name_is_linked(build: Build, tmp_path: Path) -> None:
    """Names of other clusters' groups begin so too."""
    file = tmp_path / "gce.conf"
    file.write_text("[global]\nalpha-features = SkipIGsManagement\n")
    world = build(config_file=str(file), ingress_uid="")
    fill(world, "b", MINE)
    fill(world, "b", "k8s-ig", "n1")
    world.apply(service())
    assert linked(world) == {f"{REGION}-b/instanceGroups/k8s-ig"}


def test_the_doctor_names_the_groups_and_asks_for_no_right_to_fill_them(world: Google) -> None:
    """Zone by zone."""
    fill(world, "b", OURS, "n1")
    world.crash()
    world.settle()
    found = {finding.subject: finding for finding in world.driver.check()}
    assert found[f"instance groups in {REGION}-b"].message == f"{OURS}, filled by somebody else"
    assert [finding for finding in found.values() if finding.level != "ok"] == []


def test_a_group_that_was_filled_by_lbctl_stays_when_it_is_left_to_somebody_else(build: Build, tmp_path: Path) -> None:
    """Switching the feature on changes nothing in the cloud."""
    file = tmp_path / "gce.conf"
    file.write_text("[global]\n")
    world = build(config_file=str(file))
    world.apply(service())
    before = world.state()
    file.write_text("[global]\nalpha-features = SkipIGsManagement\n")
    world.crash()
    world.settle(60)
    assert (world.plans(), world.state()) == ([], before)
