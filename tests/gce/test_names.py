"""Names that come from the cluster, and names that two Services would share."""

from __future__ import annotations

import pytest

from tests.gce.conftest import Build
from tests.world import service

INGRESS_UID = "configmaps/kube-system/ingress-uid"
SAME = "extremely-long-name-that-has-a-different-ending-that-gets-"
DUAL = {"ip_families": ("IPv4", "IPv6"), "ip_family_policy": "PreferDualStack"}
LOCAL = {"external_traffic_policy": "Local"}


@pytest.mark.spec("GCE-013")
@pytest.mark.parametrize(
    ("data", "group"),
    [
        ({"uid": "other--fedcba", "provider-uid": "fedcba"}, "k8s-ig--fedcba"),
        ({"uid": ""}, "k8s-ig"),
    ],
    ids=["federated", "empty"],
)
def test_the_config_map_of_the_cluster_names_the_instance_group(build: Build, data: dict[str, str], group: str) -> None:
    """As upstream's controllers, which share the group with Ingress, have named it."""
    world = build(ingress_uid=None, documents={INGRESS_UID: data})
    world.apply(service())
    assert set(world.objects("instanceGroups")) == {group}


def test_without_the_config_map_two_clusters_of_a_project_have_a_group_each(build: Build) -> None:
    """The id is then the cluster's own."""
    world = build(ingress_uid=None)
    world.apply(service())
    (name,) = world.objects("instanceGroups")
    assert name.startswith("k8s-ig--")
    assert len(name) == len("k8s-ig--") + 16


@pytest.mark.spec("GCE-016")
def test_two_services_whose_names_collide_are_both_refused_before_any_write(build: Build) -> None:
    """Their rules for IPv6 health checks would be one; each is told of the other, and nothing is made for either."""
    world = build()
    before = world.state()
    for number, ending in enumerate(("truncated", "shortened")):
        world.kube.put(service(SAME + ending, **DUAL, **LOCAL, health_check_node_port=32000 + number))
    world.settle(60)
    for ending, other in (("truncated", "shortened"), ("shortened", "truncated")):
        condition = world.condition(SAME + ending)
        assert condition.reason == "InvalidService"
        assert f"that of shop/{SAME}{other}" in condition.message
    assert world.compute.journal.writes == 0
    assert world.state() == before


def test_who_has_the_object_already_keeps_it(build: Build) -> None:
    """A newcomer whose name collides is refused; it takes nothing from the first, and may come once that is gone."""
    world = build()
    first, second = SAME + "truncated", SAME + "shortened"
    world.apply(service(first, **DUAL, **LOCAL, health_check_node_port=32000))
    assert world.condition(first).status == "True", world.condition(first)
    before = world.state()
    world.apply(service(second, ports=(81,), **DUAL, **LOCAL, health_check_node_port=32001))
    world.edit(first, session_affinity="ClientIP")
    assert world.condition(second).reason == "InvalidService"
    assert world.condition(first).status == "True"
    world.edit(first, session_affinity="None")
    world.crash()
    world.settle(60)
    assert world.state() == before
    world.delete(first)
    world.settle(700)
    assert world.condition(second).status == "True", world.condition(second)
