"""What is written to a Service, and what is not."""

from __future__ import annotations

import pytest

from lbctl.errors import KubeConflict, KubeUnreachable
from lbctl.model.objects import ClientIPConfig, Condition, Ingress, LoadBalancerStatus, SessionAffinityConfig
from tests.clouds.memory import PREFIX
from tests.world import change, service

SOME_TIME = "2026-01-01T00:00:00Z"


def set_ingress(world, *addresses):
    """Somebody else writes the address."""
    live = world.live()
    ingress = tuple(Ingress(ip=a, ip_mode="VIP") for a in addresses)
    status = change(live.status, load_balancer=LoadBalancerStatus(ingress=ingress))
    world.kube.overwrite(change(live, status=status))


def test_a_wiped_address_is_written_again(world, cloud):
    """Without any cloud call."""
    world.apply(service())
    calls = cloud.calls.total()
    set_ingress(world)
    world.settle(5)
    assert world.addresses() == ["198.51.100.1"]
    assert cloud.calls.total() == calls


@pytest.mark.spec("SC-065")
def test_two_writers_of_one_status_do_not_fight_for_ever(world, cloud):
    """Three rewrites in a minute, then a Warning that names the other, and silence."""
    world.apply(service())
    for _ in range(10):
        set_ingress(world, "203.0.113.99")
        world.settle(3)
    assert world.addresses() == ["203.0.113.99"]
    conflicts = [notice for _, notice in world.kube.events if notice.reason == "StatusConflict"]
    assert conflicts
    assert "someone-else" in conflicts[0].message


def test_the_address_comes_back_once_the_other_writer_has_stopped(world, cloud):
    """At the next drift interval."""
    world.apply(service())
    for _ in range(5):
        set_ingress(world, "203.0.113.99")
        world.settle(2)
    assert world.addresses() == ["203.0.113.99"]
    world.settle(700)
    assert world.addresses() == ["198.51.100.1"]


def test_types_flipped_quickly_are_no_foreign_writer(world, cloud):
    """The server clears the address of what is no balancer for the moment; each time it is written again."""
    world.apply(service())
    for _ in range(5):
        for kind in ("ClusterIP", "LoadBalancer"):
            live = world.live()
            world.kube.put(change(live, spec=change(live.spec, type=kind)))
        world.settle(5)
    assert world.addresses()
    assert "StatusConflict" not in world.reasons()


@pytest.mark.spec("SC-061")
def test_what_the_server_stores_in_another_form_is_not_written_again(world, cloud):
    """A stored ipMode that the driver left out is no difference."""
    world.apply(service())
    assert world.live().status.load_balancer.ingress[0].ip_mode == "VIP"
    writes = world.kube.writes
    for scope in world.account.all_scopes():
        world.controller.resync(world.account, scope)
    world.settle()
    assert world.kube.writes == writes


@pytest.mark.spec("SC-066")
def test_a_conflict_on_the_status_is_settled_without_the_cloud(world, cloud):
    """The newest object is read and the write made again; no cloud call."""
    world.apply(service())
    calls = cloud.calls.total()
    spent = []

    def conflict(what, number):
        if what == "write-status" and not spent:
            spent.append(number)
            raise KubeConflict("changed")

    world.kube.before = conflict
    set_ingress(world)
    world.settle(5)
    assert spent
    assert world.addresses() == ["198.51.100.1"]
    assert cloud.calls.total() == calls


def test_a_status_that_cannot_be_written_is_tried_with_growing_pauses(world, cloud):
    """While the server fails a few writes are made, and soon after it has recovered the address is there."""
    tries = []

    def fail(what, number):
        if what == "write-status":
            tries.append(number)
            assert len(tries) < 20, "a hot loop"
            raise KubeUnreachable("the server answered 500", status=500, after_seconds=0.0)

    world.kube.before = fail
    world.kube.put(service())
    world.settle(300)
    assert 3 <= len(tries) <= 8
    world.kube.before = lambda _what, _number: None
    world.settle(300)
    assert world.addresses() == ["198.51.100.1"]


def test_a_service_that_is_gone_before_the_watch_tells_is_not_published_in_a_loop(world, cloud):
    """A few tries until the watch has told, and then its balancer goes."""
    last = world.kube.put(service())
    tries = []

    def count(what, number):
        if what == "write-status":
            tries.append(number)
            assert len(tries) < 20, "a hot loop"

    def vanish(what, _number):
        if what == "create-balancer":
            world.kube.listeners = []
            del world.kube.services[last.key]

    world.kube.before, cloud.after = count, vanish
    world.settle(60)
    assert 1 <= len(tries) <= 5
    world.controller.see_service(last, None)
    world.settle(60)
    assert [thing for thing in cloud.things.values() if thing.kind == "balancer"] == []


def test_conditions_of_others_are_kept(world, cloud):
    """Our condition stands beside theirs."""
    foreign = Condition(type="example.com/Theirs", status="True", reason="Because", last_transition_time=SOME_TIME)
    wanted = service()
    world.kube.put(change(wanted, status=change(wanted.status, conditions=(foreign,))))
    world.settle()
    assert {c.type for c in world.live().status.conditions} == {"example.com/Theirs", "lbctl.io/LoadBalancerReady"}
    world.delete("web")
    assert not world.exists()


@pytest.mark.spec("SC-067")
def test_several_protocols_where_the_cloud_cannot_mix_them(world, cloud):
    """The API's own condition says so, nothing is written to the cloud, and what was served stays."""
    world.apply(service())
    before = cloud.state()
    live = world.live()
    udp = change(live.spec.ports[0], protocol="UDP", port=53, name="dns")
    world.kube.put(change(live, spec=change(live.spec, ports=(*live.spec.ports, udp))))
    world.settle()
    conditions = {c.type: c for c in world.live().status.conditions}
    assert conditions["LoadBalancerPortsError"].reason == "LoadBalancerMixedProtocolNotSupported"
    assert cloud.state() == before
    assert world.addresses() == ["198.51.100.1"]
    world.kube.put(change(world.live(), spec=live.spec))
    world.settle()
    assert "LoadBalancerPortsError" not in {c.type for c in world.live().status.conditions}


@pytest.mark.spec("SC-068")
def test_a_port_without_node_port_is_refused_by_name(world, cloud):
    """The message names the port; the cloud is not called."""
    wanted = service()
    bare = change(wanted.spec.ports[0], node_port=0)
    world.apply(change(wanted, spec=change(wanted.spec, ports=(bare,), allocate_load_balancer_node_ports=False)))
    assert world.condition().reason == "InvalidService"
    assert "80/TCP" in world.condition().message
    assert cloud.writes == 0


@pytest.mark.spec("SC-017", "SC-019", "SC-025")
@pytest.mark.parametrize("what", ["annotation", "labels", "order", "selector"])
def test_changes_that_decide_nothing_cost_nothing(world, cloud, what):
    """No cloud call, no write, no event."""
    world.apply(service(ports=(80, 443), load_balancer_source_ranges=("10.0.0.0/8", "192.168.0.0/16")))
    calls, writes, events = cloud.calls.total(), world.kube.writes, len(world.kube.events)
    live = world.live()
    changed = {
        "annotation": change(live, metadata=change(live.metadata, annotations={"kubectl.kubernetes.io/x": "y"})),
        "labels": change(live, metadata=change(live.metadata, labels={"a": "b"})),
        "order": change(
            live,
            spec=change(
                live.spec,
                ports=live.spec.ports[::-1],
                load_balancer_source_ranges=live.spec.load_balancer_source_ranges[::-1],
            ),
        ),
        "selector": change(live, spec=change(live.spec, selector={"app": "other"})),
    }[what]
    world.kube.put(changed)
    world.settle()
    assert (cloud.calls.total(), world.kube.writes, len(world.kube.events)) == (calls, writes, events)


@pytest.mark.spec("SC-018")
def test_a_declared_annotation_is_one_pass_with_one_change(world, cloud):
    """Only what it asks for is written."""
    world.apply(service())
    cloud.calls.clear()
    world.annotate("web", {PREFIX + "timeout": "120"})
    assert cloud.calls == {"update": 1}


@pytest.mark.spec("SC-020")
def test_a_port_change_touches_only_that_ports_objects(world, cloud):
    """The other listener is not written."""
    world.apply(service(ports=(80, 443)))
    before = {t.id: dict(t.fields) for t in cloud.things.values() if t.fields.get("port") == 80}
    cloud.calls.clear()
    live = world.live()
    moved = change(live.spec.ports[1], node_port=31999)
    world.kube.put(change(live, spec=change(live.spec, ports=(live.spec.ports[0], moved))))
    world.settle()
    assert cloud.calls == {"update": 1}
    assert {t.id: dict(t.fields) for t in cloud.things.values() if t.fields.get("port") == 80} == before


@pytest.mark.spec("SC-021")
def test_renaming_a_port_costs_nothing_where_names_do_not_reach_the_cloud(world, cloud):
    """Names are for people."""
    world.apply(service())
    calls = cloud.calls.total()
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, ports=(change(live.spec.ports[0], name="web"),))))
    world.settle()
    assert cloud.calls.total() == calls


def test_deleting_one_service_makes_no_call_in_vain(world, cloud):
    """Pointers go first: the cloud never has to refuse."""
    world.apply(service(ports=(80, 443)))
    cloud.calls.clear()
    world.delete("web")
    assert {name: count for name, count in cloud.calls.items() if name != "list"} == {"update": 1, "delete": 3}


@pytest.mark.spec("SC-022")
def test_affinity_and_its_timeout_reach_the_cloud(world, cloud):
    """One pass each, with the new values."""
    world.apply(service())
    for config, seconds in ((None, 10800), (SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=60)), 60)):
        cloud.calls.clear()
        world.edit("web", session_affinity="ClientIP", session_affinity_config=config)
        assert cloud.calls == {"update": 1}
        assert next(t for t in cloud.things.values() if t.kind == "balancer").fields["affinity"] == seconds


@pytest.mark.spec("SC-024")
def test_the_traffic_policy_switches_the_health_check_and_keeps_the_address(world, cloud):
    """Both ways."""
    world.apply(service())
    address = world.addresses()
    for policy, port, health in (("Local", 32100, "HTTP:32100/healthz"), ("Cluster", 0, "TCP")):
        world.edit("web", external_traffic_policy=policy, health_check_node_port=port)
        assert next(t for t in cloud.things.values() if t.kind == "balancer").fields["health"] == health
        assert world.addresses() == address


@pytest.mark.spec("SC-026")
def test_only_the_second_address_comes_and_goes_with_the_second_family(world, cloud):
    """Added: published beside the first. Removed: only it disappears."""
    world.apply(service())
    first = world.addresses()
    world.edit("web", ip_families=("IPv4", "IPv6"), ip_family_policy="PreferDualStack")
    assert world.addresses()[0] == first[0]
    assert len(world.addresses()) == 2
    world.edit("web", ip_families=("IPv4",), ip_family_policy="SingleStack")
    assert world.addresses() == first
