"""Floating IPs: requested, kept, moved, refused."""

from __future__ import annotations

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene
from tests.world import service

KEEP = "loadbalancer.openstack.org/keep-floatingip"


@pytest.fixture
def reserved(scene: Scene, cloud: Cloud):
    """Two free floating IPs of the user's own."""
    made = []
    for _ in range(2):
        body = {"floatingip": {"floating_network_id": cloud.ids["public"], "description": "mine"}}
        made.append(scene.admin.network.post("/floatingips", json=body).json()["floatingip"])
    yield made
    for floating in made:
        scene.admin.network.delete(f"/floatingips/{floating['id']}")


def floating_ip(scene: Scene, floating) -> dict:
    """A floating IP as it is now."""
    return scene.admin.network.get(f"/floatingips/{floating['id']}").json()["floatingip"]


@pytest.mark.spec("OS-054", "OS-055", "OS-056")
def test_a_requested_address_is_attached_moved_and_never_deleted(scene: Scene, reserved):
    """A free floating IP is attached on request; another request moves it; both stay in the end."""
    first, second = reserved
    scene.apply(service(load_balancer_ip=first["floating_ip_address"]))
    assert scene.addresses() == [first["floating_ip_address"]]
    assert floating_ip(scene, first)["port_id"] == scene.balancer()["vip_port_id"]
    scene.apply(service("other", load_balancer_ip=first["floating_ip_address"]))
    assert f"floating IP {first['floating_ip_address']} is not available" in scene.condition("other").message
    scene.delete("other")
    scene.edit("web", load_balancer_ip=second["floating_ip_address"])
    assert scene.addresses() == [second["floating_ip_address"]]
    assert floating_ip(scene, first)["port_id"] is None
    scene.delete("web")
    assert not scene.exists()
    assert [floating_ip(scene, one)["port_id"] for one in reserved] == [None, None]


@pytest.mark.spec("OS-062")
def test_a_kept_floating_ip_survives_its_service(scene: Scene):
    """With keep-floatingip the address stays, free and marked, after the Service; no later Service deletes it."""
    scene.apply(service(annotations={KEEP: "true"}))
    (address,) = scene.addresses()
    scene.delete("web")
    assert not scene.exists()
    (floating,) = scene.floating()
    assert (floating["port_id"], floating["floating_ip_address"]) == (None, address)
    assert floating["tags"] == ["lbctl_kept"]
    scene.crash()
    scene.apply(service())
    assert scene.addresses() != [address]
    scene.delete("web")
    assert [kept["id"] for kept in scene.floating()] == [floating["id"]]
    scene.admin.network.delete(f"/floatingips/{floating['id']}")


@pytest.mark.spec("OS-057")
def test_an_address_that_a_member_may_not_choose_names_the_policy(scene: Scene):
    """Asking for an address that nobody has allocated is refused with the Neutron policy's name."""
    scene.apply(service(load_balancer_ip="203.0.113.200"))
    assert "create_floatingip:floating_ip_address" in scene.condition().message
    scene.delete("web")
    assert scene.leftovers() == []
