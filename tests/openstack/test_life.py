"""The life of a Service on the real services."""

from __future__ import annotations

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene, cloud_node
from tests.world import service


@pytest.mark.spec("OS-003", "OS-004", "OS-053", "OS-080")
def test_a_service_gets_a_balancer_and_a_floating_ip_and_loses_both(scene: Scene, cloud: Cloud):
    """A Service is served by one marked balancer behind one floating IP; its deletion leaves nothing."""
    with cloud.octavia.counted() as octavia, cloud.neutron.counted() as neutron:
        identity = scene.apply(service(ports=(80, 443)))
    balancer = scene.balancer()
    assert balancer["provisioning_status"] == "ACTIVE"
    assert balancer["description"] == f"Kubernetes external service shop/web from cluster {scene.cluster.name}"
    assert sorted(balancer["tags"]) == sorted([balancer["name"], f"lbctl_uid={identity.uid}"])
    (floating,) = scene.floating()
    assert floating["port_id"] == balancer["vip_port_id"]
    assert scene.addresses() == [floating["floating_ip_address"]]
    assert [(body["protocol"], body["protocol_port"]) for body in scene.children("listeners")] == [
        ("TCP", 80),
        ("TCP", 443),
    ]
    assert all(body["tags"] == [balancer["name"]] for body in scene.children("listeners"))
    for pool in scene.children("pools"):
        assert [member["name"] for member in scene.members(pool)] == ["node0", "node1"]
    assert [str(call) for call in octavia if call.is_write] == ["POST /v2.0/lbaas/loadbalancers"]
    assert [str(call) for call in neutron if call.is_write] == ["POST /v2.0/floatingips"]
    assert scene.plans() == []
    assert scene.condition().status == "True"
    scene.delete("web")
    assert not scene.exists()
    assert scene.leftovers() == []


@pytest.mark.spec("OS-027")
def test_a_node_that_joins_costs_one_call_a_pool(scene: Scene, cloud: Cloud):
    """A joining node becomes a member of every pool by one batch PUT each, and nothing else is written."""
    scene.apply(service(ports=(80, 443)))
    with cloud.octavia.counted() as calls:
        scene.see_node(cloud_node(cloud, 2))
        scene.settle(40)
    assert [call.method for call in calls if call.is_write] == ["PUT", "PUT"]
    for pool in scene.children("pools"):
        assert [member["name"] for member in scene.members(pool)] == ["node0", "node1", "node2"]


@pytest.mark.spec("OS-086", "OS-093")
def test_a_restart_writes_nothing_and_repairs_what_was_changed_by_hand(scene: Scene, cloud: Cloud):
    """A new process writes nothing where all is as it should be; a change by hand is planned by reads and put right."""
    scene.apply(service())
    scene.crash()
    with cloud.octavia.counted() as octavia, cloud.neutron.counted() as neutron:
        scene.settle()
    assert [str(call) for call in (*octavia, *neutron) if call.is_write] == []
    (listener,) = scene.children("listeners")
    by_hand = {"listener": {"timeout_client_data": 1234}}
    scene.admin.load_balancer.put(f"/lbaas/listeners/{listener['id']}", json=by_hand)
    scene.rest()
    scene.crash()
    with cloud.octavia.counted() as octavia:
        (plan,) = scene.plans()
    assert [action.call for action in plan.actions] == ["listeners.update"]
    assert not any(call.is_write for call in octavia)
    with cloud.octavia.counted() as octavia:
        scene.settle()
    assert [call.body for call in octavia if call.is_write] == [
        {
            "listener": {
                "timeout_client_data": 50000,
                "timeout_member_connect": 5000,
                "timeout_member_data": 50000,
                "timeout_tcp_inspect": 0,
            }
        }
    ]
    assert scene.plans() == []


def test_a_retained_balancer_stays_without_our_mark(scene: Scene):
    """With deletion-policy retain the Service goes and its balancer serves on, as upstream would have made it."""
    scene.apply(service(annotations={"lbctl.io/deletion-policy": "retain"}))
    scene.delete("web")
    assert not scene.exists()
    balancer = scene.balancer()
    assert balancer["tags"] == [balancer["name"]]
    (floating,) = scene.floating()
    assert floating["port_id"] == balancer["vip_port_id"]
