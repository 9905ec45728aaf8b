"""What is written on the Service itself: names of its objects, and the finalizer of its kind."""

from __future__ import annotations

import itertools

import pytest

from lbctl_gce.modes import FINALIZERS, Mode
from tests.clouds.gce.world import Google
from tests.gce.conftest import Build
from tests.gce.test_crash import Counter, Crash
from tests.gce.test_migration import MIGRATE
from tests.world import change, service

PREFIX = "service.kubernetes.io/"
HASH, BE = "7kpbhpki", "k8s2-7kpbhpki-shop-web-a5j1vv26"
SHARED = f"k8s2-{HASH}-l4-shared-hc"
INTERNAL = {"networking.gke.io/load-balancer-type": "Internal"}
DUAL = {"ip_families": ("IPv4", "IPv6"), "ip_family_policy": "PreferDualStack"}
LOCAL = {"external_traffic_policy": "Local", "health_check_node_port": 32000}


def told(world: Google) -> dict[str, str]:
    """What upstream's annotations say, without their prefix."""
    found = world.live().metadata.annotations
    return {key.removeprefix(PREFIX): value for key, value in found.items() if key.startswith(PREFIX)}


def marks(world: Google) -> set[str]:
    """Upstream's finalizers of kinds."""
    return {name for name in world.live().metadata.finalizers if name in FINALIZERS.values()}


def test_the_service_names_its_objects_as_upstream_does(world: Google) -> None:
    """In the write of the status, once; names of objects that go are taken off, what else is annotated stays."""
    world.apply(service(annotations={"example.com/owner": "us"}))
    balancer = next(iter(world.objects("forwardingRules")))
    shared = {"healthcheck": SHARED, "firewall-rule-for-hc": f"{SHARED}-fw"}
    mine = {"backend-service": BE, "firewall-rule": BE}
    assert told(world) == {"tcp-forwarding-rule": balancer, **mine, **shared}
    writes = world.kube.writes
    world.crash()
    world.settle(700)
    assert world.kube.writes == writes
    world.edit("web", **LOCAL)
    assert told(world) == {
        "tcp-forwarding-rule": balancer,
        **mine,
        "healthcheck": BE,
        "firewall-rule-for-hc": f"{BE}-fw",
    }
    (tcp,) = world.live().spec.ports
    both = (tcp, change(tcp, protocol="UDP", name="udp", node_port=30999))
    world.edit("web", external_traffic_policy="Cluster", health_check_node_port=0, ports=both)
    assert told(world) == {"l3-forwarding-rule": f"k8s2-l3-{HASH}-shop-web-a5j1vv26", **mine, **shared}
    assert world.live().metadata.annotations["example.com/owner"] == "us"


def test_each_family_has_names_of_its_own_and_they_go_with_it(build: Build) -> None:
    """With the suffix of IPv6; the deny rule too, where there is one."""
    world = build(subsetting=True, deny_firewalls=True)
    world.apply(service(annotations=INTERNAL, **DUAL))
    found = told(world)
    assert {key for key in found if key.endswith("-ipv6")} == {
        "tcp-forwarding-rule-ipv6",
        "firewall-rule-ipv6",
        "firewall-rule-deny-ipv6",
        "firewall-rule-for-hc-ipv6",
    }
    there = {body["name"] for _, body in world.compute.store.of("firewalls")}
    assert {name for key, name in found.items() if key.startswith("firewall")} <= there
    assert set(found.values()) <= {body["name"] for body in world.compute.store.objects.values()}
    world.edit("web", ip_families=("IPv4",), ip_family_policy="SingleStack")
    assert not [key for key in told(world) if key.endswith("-ipv6")]


@pytest.mark.spec("GCE-091")
def test_the_names_go_in_the_write_that_ends_the_balancer(world: Google) -> None:
    """Whoever sees the Service without them sees it without address and finalizer too; what others wrote stays."""
    world.apply(service(annotations={"example.com/owner": "us"}))
    live = world.live()
    waiting = (*live.metadata.finalizers, "example.com/waits")
    world.kube.put(change(live, metadata=change(live.metadata, finalizers=waiting)))
    seen = []
    world.kube.listeners.append(lambda _old, new: seen.append(new))
    world.delete("web")
    world.settle(60)
    assert world.live().metadata.annotations == {"example.com/owner": "us"}
    assert world.live().metadata.finalizers == ("example.com/waits",)
    ended = [s for s in seen if f"{PREFIX}backend-service" not in s.metadata.annotations]
    assert ended
    assert [s for s in ended if s.status.load_balancer.ingress or len(s.metadata.finalizers) > 1] == []


def test_names_that_somebody_removes_come_back(world: Google) -> None:
    """At the next look at the balancer."""
    world.apply(service())
    before = told(world)
    world.annotate("web", {})
    world.settle(1300)
    assert told(world) == before


@pytest.mark.parametrize("stale", ["gone", ""])
def test_legacy_names_are_kept_true_where_they_are_and_not_added(build: Build, stale: str) -> None:
    """Upstream writes them with a flag that is off by default."""
    world = build(backend_service_default=False)
    key = "networking.gke.io/target-pool"
    world.apply(service(annotations={key: stale} if stale else {}))
    (pool,) = world.objects("targetPools")
    assert world.live().metadata.annotations == ({key: pool} if stale else {})
    if stale:
        world.annotate("web", {key: pool, **MIGRATE})
        world.settle(120)
        assert key not in world.live().metadata.annotations


def test_the_finalizer_of_the_former_kind_goes_once_nothing_of_it_is_left(build: Build) -> None:
    """Not before: at each write of the exchange the old one is there as long as the pool is."""
    world = build(backend_service_default=False)
    world.apply(service())
    assert marks(world) == {FINALIZERS[Mode.TARGET_POOL]}
    early: list[str] = []

    def look(_target: str) -> None:
        if world.objects("targetPools") and FINALIZERS[Mode.TARGET_POOL] not in marks(world):
            early.append("the finalizer went first")

    world.compute.operations.after = look
    world.annotate("web", MIGRATE)
    world.settle(120)
    assert early == []
    assert world.objects("targetPools") == {}
    assert marks(world) == {FINALIZERS[Mode.EXTERNAL_GROUPS]}
    before = world.state()
    world.annotate("web", {})
    world.settle(60)
    assert world.state() == before
    assert marks(world) == {FINALIZERS[Mode.EXTERNAL_GROUPS]}


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_crash_around_the_write_that_takes_the_finalizer_off_leaves_it_to_the_next_process(
    build: Build, before: bool
) -> None:
    """Dying right before or after any of the API server's writes, the end is one finalizer and the new kind."""
    for at in itertools.count(1):
        world = build(backend_service_default=False)
        world.apply(service())
        counter = Counter(at, before=before)
        world.kube.before, world.kube.after = counter.begin, counter.end
        try:
            world.annotate("web", MIGRATE)
            world.settle(120)
        except Crash:
            world.kube.before = world.kube.after = lambda _what, _number: None
            world.crash()
            world.settle(120)
        assert world.objects("targetPools") == {}
        assert marks(world) == {FINALIZERS[Mode.EXTERNAL_GROUPS]}
        if not counter.fired:
            assert at > 2
            return
