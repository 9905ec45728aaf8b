"""Changes of a living balancer on the real services: in place where Octavia can, without a gap where it cannot."""

from __future__ import annotations

import pytest

from lbctl.model.objects import NodeAddress
from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import Scene, cloud_node
from tests.world import change, service

PREFIX = "loadbalancer.openstack.org/"
INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}


def annotated(scene: Scene, **values: str) -> None:
    """Set annotations of the driver, keep the others, and let lbctl work."""
    live = scene.live()
    named = {PREFIX + name.replace("_", "-"): value for name, value in values.items()}
    scene.annotate("web", {**live.metadata.annotations, **named})


def without(scene: Scene, name: str) -> None:
    """Take an annotation off and let lbctl work."""
    kept = {key: value for key, value in scene.live().metadata.annotations.items() if key != PREFIX + name}
    scene.annotate("web", kept)


def writes(calls: list) -> list[str]:
    """The writes among calls, without ids."""
    return [
        f"{call.method} {'/'.join(p for p in call.path.split('/')[3:] if len(p) != 36)}"
        for call in calls
        if call.is_write
    ]


@pytest.mark.spec("OS-024", "OS-025", "OS-026")
def test_ports_come_and_go_without_leaving_a_pool(scene: Scene, cloud: Cloud):
    """A new port is pool, members, then listener; a removed one takes its listener and its pool along."""
    scene.apply(service(ports=(80,)))
    with cloud.octavia.counted() as calls:
        scene.edit("web", ports=service(ports=(80, 443)).spec.ports)
    assert writes(calls) == ["POST pools", "PUT pools/members", "POST listeners"]
    assert not any("members" in (call.body or {}).get("pool", {}) for call in calls)
    assert len(scene.children("listeners")) == len(scene.children("pools")) == 2
    with cloud.octavia.counted() as calls:
        scene.edit("web", ports=service(ports=(443,)).spec.ports)
    assert writes(calls) == ["DELETE listeners", "DELETE pools"]
    (listener,) = scene.children("listeners")
    (pool,) = scene.children("pools")
    assert listener["protocol_port"] == 443
    assert listener["default_pool_id"] == pool["id"]
    assert len(scene.members(pool)) == 2
    assert scene.plans() == []


@pytest.mark.spec("OS-033", "OS-035", "OS-036", "OS-038", "OS-039")
def test_settings_change_in_place(scene: Scene, cloud: Cloud):
    """Time-outs, limit and ranges go by a PUT on the listener, affinity by one on the pool; strangers' tags stay."""
    scene.apply(service())
    (listener,) = scene.children("listeners")
    stranger = {"listener": {"tags": [*listener["tags"], "somebody's"]}}
    scene.admin.load_balancer.put(f"/lbaas/listeners/{listener['id']}", json=stranger)
    scene.rest()
    with cloud.octavia.counted() as calls:
        live = scene.live()
        ranges = {"load_balancer_source_ranges": ("192.168.32.1/24",), "session_affinity": "ClientIP"}
        named = {PREFIX + "timeout-client-data": "60000", PREFIX + "connection-limit": "100"}
        metadata = change(live.metadata, annotations={**live.metadata.annotations, **named})
        scene.kube.put(change(live, spec=change(live.spec, **ranges), metadata=metadata))
        scene.settle()
    assert sorted(set(writes(calls))) == ["PUT listeners", "PUT pools"]
    (listener,), (pool,) = scene.children("listeners"), scene.children("pools")
    assert listener["timeout_client_data"] == 60000
    assert listener["connection_limit"] == 100
    assert listener["allowed_cidrs"] == ["192.168.32.0/24"]
    assert pool["session_persistence"]["type"] == "SOURCE_IP"
    assert scene.plans() == []
    scene.edit("web", load_balancer_source_ranges=(), session_affinity="None")
    (listener,), (pool,) = scene.children("listeners"), scene.children("pools")
    assert not listener["allowed_cidrs"]
    assert pool["session_persistence"] is None
    assert "somebody's" in listener["tags"]
    assert scene.plans() == []


@pytest.mark.spec("OS-030", "OS-031")
def test_protocols_change_on_a_living_service(scene: Scene, cloud: Cloud):
    """proxy-protocol replaces the pool behind the listener, x-forwarded-for the listener; nothing is left.

    Once a listener speaks HTTP, other headers are a PUT.
    """
    scene.apply(service())
    (before,) = scene.children("listeners")
    with cloud.octavia.counted() as calls:
        annotated(scene, proxy_protocol="v2")
    assert writes(calls) == ["POST pools", "PUT pools/members", "PUT listeners", "DELETE pools"]
    (listener,), (pool,) = scene.children("listeners"), scene.children("pools")
    assert (listener["id"], pool["protocol"]) == (before["id"], "PROXYV2")
    assert listener["default_pool_id"] == pool["id"]
    assert scene.live().status.load_balancer.ingress[0].ip_mode == "Proxy"
    without(scene, "proxy-protocol")
    annotated(scene, x_forwarded_for="true")
    (listener,), (pool,) = scene.children("listeners"), scene.children("pools")
    assert (listener["protocol"], pool["protocol"]) == ("HTTP", "HTTP")
    assert listener["insert_headers"] == {"X-Forwarded-For": "true"}
    assert len(scene.members(pool)) == 2
    with cloud.octavia.counted() as calls:
        annotated(scene, x_forwarded_for="false", x_forwarded_port="true", x_forwarded_proto="true")
    assert writes(calls) == ["PUT listeners"]
    (listener,) = scene.children("listeners")
    headers = {name: value for name, value in listener["insert_headers"].items() if value == "true"}
    assert headers == {"X-Forwarded-Port": "true", "X-Forwarded-Proto": "true"}
    assert scene.plans() == []


def test_members_are_at_the_addresses_that_a_range_picks(scene: Scene, cloud: Cloud):
    """With node-address-cidr nodes of two networks are reached at the one that is meant, in the subnet of that one."""
    for number in range(2):
        live = cloud_node(cloud, number)
        first = NodeAddress(type="InternalIP", address=f"172.31.0.{number + 1}")
        scene.see_node(change(live, status=change(live.status, addresses=(first, *live.status.addresses))))
    scene.settle(40)
    scene.apply(service(annotations={**INTERNAL, "lbctl.io/node-address-cidr": "10.0.0.0/16"}))
    (pool,) = scene.children("pools")
    wanted = [(cloud.node_addresses[number][0], cloud.ids["nodes4"]) for number in range(2)]
    assert [(member["address"], member["subnet_id"]) for member in scene.members(pool)] == wanted
    assert scene.plans() == []


@pytest.mark.spec("OS-041", "OS-042")
def test_traffic_policy_local_is_watched_at_the_health_port(scene: Scene):
    """Local brings an HTTP monitor at the health-check node port; Cluster takes it away again."""
    scene.apply(service(external_traffic_policy="Local", health_check_node_port=32000))
    (pool,) = scene.children("pools")
    monitor = scene.get(f"healthmonitors/{pool['healthmonitor_id']}")["healthmonitor"]
    assert (monitor["type"], monitor["url_path"], monitor["expected_codes"]) == ("HTTP", "/healthz", "200")
    assert {member["monitor_port"] for member in scene.members(pool)} == {32000}
    annotated(scene, health_monitor_delay="9")
    assert scene.get(f"healthmonitors/{monitor['id']}")["healthmonitor"]["delay"] == 9
    scene.edit("web", external_traffic_policy="Cluster", health_check_node_port=0)
    (pool,) = scene.children("pools")
    assert not pool.get("healthmonitor_id")
    assert {member["monitor_port"] for member in scene.members(pool)} == {None}
    annotated(scene, enable_health_monitor="true")
    (pool,) = scene.children("pools")
    assert scene.get(f"healthmonitors/{pool['healthmonitor_id']}")["healthmonitor"]["type"] == "TCP"
    assert scene.plans() == []


@pytest.mark.spec("OS-061")
def test_becoming_internal_gives_the_floating_ip_back(scene: Scene):
    """An external Service that becomes internal shows its VIP, and the floating IP that we made is gone."""
    scene.apply(service())
    assert len(scene.floating()) == 1
    live = scene.live()
    internal = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}
    scene.annotate("web", {**live.metadata.annotations, **internal})
    assert scene.floating() == []
    assert scene.addresses() == [scene.balancer()["vip_address"]]
    scene.annotate("web", dict(live.metadata.annotations))
    (floating,) = scene.floating()
    assert scene.addresses() == [floating["floating_ip_address"]]
    assert scene.plans() == []


@pytest.mark.spec("OS-064")
def test_two_families_share_one_balancer(scene: Scene):
    """A dual-stack Service has one balancer with a VIP of each family; the one of IPv4 has a floating IP in front.

    Both are published, also when it becomes internal, in place.
    """
    scene.apply(service(ip_families=("IPv4", "IPv6"), ip_family_policy="RequireDualStack"))
    balancer, (floating,) = scene.balancer(), scene.floating()
    (more,) = balancer["additional_vips"]
    assert scene.addresses() == [floating["floating_ip_address"], more["ip_address"]]
    assert scene.plans() == []
    scene.annotate("web", {**scene.live().metadata.annotations, **INTERNAL})
    assert scene.addresses() == [balancer["vip_address"], more["ip_address"]]
    assert scene.balancer()["id"] == balancer["id"]
    assert scene.plans() == []


@pytest.mark.spec("OS-091")
def test_a_serial_provider_gets_everything_one_by_one(build, cloud: Cloud):
    """With provider-requires-serial-api-calls nothing is nested, no batch is sent, and the end is the same."""
    scene = build(conf="provider-requires-serial-api-calls = true")
    with cloud.octavia.counted() as calls:
        scene.apply(service())
    assert writes(calls) == [
        "POST loadbalancers",
        "POST pools",
        "POST pools/members",
        "POST pools/members",
        "POST listeners",
    ]
    assert not any("listeners" in (call.body or {}).get("loadbalancer", {}) for call in calls)
    (pool,) = scene.children("pools")
    assert len(scene.members(pool)) == 2
    assert scene.plans() == []
    with cloud.octavia.counted() as calls:
        scene.see_node(None, "node0")
        scene.settle(40)
    assert writes(calls) == ["DELETE pools/members"]
    scene.delete("web")
    assert scene.leftovers() == []


@pytest.mark.spec("OS-035")
def test_tls_ends_at_the_listener(build, cloud: Cloud):
    """A Barbican reference makes a TERMINATED_HTTPS listener, an unknown one is refused, another is put in place."""
    cloud.barbican.known = {"containers/one", "secrets/two"}
    url = cloud.barbican.url
    scene = build(conf=f"default-tls-container-ref = {url}/v1/containers/one")
    scene.apply(service(ports=(443,), annotations=INTERNAL))
    (before,) = scene.children("listeners")
    assert (before["protocol"], before["default_tls_container_ref"]) == ("TERMINATED_HTTPS", f"{url}/v1/containers/one")
    annotated(scene, default_tls_container_ref=f"{url}/v1/secrets/none")
    assert f"{url}/v1/secrets/none does not exist" in scene.condition().message
    assert scene.children("listeners") == [before]
    annotated(scene, default_tls_container_ref=f"{url}/v1/secrets/two")
    (after,) = scene.children("listeners")
    assert (after["id"], after["default_tls_container_ref"]) == (before["id"], f"{url}/v1/secrets/two")
    assert scene.plans() == []
