"""Annotations and fields that shape a balancer, line by line: default, effect, change in place or anew, bad value."""

from __future__ import annotations

from typing import Any

import pytest

from lbctl.model.objects import ClientIPConfig, SessionAffinityConfig
from tests.clouds.gce.world import Google
from tests.gce.conftest import Build
from tests.world import service

GKE, CLOUD = "networking.gke.io/", "cloud.google.com/"
INTERNAL = {f"{GKE}load-balancer-type": "Internal"}
DUAL = {"ip_families": ("IPv4", "IPv6"), "ip_family_policy": "PreferDualStack"}
LOCAL = {"external_traffic_policy": "Local", "health_check_node_port": 32000}
PREFIX = "projects/shop-project/regions/europe-west1/publicDelegatedPrefixes/ours"


def only(world: Google, collection: str) -> dict[str, Any]:
    """The one object of a collection that is not somebody else's."""
    (found,) = world.objects(collection).values()
    return found


def with_timeout(seconds: int) -> dict[str, Any]:
    """Session affinity of this length."""
    config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=seconds))
    return {"session_affinity": "ClientIP", "session_affinity_config": config}


@pytest.mark.parametrize(
    ("annotations", "policy"), [({}, "WEIGHTED_MAGLEV"), (INTERNAL, "WEIGHTED_GCP_RENDEZVOUS")], ids=["ext", "int"]
)
def test_nodes_are_weighted_by_their_pods_with_traffic_policy_local_only(
    build: Build, annotations: dict[str, str], policy: str
) -> None:
    """Switched in place, both ways; with policy Cluster the author is told that it has no effect."""
    world = build(subsetting=True)
    world.apply(service(annotations=annotations, **LOCAL))
    before = only(world, "backendServices")
    assert before.get("localityLbPolicy", "MAGLEV") == "MAGLEV"
    world.annotate("web", {**annotations, f"{GKE}weighted-load-balancing": "pods-per-node"})
    assert only(world, "backendServices")["localityLbPolicy"] == policy
    assert only(world, "backendServices")["id"] == before["id"]
    assert world.plans() == []
    world.edit("web", external_traffic_policy="Cluster", health_check_node_port=0)
    assert only(world, "backendServices")["localityLbPolicy"] == "MAGLEV"
    assert "UnsupportedConfiguration" in world.reasons()


def test_strong_affinity_is_switched_in_place(world: Google) -> None:
    """The time of the Service's session affinity is that of its connections."""
    strong = {f"{GKE}l4-strong-session-affinity": "enabled"}
    world.apply(service(annotations=strong, **with_timeout(600)))
    before = only(world, "backendServices")
    wanted = {"enableStrongAffinity": True, "trackingMode": "PER_SESSION", "idleTimeoutSec": 600}
    assert before["connectionTrackingPolicy"] == wanted
    assert world.plans() == []
    world.edit("web", **with_timeout(900))
    assert only(world, "backendServices")["connectionTrackingPolicy"]["idleTimeoutSec"] == 900
    world.annotate("web", {})
    after = only(world, "backendServices")
    assert after["connectionTrackingPolicy"]["enableStrongAffinity"] is False
    assert after["id"] == before["id"]
    assert world.plans() == []


@pytest.mark.parametrize("word", ["PreferSameZone", "PreferClose"])
def test_traffic_stays_in_its_zone_where_the_service_asks_for_it(build: Build, word: str) -> None:
    """For internal balancers with endpoint groups, in place, both ways."""
    world = build(subsetting=True)
    world.apply(service(annotations=INTERNAL))
    before = only(world, "backendServices")
    assert "networkPassThroughLbTrafficPolicy" not in before
    world.edit("web", traffic_distribution=word)
    policy = only(world, "backendServices")["networkPassThroughLbTrafficPolicy"]["zonalAffinity"]
    assert policy == {"spillover": "ZONAL_AFFINITY_SPILL_CROSS_ZONE", "spilloverRatio": 0}
    assert world.plans() == []
    world.edit("web", traffic_distribution=None)
    after = only(world, "backendServices")
    assert after["networkPassThroughLbTrafficPolicy"]["zonalAffinity"]["spillover"] == "ZONAL_AFFINITY_DISABLED"
    assert after["id"] == before["id"]
    assert world.plans() == []


@pytest.mark.parametrize("key", [f"{CLOUD}load-balancer-backend-share", f"alpha.{CLOUD}load-balancer-backend-share"])
def test_internal_balancers_share_a_backend_service_when_asked(build: Build, key: str) -> None:
    """One for each protocol and affinity, under upstream's name; it goes with the last that points at it."""
    world = build()
    before = world.state()
    for name, port in (("web", 80), ("other", 81)):
        world.apply(service(name, ports=(port,), annotations={**INTERNAL, key: "true"}))
    assert set(world.objects("backendServices")) == {"k8s-0123456789abcdef-internal-tcp-nmv1-6eef6648406c333a"}
    assert only(world, "backendServices")["backends"]
    assert {rule["backendService"].rpartition("/")[2] for rule in world.objects("forwardingRules").values()} == set(
        world.objects("backendServices")
    )
    assert world.plans() == []
    world.edit("other", session_affinity="ClientIP")
    world.settle(60)
    assert set(world.objects("backendServices")) == {
        "k8s-0123456789abcdef-internal-tcp-nmv1-6eef6648406c333a",
        "k8s-0123456789abcdef-internal-tcp-nmv1-1668fd70f588116e",
    }
    world.delete("other")
    world.settle(60)
    assert len(world.objects("backendServices")) == 1
    world.delete("web")
    world.settle(60)
    assert world.state() == before


def test_a_balancer_moves_between_its_own_and_a_shared_backend_service(build: Build) -> None:
    """The forwarding rule is made anew with its address; traffic policy Local needs a service of its own."""
    world = build()
    share = {**INTERNAL, f"{CLOUD}load-balancer-backend-share": "true"}
    world.apply(service(annotations=INTERNAL))
    address = world.addresses()
    for wish, spec, is_shared in (
        (share, {}, True),
        (share, LOCAL, False),
        (share, {"external_traffic_policy": "Cluster", "health_check_node_port": 0}, True),
        ({**INTERNAL, f"{CLOUD}load-balancer-backend-share": "yes"}, {}, False),
    ):
        world.edit("web", **spec)
        world.annotate("web", wish)
        world.settle(60)
        assert only(world, "backendServices")["name"].startswith("k8s-") is is_shared
        assert world.addresses() == address
        assert world.plans() == []


def test_an_external_ipv6_address_comes_from_the_prefix_that_is_named(world: Google) -> None:
    """A change would move the address, so it is held; with a subnet beside it the Service is refused."""
    wanted = {f"{GKE}ip-collection-v6": f"https://www.googleapis.com/compute/v1/{PREFIX}"}
    world.apply(service(annotations=wanted, **DUAL))
    rules = {rule["ipVersion"]: rule for rule in world.objects("forwardingRules").values() if "ipVersion" in rule}
    assert rules["IPV6"]["ipCollection"].endswith(PREFIX)
    assert world.condition().status == "True", world.condition()
    assert world.plans() == []
    before = world.state()
    world.annotate("web", {f"{GKE}ip-collection-v6": PREFIX.replace("ours", "other")})
    assert "ADDRESS CHANGES" in world.condition().message
    world.annotate("web", {**wanted, f"{GKE}load-balancer-subnet": "other"})
    assert "exclude each other" in world.condition().message
    world.annotate("web", {f"{GKE}ip-collection-v6": "ours"})
    assert "ip-collection-v6" in world.condition().message
    assert world.state() == before


def test_the_subnet_of_an_external_ipv6_address_is_checked_too(world: Google) -> None:
    """It is that of the address alone: the IPv4 rule has none."""
    subnet = f"{GKE}load-balancer-subnet"
    world.apply(service(annotations={subnet: "nowhere"}, **DUAL))
    assert "subnetwork nowhere can't be found" in world.condition().message
    assert world.compute.journal.writes == 0
    world.annotate("web", {subnet: "other"})
    subnets = {rule.get("subnetwork", "").rpartition("/")[2] for rule in world.objects("forwardingRules").values()}
    assert subnets == {"", "other"}


@pytest.mark.parametrize("subsetting", [True, False], ids=["ilb-neg", "ilb-ig"])
def test_the_newer_key_of_the_subnet_wins_where_it_is_known(build: Build, subsetting: bool) -> None:
    """Legacy balancers do not know it, and so are not hurt by what it says."""
    world = build(subsetting=subsetting)
    both = {f"{GKE}internal-load-balancer-subnet": "other", f"{GKE}load-balancer-subnet": "nowhere"}
    world.apply(service(annotations={**INTERNAL, **both}))
    if subsetting:
        assert "subnetwork nowhere can't be found" in world.condition().message
        world.annotate("web", {**INTERNAL, **both, f"{GKE}load-balancer-subnet": "default"})
        assert only(world, "forwardingRules")["subnetwork"].endswith("/default")
    else:
        assert only(world, "forwardingRules")["subnetwork"].endswith("/other")


@pytest.mark.parametrize("value", ["True", "yes", "1", "enabled"])
def test_global_access_needs_the_exact_word(world: Google, value: str) -> None:
    """Anything but `true` means no, as upstream has it."""
    key = f"{GKE}internal-load-balancer-allow-global-access"
    world.apply(service(annotations={**INTERNAL, key: value}))
    assert not only(world, "forwardingRules").get("allowGlobalAccess")
    assert world.condition().status == "True"


@pytest.mark.parametrize("legacy", [True, False], ids=["target-pool", "backend-service"])
def test_session_affinity_of_a_pool_needs_a_new_pool_and_of_a_service_does_not(build: Build, legacy: bool) -> None:
    """Either way the address stays."""
    world = build(backend_service_default=not legacy)
    world.apply(service())
    address, collection = world.addresses(), "targetPools" if legacy else "backendServices"
    before = only(world, collection)
    world.edit("web", session_affinity="ClientIP")
    world.settle(60)
    after = only(world, collection)
    assert after["sessionAffinity"] == "CLIENT_IP"
    assert (after["id"] == before["id"]) is not legacy
    assert world.addresses() == address
    assert world.plans() == []


def test_ranges_of_the_field_win_over_those_of_the_annotation(world: Google) -> None:
    """Both are changed in place."""
    key = "service.beta.kubernetes.io/load-balancer-source-ranges"
    world.apply(service(annotations={key: "10.0.0.0/8, 192.168.0.0/16"}))
    opened = next(f for f in world.objects("firewalls").values() if f.get("destinationRanges"))
    assert opened["sourceRanges"] == ["10.0.0.0/8", "192.168.0.0/16"]
    world.edit("web", load_balancer_source_ranges=("172.16.0.0/12",))
    after = next(f for f in world.objects("firewalls").values() if f.get("destinationRanges"))
    assert after["sourceRanges"] == ["172.16.0.0/12"]
    assert after["id"] == opened["id"]


def test_standard_tier_is_of_new_balancers_at_once(world: Google) -> None:
    """A regional address of the cheaper network."""
    world.apply(service(annotations={f"{CLOUD}network-tier": "Standard"}))
    assert only(world, "forwardingRules")["networkTier"] == "STANDARD"
    assert world.plans() == []


@pytest.mark.parametrize("kind", ["external", "external-legacy", "internal", "internal-legacy"])
def test_a_service_for_pods_of_another_network_is_refused_and_left_alone(world: Google, kind: str) -> None:
    """It is never served in the wrong network; a balancer that it has already stays as it is, until it is deleted."""
    classed = {"load_balancer_class": f"networking.gke.io/l4-regional-{kind}"}
    before = world.state()
    world.apply(service("new", selector={"networking.gke.io/network": "dmz"}, **classed))
    assert world.condition("new").reason == "InvalidService"
    assert "spec.selector[networking.gke.io/network]" in world.condition("new").message
    assert "another network (dmz)" in world.condition("new").message
    assert world.state() == before
    world.delete("new")
    assert not world.exists("new")
    world.apply(service(selector={"networking.gke.io/network": "default"}, **classed))
    assert world.condition().status == "True"
    served, address = world.state(), world.addresses()
    world.edit("web", selector={"networking.gke.io/network": "dmz"})
    assert world.condition().reason == "InvalidService"
    world.crash()
    world.settle(700)
    assert (world.state(), world.addresses()) == (served, address)
    world.delete("web")
    world.settle(700)
    assert world.state() == before
