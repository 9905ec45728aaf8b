"""Several load balancers: who goes where, one after the other and all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from lbctl.naming import default_balancer_name
from tests.azure.cluster import Cluster, cluster
from tests.clouds.azure.cloud import Timing
from tests.world import change, node, service

KEY = "multipleStandardLoadBalancerConfigurations"
NAMES = ("kubernetes", "second", "third")
THREE = {KEY: [{"name": name} for name in NAMES]}
INTERNAL = {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
PORTS = (1, 3, 1, 1, 2, 1, 4, 1, 1, 1, 2, 1)
"""How many ports each Service of a batch has."""


def batch(annotations: Mapping[str, str]) -> Iterable[Any]:
    """Services of several sizes."""
    for number, ports in enumerate(PORTS):
        yield service(f"s{number:02}", ports=tuple(range(80, 80 + ports)), annotations=dict(annotations))


def placed(world: Cluster, suffix: str = "") -> list[int]:
    """How many rules each load balancer has."""
    return [len(world.lb_rules(name + suffix)) for name in NAMES]


def homes_of(world: Cluster, suffix: str) -> dict[str, set[str]]:
    """The load balancer of each Service."""
    services = {default_balancer_name(one.metadata.uid): one.metadata.name for one in world.kube.services.values()}
    return {name: {services[rule.partition("-")[0]] for rule in world.lb_rules(name + suffix)} for name in NAMES}


@pytest.mark.spec("AZ-085")
@pytest.mark.parametrize(("annotations", "suffix"), [({}, ""), (INTERNAL, "-internal")], ids=["external", "internal"])
def test_a_batch_spreads_as_if_one_came_after_the_other(annotations: dict[str, str], suffix: str) -> None:
    """All at once or one by one, each balancer gets the same rules, in few writes, and a restart moves nobody."""
    homes = []
    for together in (False, True):
        with cluster(config=THREE) as world:
            world.add_nodes("n1", "n2", "n3")
            world.azure.cloud.timing = Timing(by_type={"loadBalancers": 5.0, "publicIPAddresses": 3.0})
            world.server.journal.clear()
            for wanted in batch(annotations):
                world.kube.put(wanted)
                if not together:
                    world.settle(60)
            world.settle(120)
            homes.append(homes_of(world, suffix))
            assert max(placed(world, suffix)) - min(placed(world, suffix)) <= max(PORTS), placed(world, suffix)
            if together:
                assert world.writes()["Microsoft.Network/loadBalancers/write"] <= 2 * len(NAMES)
            world.crash()
            world.settle(60)
            assert world.plans() == []
    assert homes[0] == homes[1]


def test_a_service_that_went_before_it_was_placed_counts_no_more() -> None:
    """What never came leaves no gap: after the next look at the cloud, the emptiest balancer is the emptiest again."""
    with cluster(config=THREE) as world:
        world.add_nodes("n1", "n2", "n3")
        many = tuple(range(80, 90))
        world.kube.put(service("never", ports=many, annotations={"service.beta.kubernetes.io/azure-pip-name": "no"}))
        world.settle(60)
        world.delete("never")
        world.settle(700)
        for name in ("a", "b", "c", "d"):
            world.apply(service(name))
        assert sorted(placed(world)) == [1, 1, 2]


@pytest.mark.spec("AZ-085")
def test_expressions_choose_the_balancer_of_services_and_nodes() -> None:
    """`matchExpressions` decide as `matchLabels` do, for labels, for namespaces by name, and for nodes."""
    edge = {
        "name": "second",
        "serviceLabelSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["edge", "dmz"]}]},
        "nodeSelector": {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]},
    }
    space = [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["shop"]}]
    other = {"name": "third", "serviceNamespaceSelector": {"matchExpressions": space}}
    with cluster(config={KEY: [{"name": "kubernetes"}, edge, other]}) as world:
        world.add_nodes("n1", "n2")
        world.see_node(node("n3", labels={"gpu": ""}))
        chosen = service("chosen", ports=(81,))
        abroad = service("abroad", ports=(82,))
        world.kube.put(service("plain"))
        world.kube.put(change(chosen, metadata=change(chosen.metadata, labels={"tier": "dmz"})))
        world.kube.put(change(abroad, metadata=change(abroad.metadata, namespace="edge")))
        world.settle(120)
        ports = {name: [rule["frontendPort"] for rule in world.lb_rules(name).values()] for name in NAMES}
        assert ports == {"kubernetes": [80], "second": [81], "third": [82]}
        pool = world.parts("backendAddressPools", "second")["kubernetes"]
        assert [member["name"] for member in pool["loadBalancerBackendAddresses"]] == ["n3"]

        live = world.live("chosen")
        world.kube.put(change(live, metadata=change(live.metadata, labels={})))
        world.settle(300)
        assert sorted(rule["frontendPort"] for rule in world.lb_rules("kubernetes").values()) == [80, 81]
        assert world.lb_rules("second") == {}
