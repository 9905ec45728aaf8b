"""Node security groups on the real Neutron."""

from __future__ import annotations

import re

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.clouds.openstack.proxy import Call
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


INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}


@pytest.fixture
def stranger(scene: Scene):
    """A security group that is none of ours."""
    body = {"security_group": {"name": f"stranger-{scene.cluster.name}"}}
    made = scene.admin.network.post("/security-groups", json=body).json()["security_group"]
    yield made["id"]
    scene.admin.network.delete(f"/security-groups/{made['id']}")


def add_group(scene: Scene, port: str, group: str) -> None:
    """Somebody adds a group to a port."""
    old = scene.admin.network.get(f"/ports/{port}").json()["port"]["security_groups"]
    put_groups(scene, port, [*old, group])


def put_groups(scene: Scene, port: str, wanted: list[str]) -> None:
    """Somebody sets the groups of a port."""
    scene.admin.network.put(f"/ports/{port}", json={"port": {"security_groups": wanted}})


def once(method: str, pattern: str, act) -> object:
    """A hook for the proxy that acts once, just before the first such call is forwarded."""
    left = [act]

    def hook(call: Call) -> None:
        if left and call.method == method and re.search(pattern, call.path):
            left.pop()()

    return hook


@pytest.mark.spec("OS-076", "OS-077", "OS-078")
def test_what_others_do_to_ports_meanwhile_survives(build, cloud: Cloud, stranger: str):
    """A foreign group that comes between read and write stays; unguarded ports are left alone; a group in use waits."""
    bare = cloud.ids["port3"]
    before = port_groups(build(), cloud, 0)
    scene = build(conf="manage-security-groups = true", nodes=4)
    unguarded = {"port": {"port_security_enabled": False, "security_groups": []}}
    scene.admin.network.put(f"/ports/{bare}", json=unguarded)
    cloud.neutron.hook = once(
        "PUT", f"ports/{cloud.ids['port0']}", lambda: add_group(scene, cloud.ids["port0"], stranger)
    )
    try:
        scene.apply(service(annotations=INTERNAL))
        scene.settle(60)
        (group,) = groups(scene)
        assert stranger in port_groups(scene, cloud, 0)
        assert has(scene, cloud) == [True, True, True]
        assert port_groups(scene, cloud, 3) == []
        assert scene.plans() == []
        # Somebody puts our group where no member is, just when it is about to go: Neutron refuses to delete it.
        scene.admin.network.put(f"/ports/{bare}", json={"port": {"port_security_enabled": True}})
        cloud.neutron.hook = once("DELETE", "security-groups/", lambda: add_group(scene, bare, group["id"]))
        scene.admin.load_balancer.delete(f"/lbaas/loadbalancers/{scene.balancer()['id']}?cascade=true")
        scene.rest()
        scene.delete("web")
        scene.settle(60)
        assert not scene.exists()
        assert groups(scene) == []
        assert set(port_groups(scene, cloud, 0)) == {*before, stranger}
    finally:
        cloud.neutron.hook = lambda _call: None
        put_groups(scene, cloud.ids["port0"], before)
        scene.admin.network.put(f"/ports/{bare}", json={"port": {"port_security_enabled": True}})
        put_groups(scene, bare, before)


@pytest.mark.spec("OS-079")
def test_groups_that_are_no_longer_managed_go_once(build, cloud: Cloud, tmp_path):
    """After manage-security-groups was turned off the group goes, and from then on nobody asks for groups."""
    scene = build(conf="manage-security-groups = true")
    before = port_groups(scene, cloud, 0)
    scene.apply(service(annotations=INTERNAL))
    assert len(groups(scene)) == 1
    scene.reconfigure(conf="")
    scene.settle(60)
    assert groups(scene) == []
    assert port_groups(scene, cloud, 0) == before
    assert scene.plans() == []
    with cloud.neutron.counted() as calls:
        assert scene.plans() == []
    assert not any("security-group" in call.path or "ports" in call.path for call in calls)
