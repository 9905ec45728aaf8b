"""Firewall rules: who may come, for which address, to which instances, and what happens without the right to write."""

from __future__ import annotations

import pytest

from lbctl_gce.settings import CHECK_RANGES_V4
from tests.clouds.gce.errors import quota
from tests.clouds.gce.faults import Fault
from tests.clouds.gce.world import HOME, REGION, Google
from tests.gce.conftest import Build
from tests.world import change, service

NETWORK_PROJECT = "network-project"


def traffic(world: Google, name: str = "web") -> dict:
    """The traffic rule of a Service."""
    address = world.addresses(name)[0]
    (found,) = [f for f in world.objects("firewalls").values() if f.get("destinationRanges") == [address]]
    return found


@pytest.mark.spec("GCE-069")
def test_traffic_rules_are_for_the_address_alone_and_shared_ones_for_none(world: Google) -> None:
    """The rule of the shared health check has no destination."""
    world.apply(service(ports=(80, 81, 82, 90)))
    assert traffic(world)["allowed"] == [{"IPProtocol": "tcp", "ports": ["80-82", "90"]}]
    shared = world.objects("firewalls")["k8s2-7kpbhpki-l4-shared-hc-fw"]
    assert "destinationRanges" not in shared


@pytest.mark.spec("GCE-038")
def test_a_target_pool_has_the_range_and_its_firewall_the_ports(build: Build) -> None:
    """Ports 80 and 8080 are forwarded as one range; only the firewall narrows it."""
    world = build(backend_service_default=False)
    world.apply(service(ports=(80, 8080)))
    (rule,) = world.objects("forwardingRules").values()
    assert rule["portRange"] == "80-8080"
    assert traffic(world)["allowed"] == [{"IPProtocol": "tcp", "ports": ["80", "8080"]}]


@pytest.mark.spec("GCE-073")
def test_source_ranges_of_one_family_close_the_other(world: Google) -> None:
    """A dual-stack Service with IPv4 ranges alone has no IPv6 rule, and a warning says so."""
    wanted = service(
        ip_families=("IPv4", "IPv6"),
        ip_family_policy="PreferDualStack",
        load_balancer_source_ranges=("10.0.0.0/8",),
    )
    world.apply(wanted)
    opened = [f for f in world.objects("firewalls").values() if "web" in f["name"]]
    assert [f["sourceRanges"] for f in opened] == [["10.0.0.0/8"]]
    assert any("nobody may come by IPv6" in notice.message for _, notice in world.kube.events)


@pytest.mark.spec("GCE-074")
def test_a_range_that_is_none_is_refused_without_a_write(world: Google) -> None:
    """The author is told once; nothing is made and nothing is tried again."""
    world.apply(service(load_balancer_source_ranges=("10.0.0.0/33",)))
    assert world.condition().reason == "InvalidService"
    world.settle(1000)
    assert world.compute.journal.writes == 0


@pytest.mark.spec("GCE-071", "GCE-070")
@pytest.mark.parametrize("legacy", [True, False], ids=["target-pool", "backend-service"])
def test_the_tag_of_a_new_node_reaches_every_rule(build: Build, legacy: bool) -> None:
    """The longest tag that an instance's name starts with is its target tag; rules follow the nodes."""
    world = build(node_tags=(), backend_service_default=not legacy)
    world.apply(service())
    assert traffic(world)["targetTags"] == ["n"]
    path = f"{HOME}/zones/{REGION}-b/instances/pool-1"
    world.compute.store.put(path, {"tags": {"items": ["pool", "p", "other"]}})
    world.clock.advance(60)
    joined = world.join("pool-1")
    world.compute.store.put(path, {"tags": {"items": ["pool", "p", "other"]}})
    world.settle(60)
    assert joined
    assert all(f["targetTags"] == ["n", "pool"] for f in world.objects("firewalls").values())
    assert world.plans() == []


@pytest.mark.spec("GCE-072")
def test_a_node_without_tag_does_not_keep_the_others_from_theirs(build: Build) -> None:
    """The rule has the tags that there are, and a warning names the node."""
    world = build(node_tags=(), nodes=("n1",))
    path = f"{HOME}/zones/{REGION}-b/instances/bare"
    world.join("bare")
    world.compute.store.put(path, {})
    world.apply(service())
    assert traffic(world)["targetTags"] == ["n"]
    assert any("bare" in notice.message for _, notice in world.kube.events)


def test_no_tag_at_all_is_said_clearly(build: Build) -> None:
    """A rule without target tags would open every instance of the network, so none is made."""
    world = build(node_tags=(), nodes=())
    world.join("bare")
    world.compute.store.put(f"{HOME}/zones/{REGION}-b/instances/bare", {})
    world.apply(service())
    assert "no node tags" in world.condition().message
    assert world.objects("firewalls") == {}


def take_right_away(world: Google) -> None:
    """Take the right to write firewall rules away."""
    for verb in ("insert", "patch", "delete"):
        world.compute.denied.add((NETWORK_PROJECT, f"firewalls.{verb}"))


@pytest.mark.spec("GCE-068")
def test_rules_are_made_in_the_networks_project(build: Build) -> None:
    """Everything else is in the cluster's."""
    world = build(network_project=NETWORK_PROJECT)
    before = world.state()
    world.apply(service())
    projects = {path.split("/")[1] for path, body in world.compute.store.of("firewalls") if "k8s" in body["name"]}
    assert projects == {NETWORK_PROJECT}
    assert world.condition().status == "True"
    world.delete("web")
    assert world.state() == before


@pytest.mark.spec("GCE-075")
def test_without_the_right_to_the_firewall_the_command_is_told_once(build: Build) -> None:
    """The balancer is ready; one event has the very command; it comes again only when the rule's content changes."""
    world = build(network_project=NETWORK_PROJECT)
    take_right_away(world)
    world.apply(service())
    assert world.condition().status == "True"
    told = [notice.message for _, notice in world.kube.events if notice.reason == "XPN"]
    assert len(told) == 1
    address = world.addresses()[0]
    assert "gcloud compute firewall-rules create k8s2-7kpbhpki-shop-web-a5j1vv26" in told[0]
    assert f"--destination-ranges {address}" in told[0]
    assert f"--project {NETWORK_PROJECT}" in told[0]
    tries = world.compute.journal.counts["firewalls.insert"]
    world.settle(2000)
    assert len([notice for _, notice in world.kube.events if notice.reason == "XPN"]) == 1
    assert world.compute.journal.counts["firewalls.insert"] == tries
    world.edit("web", load_balancer_source_ranges=("10.0.0.0/8",))
    told = [notice.message for _, notice in world.kube.events if notice.reason == "XPN"]
    assert len(told) == 2
    assert "--source-ranges 10.0.0.0/8" in told[1]
    world.delete("web")
    assert not world.exists()


def test_a_rule_that_denies_has_a_command_of_its_own(build: Build) -> None:
    """Rules of others that let traffic through do not make up for it; whoever may write it is told what to write."""
    world = build(network_project=NETWORK_PROJECT, deny_firewalls=True)
    take_right_away(world)
    world.apply(service())
    told = [notice.message for _, notice in world.kube.events if notice.reason == "XPN"]
    assert any("-deny" in text and "--action DENY --rules all" in text and "--priority 1000" in text for text in told)
    assert any("--allow tcp:80 --priority 999" in text for text in told)


@pytest.mark.spec("GCE-076")
def test_a_rule_of_others_that_lets_the_traffic_through_is_enough(build: Build) -> None:
    """Nobody is told to make another."""
    world = build(network_project=NETWORK_PROJECT)
    take_right_away(world)
    path = f"projects/{NETWORK_PROJECT}/global/firewalls/by-hand"
    network = f"https://www.googleapis.com/compute/v1/projects/{NETWORK_PROJECT}/global/networks/default"
    allowed = [{"IPProtocol": "tcp"}]
    world.compute.store.put(path, {"network": network, "sourceRanges": ["0.0.0.0/0"], "allowed": allowed})
    world.crash()
    world.settle()
    world.apply(service())
    assert world.condition().status == "True"
    assert "XPN" not in world.reasons()


@pytest.mark.spec("GCE-078")
def test_more_ports_than_a_rule_takes_are_refused_before_the_cloud_does(world: Google) -> None:
    """A hundred and fifty neighbouring ports are one range; as many single ones are too many."""
    world.apply(service(ports=tuple(range(1000, 1150))))
    assert world.condition().status == "True", world.condition()
    assert traffic(world)["allowed"] == [{"IPProtocol": "tcp", "ports": ["1000-1149"]}]
    world.apply(service("many", ports=tuple(range(2000, 2300, 2))))
    assert world.condition("many").reason == "InvalidService"
    assert "100" in world.condition("many").message


@pytest.mark.spec("GCE-022")
def test_listed_ports_equal_the_range_of_them(world: Google) -> None:
    """A rule that upstream wrote port by port is no drift."""
    world.apply(service(ports=(80, 81, 82)))
    name = traffic(world)["name"]
    path = f"{HOME}/global/firewalls/{name}"
    world.compute.store.objects[path]["allowed"] = [{"IPProtocol": "TCP", "ports": ["80", "82", "81"]}]
    assert world.plans() == []


@pytest.mark.spec("GCE-067")
def test_ranges_of_health_checks_can_be_set(build: Build) -> None:
    """Sovereign regions have others."""
    world = build(check_ranges_v4=("198.18.0.0/16",), external_check_ranges_v6=("2001:db8::/48",))
    wanted = service(ip_families=("IPv4", "IPv6"), ip_family_policy="PreferDualStack")
    world.apply(wanted)
    rules = world.objects("firewalls")
    assert rules["k8s2-7kpbhpki-l4-shared-hc-fw"]["sourceRanges"] == ["198.18.0.0/16"]
    assert "2001:db8::/48" in rules["k8s2-7kpbhpki-l4-shared-hc-fw-ipv6"]["sourceRanges"]


def is_shut_too_soon(world: Google) -> bool:
    """True while a rule that denies wins against one that lets the balancer's traffic or its health checks in."""
    rules = [f for f in world.compute.store.objects.values() if "sourceRanges" in f and "somebody" not in f["name"]]
    denying = [f["priority"] for f in rules if f.get("denied")]
    return any(f["priority"] >= priority for f in rules if f.get("allowed") for priority in denying)


@pytest.mark.spec("GCE-077")
@pytest.mark.parametrize("local", [False, True], ids=["cluster", "local"])
@pytest.mark.parametrize("legacy", [True, False], ids=["target-pool", "backend-service"])
def test_a_rule_that_denies_comes_last_and_goes_first(build: Build, legacy: bool, local: bool) -> None:
    """At no moment does it win against traffic or health checks, whichever change fails at first; so when it goes."""
    world = build(backend_service_default=not legacy)
    spec = {"external_traffic_policy": "Local", "health_check_node_port": 32000} if local else {}
    world.apply(service(**spec))
    before = world.state()
    early: list[str] = []
    world.compute.operations.after = lambda target: early.extend([target] if is_shut_too_soon(world) else [])
    for wanted in (True, False):
        world.settings = change(world.settings, deny_firewalls=wanted)
        world.compute.faults.append(Fault("firewalls.patch", quota("FIREWALLS", 100, "global"), skip=int(wanted)))
        world.crash()
        world.settle(700)
        denying = [f for f in world.objects("firewalls").values() if f.get("denied")]
        assert len(denying) == wanted
        assert world.condition().status == "True", world.condition()
        if wanted:
            assert denying[0]["destinationRanges"] == world.addresses()
            assert denying[0]["denied"] == [{"IPProtocol": "all"}]
            assert denying[0]["name"].endswith("-deny")
            assert world.plans() == []
    world.settle(700)
    assert early == []
    assert world.state() == before


def test_a_service_with_a_rule_that_denies_goes_without_a_trace(build: Build) -> None:
    """Both families have one, and both go."""
    world = build(deny_firewalls=True)
    before = world.state()
    world.apply(service(ip_families=("IPv4", "IPv6"), ip_family_policy="PreferDualStack"))
    denying = [f["sourceRanges"] for f in world.objects("firewalls").values() if f.get("denied")]
    assert sorted(denying) == [["0.0.0.0/0"], ["::/0"]]
    world.delete("web")
    assert world.state() == before


def test_a_rule_that_was_changed_by_hand_is_repaired(world: Google) -> None:
    """Drift is found at the next look and mended."""
    world.apply(service())
    name = traffic(world)["name"]
    world.compute.store.objects[f"{HOME}/global/firewalls/{name}"]["sourceRanges"] = ["10.9.9.9/32"]
    world.settle(1300)
    assert traffic(world)["sourceRanges"] == ["0.0.0.0/0"]


@pytest.mark.parametrize("kind", ["external", "external-legacy", "internal", "internal-legacy"])
def test_traffic_rules_may_be_left_to_the_operator(build: Build, kind: str) -> None:
    """Only health checks are let in; rules that were there before the setting go, and the operator's own stay."""
    world = build()
    world.apply(service(load_balancer_class=f"networking.gke.io/l4-regional-{kind}"))
    assert traffic(world)
    world.settings = change(world.settings, firewalls=False)
    world.crash()
    world.settle(60)
    assert world.condition().status == "True"
    assert [sorted(rule["sourceRanges"]) for rule in world.objects("firewalls").values()] == [sorted(CHECK_RANGES_V4)]
    assert world.plans() == []
