"""Nodes as instances: names, zones, limits, and what is never taken away."""

from __future__ import annotations

import pytest

from lbctl.model.objects import Taint
from lbctl_gce.machines import Machine, target_tags
from lbctl_gce.subsets import choose_subset, hashed
from tests.clouds.gce.world import HOME, PROJECT, REGION, Google
from tests.gce.conftest import Build
from tests.world import node, service

GROUP = f"{HOME}/zones/{REGION}-b/instanceGroups/k8s-ig--0123456789abcdef"


@pytest.mark.spec("GCE-048")
def test_a_full_domain_name_is_the_instance_before_the_first_dot(build: Build) -> None:
    """The group's members are compared by that name: nothing is removed and added again."""
    world = build(nodes=("a.b.c", "d.b.c"))
    world.apply(service())
    assert world.members() == {"a", "d"}
    world.compute.journal.clear()
    world.settle(1300)
    assert world.compute.journal.writes == 0


@pytest.mark.spec("GCE-049")
def test_a_node_whose_zone_is_unknown_neither_joins_nor_leaves(world: Google) -> None:
    """It is looked at again when its id is there."""
    world.apply(service())
    world.see_node(node("n1", provider_id=""))
    world.see_node(node("stranger", provider_id=""))
    world.settle(60)
    assert world.members() == {"n1", "n2"}
    assert world.plans() == []


@pytest.mark.spec("GCE-050")
def test_the_first_thousand_nodes_of_a_zone_by_name_are_taken(build: Build) -> None:
    """A group takes no more; the author of every Service that uses it is told."""
    names = [f"n{index:04d}" for index in range(1001)]
    world = build(nodes=names)
    world.apply(service())
    assert world.members() == set(names[:1000])
    told = [notice.message for _, notice in world.kube.events if notice.reason == "LimitedByDriver"]
    assert told == ["zone europe-west1-b has 1001 nodes and an instance group takes 1000: the first by name are used"]


@pytest.mark.spec("GCE-051", "GCE-061")
def test_a_new_zone_adds_its_group_to_every_balancer_and_keeps_the_others(world: Google) -> None:
    """A foreign backend that somebody linked by hand stays too."""
    world.apply(service())
    world.apply(service("other", ports=(81,)))
    (path,) = [p for p, b in world.compute.store.of("backendServices") if "shop-web" in b["name"]]
    foreign = f"https://www.googleapis.com/compute/v1/{HOME}/zones/{REGION}-b/instanceGroups/somebody-elses"
    body = world.compute.store.objects[path]
    body["backends"].append({"group": foreign, "balancingMode": "CONNECTION"})
    world.join("n3", "c")
    world.settle(60)
    for backend in world.objects("backendServices").values():
        groups = {entry["group"].split("/zones/")[1] for entry in backend["backends"]}
        assert {f"{REGION}-b/instanceGroups/k8s-ig--0123456789abcdef"} < groups
        assert f"{REGION}-c/instanceGroups/k8s-ig--0123456789abcdef" in groups
    assert foreign in {entry["group"] for entry in world.compute.store.objects[path]["backends"]}


@pytest.mark.parametrize("kind", ["external", "internal-legacy"])
def test_a_backend_that_somebody_linked_by_hand_outlives_every_look(world: Google, kind: str) -> None:
    """A restart, a look for drift and a change of the Service leave it; the cluster's own group goes with its zone."""
    world.join("n3", "c")
    world.apply(service(load_balancer_class=f"networking.gke.io/l4-regional-{kind}"))
    (path,) = [p for p, b in world.compute.store.of("backendServices") if b["name"] in world.objects("backendServices")]
    foreign = f"https://www.googleapis.com/compute/v1/{HOME}/zones/{REGION}-b/instanceGroups/somebody-elses"
    world.compute.store.objects[path]["backends"].append({"group": foreign, "balancingMode": "CONNECTION"})

    def linked() -> set[str]:
        return {entry["group"].partition("/zones/")[2] for entry in world.compute.store.objects[path]["backends"]}

    groups = {f"{REGION}-{zone}/instanceGroups/k8s-ig--0123456789abcdef" for zone in "bc"}
    theirs = {f"{REGION}-b/instanceGroups/somebody-elses"}
    world.crash()
    world.settle(1300)
    assert (linked(), world.plans()) == (groups | theirs, [])
    world.edit("web", session_affinity="ClientIP")
    assert linked() == groups | theirs
    world.see_node(None, "n3")
    world.settle(60)
    assert linked() == {group for group in groups if "-b/" in group} | theirs


@pytest.mark.spec("GCE-052")
def test_without_any_node_nothing_is_taken_away(world: Google) -> None:
    """No node at all is more likely a fault than the truth; the condition says so."""
    world.apply(service())
    for name in ("n1", "n2"):
        world.see_node(None, name)
    world.settle(300)
    assert world.members() == {"n1", "n2"}
    assert world.condition().reason == "NoEligibleNodes"


@pytest.mark.spec("GCE-053", "GCE-054")
def test_a_large_target_pool_is_filled_in_two_calls(build: Build) -> None:
    """It is made with 200 instances, the others join at once; a thousand and more change in pieces of a thousand."""
    world = build(backend_service_default=False, nodes=[f"n{index:03d}" for index in range(450)])
    world.apply(service())
    counts = world.compute.journal.counts
    assert (counts["targetPools.insert"], counts["targetPools.addInstance"]) == (1, 1)
    (pool,) = world.objects("targetPools").values()
    assert len(pool["instances"]) == 450
    for index in range(1500):
        world.join(f"m{index:04d}")
    world.settle(60)
    assert world.compute.journal.counts["targetPools.addInstance"] == 3
    assert world.plans() == []


@pytest.mark.spec("GCE-056")
def test_an_instance_in_another_balanced_group_is_reported_with_that_group(world: Google) -> None:
    """The condition names the other group."""
    other = f"{HOME}/zones/{REGION}-b/instanceGroups/somebody-elses"
    backend = next(p for p, b in world.compute.store.of("backendServices"))
    link = f"https://www.googleapis.com/compute/v1/{other}"
    world.compute.store.objects[backend]["backends"] = [{"group": link}]
    world.apply(service())
    joined = world.join("taken")
    assert joined
    world.compute.store.members[other] = [f"{HOME}/zones/{REGION}-b/instances/taken"]
    world.others = world.bystanders()
    world.settle(60)
    assert "somebody-elses" in world.condition().message


@pytest.mark.spec("GCE-057")
def test_nodes_of_other_subnets_are_not_in_the_group(world: Google) -> None:
    """Their interfaces are not in the balancer's network path."""
    world.apply(service())
    new = node(
        "far", provider_id=f"gce://{PROJECT}/{REGION}-b/far", labels={"cloud.google.com/gke-node-pool-subnet": "other"}
    )
    world.see_node(new)
    world.settle(60)
    assert world.members() == {"n1", "n2"}


@pytest.mark.spec("GCE-058")
@pytest.mark.parametrize(
    "options",
    [
        {"labels": {"node-role.kubernetes.io/master": ""}},
        {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}},
        {"taints": (Taint(key="ToBeDeletedByClusterAutoscaler"),)},
    ],
    ids=["master", "excluded", "condemned"],
)
def test_nodes_that_must_not_serve_do_not_join(world: Google, options: dict) -> None:
    """Masters, excluded nodes and those that the autoscaler removes."""
    world.apply(service())
    world.see_node(node("n9", provider_id=f"gce://{PROJECT}/{REGION}-b/n9", **options))
    world.settle(60)
    assert world.members() == {"n1", "n2"}


@pytest.mark.spec("GCE-058")
def test_a_draining_node_leaves_internal_endpoint_groups_alone(build: Build) -> None:
    """Instance groups keep it, because leaving them cuts connections."""
    world = build()
    world.apply(service())
    world.apply(service("inside", ports=(81,), load_balancer_class="networking.gke.io/l4-regional-internal"))
    (path,) = [p for p in world.compute.store.members if "networkEndpointGroups/k8s2" in p]
    labels = {"operation.gke.io/type": "drain"}
    world.see_node(node("n1", provider_id=f"gce://{PROJECT}/{REGION}-b/n1", labels=labels))
    world.settle(60)
    assert [m.split(" ")[0].rpartition("/")[2] for m in world.compute.store.members[path]] == ["n2"]
    assert world.members() == {"n1", "n2"}


def test_a_subset_is_spread_over_zones_and_keeps_its_members() -> None:
    """Present members come first, the rest in the order of the hash; zones share evenly."""
    zones = {zone: [Machine(f"{zone}{index}", zone) for index in range(20)] for zone in "abc"}
    first = choose_subset(zones, limit=25, salt="s", current=frozenset())
    assert sorted(len(members) for members in first.values()) == [8, 8, 9]
    present = frozenset(m.name for members in first.values() for m in members)
    more = {zone: [*members, Machine(f"{zone}new", zone)] for zone, members in zones.items()}
    again = choose_subset(more, limit=25, salt="s", current=present)
    assert {m.name for members in again.values() for m in members} == present


# The order of SHA-256 of `NODE:web/shop` in each zone; 25 are shared out as 8 (of which zone a has but 4), 10 and 11.
CHOSEN = {
    "a": (0, 1, 2, 3),
    "b": (0, 2, 4, 7, 9, 12, 14, 16, 17, 18),
    "c": (0, 1, 4, 5, 6, 7, 8, 9, 11, 18, 19),
}


@pytest.mark.spec("GCE-059")
def test_the_subset_is_upstreams_choice(build: Build) -> None:
    """Of 44 nodes those 25 become endpoints that upstream's hash of node and Service puts first in each zone."""
    world = build(nodes=(), subsetting=True)
    for zone, size in (("a", 4), ("b", 20), ("c", 20)):
        for number in range(size):
            world.join(f"gke-pool-{zone}-{number}", zone)
    world.apply(service(annotations={"networking.gke.io/load-balancer-type": "Internal"}))
    endpoints = {
        m.split(" ")[0].rpartition("/")[2] for members in world.compute.store.members.values() for m in members
    }
    assert endpoints == {f"gke-pool-{zone}-{number}" for zone, numbers in CHOSEN.items() for number in numbers}


def test_of_too_many_members_the_first_by_name_stay() -> None:
    """A smaller share takes the last members away, as upstream does."""
    zones = {"a": [Machine(f"a{index}", "a") for index in range(9)]}
    chosen = choose_subset(zones, limit=2, salt="s", current=frozenset({"a7", "a3", "a5"}))
    assert [machine.name for machine in chosen["a"]] == ["a3", "a5"]


@pytest.mark.spec("GCE-060")
def test_a_subset_is_filled_up_when_members_vanish() -> None:
    """As many as allowed are chosen again."""
    zones = {"a": [Machine(f"a{index}", "a") for index in range(60)]}
    first = choose_subset(zones, limit=25, salt="s", current=frozenset())["a"]
    left = {"a": [machine for machine in zones["a"] if machine not in first[:10]]}
    present = frozenset(machine.name for machine in first[10:])
    second = {machine.name for machine in choose_subset(left, limit=25, salt="s", current=present)["a"]}
    assert len(second) == 25
    assert present <= second
    assert hashed("a1", "s") != hashed("a1", "t")


def test_the_longest_fitting_tag_is_taken() -> None:
    """And who has none is named."""
    machines = [Machine("pool-1-x", "z"), Machine("bare", "z")]
    tags = {"pool-1-x": frozenset({"pool", "pool-1", "pool-12", "other"}), "bare": frozenset({"other"})}
    assert target_tags(machines, tags) == (frozenset({"pool-1"}), ["bare"])
