"""Floating IPs: requested, kept, moved, refused."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address, ip_network

import pytest
from openstack.exceptions import ConflictException

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene
from tests.world import service

PREFIX = "loadbalancer.openstack.org/"
KEEP = f"{PREFIX}keep-floatingip"
SUBNET = f"{PREFIX}floating-subnet"
INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}


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


@pytest.fixture
def edge(cloud: Cloud):
    """Another subnet of the nodes' network, behind the same router."""
    network = cloud.user.network
    made = network.create_subnet(network_id=cloud.ids["nodes"], name="edge", cidr="10.77.0.0/24", ip_version=4)
    router = network.find_router("r")
    network.add_interface_to_router(router, subnet=made.id)
    yield made.id
    network.remove_interface_from_router(router, subnet=made.id)
    network.delete_subnet(made.id)


@pytest.mark.spec("OS-048")
def test_a_class_of_cloud_conf_decides_about_every_network(build, cloud: Cloud, edge: str):
    """A Service of a LoadBalancerClass has VIP, floating IP and members where the class says, whatever else is said."""
    conf = f"""subnet-id = {cloud.ids["nodes4"]}
floating-subnet-id = {cloud.ids["pub1"]}
[LoadBalancerClass "edge"]
subnet-id = {edge}
member-subnet-id = {cloud.ids["nodes4"]}
floating-network-id = {cloud.ids["public"]}
floating-subnet-id = {cloud.ids["pub2"]}
"""
    scene = build(conf=conf)
    named = {"class": "edge", "subnet-id": cloud.ids["nodes4"], "floating-subnet-id": cloud.ids["pub1"]}
    scene.kube.put(service("web", annotations={PREFIX + key: value for key, value in named.items()}))
    scene.kube.put(service("plain"))
    scene.settle()
    assert scene.balancer("web")["vip_subnet_id"] == edge
    assert ip_address(scene.addresses("web")[0]) in ip_network("198.51.100.0/28")
    (pool,) = scene.children("pools")
    assert {member["subnet_id"] for member in scene.members(pool)} == {cloud.ids["nodes4"]}
    assert scene.balancer("plain")["vip_subnet_id"] == cloud.ids["nodes4"]
    assert ip_address(scene.addresses("plain")[0]) in ip_network("203.0.113.0/24")
    assert scene.plans() == []
    scene.delete("web")


@pytest.fixture
def full(scene: Scene, cloud: Cloud):
    """An external subnet without a free address, which Neutron lists before `pub2`."""
    admin = cloud.connect("admin").network
    body = {"network_id": cloud.ids["public"], "ip_version": 4, "name": "full", "cidr": "192.0.2.0/30"}
    subnet = admin.create_subnet(**body)
    while subnet.id > cloud.ids["pub2"]:
        admin.delete_subnet(subnet.id)
        subnet = admin.create_subnet(**body)
    taken = []
    with suppress(ConflictException):
        while True:
            taken.append(admin.create_ip(floating_network_id=cloud.ids["public"], subnet_id=subnet.id))
    yield subnet.id
    for floating in taken:
        admin.delete_ip(floating.id)
    admin.delete_subnet(subnet.id)


@pytest.mark.spec("OS-058")
@pytest.mark.usefixtures("full")
def test_floating_subnets_are_chosen_by_pattern(scene: Scene, cloud: Cloud):
    """A name, a glob, a regex and a negation find their subnet; one without a free address gives way to the next."""
    scene.apply(service(annotations=INTERNAL))
    start = dict(scene.live().metadata.annotations)

    def address(pattern: str) -> str:
        external = {key: value for key, value in start.items() if key not in INTERNAL}
        scene.annotate("web", {**external, SUBNET: pattern})
        (found,) = scene.addresses()
        scene.annotate("web", start)
        return found

    second = ip_network("198.51.100.0/28")
    with cloud.neutron.counted() as calls:
        assert ip_address(address("pub1")) in ip_network("203.0.113.0/24")
        assert [ip_address(address(pattern)) in second for pattern in ("*2", "~p.b2", "!pub1", "~(full|pub2)")] == [
            True
        ] * 4
    tried = [call for call in calls if call.method == "POST" and call.path.endswith("floatingips")]
    assert len(tried) == 5 + 2, "the full subnet was tried first where the pattern has it"
    assert scene.floating() == []


@pytest.mark.spec("OS-057")
def test_an_address_that_a_member_may_not_choose_names_the_policy(scene: Scene):
    """Asking for an address that nobody has allocated is refused with the Neutron policy's name."""
    scene.apply(service(load_balancer_ip="203.0.113.200"))
    assert "create_floatingip:floating_ip_address" in scene.condition().message
    scene.delete("web")
    assert scene.leftovers() == []
