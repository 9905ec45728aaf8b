"""Node security groups on the real Neutron."""

from __future__ import annotations

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene, cloud_node
from tests.world import service


def groups(scene: Scene) -> list:
    """Security groups that describe themselves as this cluster's."""
    listed = scene.admin.network.get("/security-groups").json()["security_groups"]
    return [body for body in listed if body["description"].endswith(f" cluster {scene.cluster.name}")]


def port_groups(scene: Scene, cloud: Cloud, number: int) -> list[str]:
    """Security groups of a node's port."""
    return scene.admin.network.get(f"/ports/{cloud.ids[f'port{number}']}").json()["port"]["security_groups"]


def has(scene: Scene, cloud: Cloud) -> list[bool]:
    """Which nodes' ports have the group of this cluster."""
    (group,) = groups(scene)
    return [group["id"] in port_groups(scene, cloud, number) for number in range(3)]


@pytest.mark.spec("OS-074", "OS-075")
def test_node_ports_are_opened_where_members_are(build, cloud: Cloud):
    """Rules come in one call, the group follows the nodes and leaves with the Service; strangers' groups stay."""
    scene = build(conf="manage-security-groups = true")
    before = port_groups(scene, cloud, 0)
    with cloud.neutron.counted() as calls:
        identity = scene.apply(service(ports=(80, 443)))
    assert [str(call) for call in calls if call.method == "POST" and "rules" in call.path] == [
        "POST /v2.0/security-group-rules"
    ]
    (group,) = groups(scene)
    assert group["name"] == f"lb-sg-{identity.uid}-shop-web"
    rules = [rule for rule in group["security_group_rules"] if rule["direction"] == "ingress"]
    assert sorted((rule["protocol"], rule["port_range_min"], rule["remote_ip_prefix"]) for rule in rules) == [
        ("tcp", 30080, "10.0.0.0/16"),
        ("tcp", 30443, "10.0.0.0/16"),
    ]
    assert has(scene, cloud) == [True, True, False]
    assert set(before) <= set(port_groups(scene, cloud, 0))
    assert scene.plans() == []
    scene.see_node(cloud_node(cloud, 2))
    scene.see_node(None, "node0")
    scene.settle(40)
    assert has(scene, cloud) == [False, True, True]
    assert scene.plans() == []
    scene.delete("web")
    assert not scene.exists()
    assert groups(scene) == []
    assert port_groups(scene, cloud, 0) == before
    assert scene.leftovers() == []
