"""Balancers that several Services use, and balancers that were there before."""

from __future__ import annotations

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene, cloud_node
from tests.openstack.upstream import made_by_upstream
from tests.world import service

ID = "loadbalancer.openstack.org/load-balancer-id"
INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}


@pytest.mark.spec("OS-067", "OS-068", "OS-070", "OS-073")
def test_services_share_a_balancer_until_the_last_one_leaves(scene: Scene, cloud: Cloud):
    """A second Service adds its listeners, a third is refused, the owner may go first, and the last one takes all."""
    scene.apply(service("web", ports=(80,)))
    balancer = scene.balancer()
    (floating,) = scene.floating()
    scene.apply(service("api", ports=(8080,), annotations={ID: balancer["id"]}))
    assert scene.addresses("api") == scene.addresses("web") == [floating["floating_ip_address"]]
    by_port = {body["protocol_port"]: body for body in scene.children("listeners")}
    assert by_port[80]["tags"] == [balancer["name"]]
    assert by_port[8080]["tags"] == [f"kube_service_{scene.cluster.name}_shop_api"]
    assert by_port[8080]["name"] == f"listener_0_kube_service_{scene.cluster.name}_shop_api"
    scene.apply(service("third", ports=(9090,), annotations={ID: balancer["id"]}))
    assert "max-shared-lb is 2" in scene.condition("third").message
    assert len(scene.children("listeners")) == 2
    scene.delete("third")
    assert scene.plans() == []
    before = [body["name"] for body in (*scene.children("listeners"), *scene.children("pools"))]
    scene.see_node(cloud_node(cloud, 2))
    scene.settle(40)
    assert [body["name"] for body in (*scene.children("listeners"), *scene.children("pools"))] == before
    scene.delete("web")
    assert not scene.exists("web")
    (left,) = scene.children("listeners")
    assert left["protocol_port"] == 8080
    assert [tag for tag in scene.balancer()["tags"] if tag.startswith("kube_")] == left["tags"]
    assert scene.addresses("api") == [floating["floating_ip_address"]]
    assert len(scene.floating()) == 1
    scene.delete("api")
    assert not scene.exists("api")
    assert scene.leftovers() == []


@pytest.mark.spec("OS-069", "OS-070")
def test_a_port_of_the_other_service_is_refused(scene: Scene):
    """A Service that wants a port which its neighbour has is told so, as is an internal one beside a floating IP."""
    scene.apply(service("web", ports=(80,)))
    before = scene.children("listeners")
    scene.apply(service("inner", ports=(81,), annotations={**INTERNAL, ID: scene.balancer()["id"]}))
    assert "an internal Service cannot join a balancer with a floating IP" in scene.condition("inner").message
    scene.delete("inner")
    scene.apply(service("api", ports=(80,), annotations={ID: scene.balancer()["id"]}))
    assert "TCP/80 of the balancer is used by shop/web" in scene.condition("api").message
    assert scene.children("listeners") == before
    scene.delete("api")


@pytest.mark.spec("OS-069")
def test_who_joins_an_internal_balancer_shows_its_vip(scene: Scene):
    """An external Service on the balancer of an internal one gets no floating IP and publishes the VIP."""
    scene.apply(service("web", ports=(80,), annotations=INTERNAL))
    scene.apply(service("api", ports=(8080,), annotations={ID: scene.balancer()["id"]}))
    assert scene.addresses("api") == [scene.balancer()["vip_address"]]
    assert scene.floating() == []


@pytest.mark.spec("OS-006")
def test_what_upstream_made_is_adopted_without_a_write(build, cloud: Cloud):
    """A balancer that upstream made and that is as it should be is taken over by name, without any write."""
    scene = build(conf=f"subnet-id = {cloud.ids['nodes4']}")
    balancer_id = made_by_upstream(cloud, scene.cluster.name)
    scene.crash()
    with cloud.octavia.counted() as calls:
        scene.apply(service(annotations=INTERNAL))
    assert not [str(call) for call in calls if call.is_write]
    assert scene.live().metadata.annotations[ID] == balancer_id
    assert scene.addresses() == [scene.balancer()["vip_address"]]
    scene.delete("web")
    assert scene.leftovers() == []


@pytest.mark.spec("OS-009")
def test_a_balancer_of_another_cluster_with_our_name_is_refused(build, cloud: Cloud):
    """A balancer of our name whose uid tag is foreign is not touched, and the refusal says how to take it over."""
    scene = build(conf=f"subnet-id = {cloud.ids['nodes4']}")
    balancer_id = made_by_upstream(cloud, scene.cluster.name)
    tags = {"loadbalancer": {"tags": [scene.balancer()["name"], "lbctl_uid=another"]}}
    scene.admin.load_balancer.put(f"/lbaas/loadbalancers/{balancer_id}", json=tags)
    scene.rest()
    scene.crash()
    with cloud.octavia.counted() as calls:
        scene.apply(service(annotations=INTERNAL))
    assert not [str(call) for call in calls if call.is_write]
    assert balancer_id in scene.condition().message
    assert ID in scene.condition().message
    scene.delete("web")
    assert not scene.exists()
    assert len(scene.balancers()) == 1


@pytest.mark.spec("OS-069", "OS-071", "OS-072")
def test_a_balancer_made_by_hand_outlives_its_services(scene: Scene, cloud: Cloud):
    """A Service on a balancer that somebody made leaves it as it was: his listener stays, our tag and listener go."""
    own = {"name": f"mine-{scene.cluster.name}", "vip_subnet_id": cloud.ids["nodes4"]}
    own["listeners"] = [{"name": "his", "protocol": "TCP", "protocol_port": 22}]
    made = scene.admin.load_balancer.post("/lbaas/loadbalancers", json={"loadbalancer": own}).json()["loadbalancer"]
    scene.rest()
    scene.apply(service("outer", annotations={ID: made["id"]}))
    assert "the balancer has no floating IP, and only its owner may give it one" in scene.condition("outer").message
    scene.delete("outer")
    scene.apply(service(annotations={**INTERNAL, ID: made["id"]}))
    assert scene.addresses() == [made["vip_address"]]
    listed = scene.get("listeners", loadbalancer_id=made["id"])["listeners"]
    assert sorted(body["protocol_port"] for body in listed) == [22, 80]
    scene.delete("web")
    assert not scene.exists()
    left = scene.get(f"loadbalancers/{made['id']}")["loadbalancer"]
    (his,) = scene.get("listeners", loadbalancer_id=made["id"])["listeners"]
    assert (his["name"], left["tags"], len(left["pools"])) == ("his", [], 0)
