"""What few clusters use: private links, several balancers, several groups, TLS, the lease of a managed cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbctl.model.objects import Endpoint, EndpointSlice, ObjectMeta
from tests.azure.cluster import Cluster, Time, cluster
from tests.clouds.azure.limits import UNLIMITED
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.tls import loopback_tls
from tests.clouds.azure.world import World as Azure
from tests.world import service

PREFIX = "service.beta.kubernetes.io/azure-"
INTERNAL = {PREFIX + "load-balancer-internal": "true"}
NAME = "a0000000100004000800000000000000"
LINKS = "Microsoft.Network/privateLinkServices"
MANY = {
    "multipleStandardLoadBalancerConfigurations": [
        {"name": "kubernetes"},
        {"name": "second", "serviceLabelSelector": {"matchLabels": {"tier": "edge"}}},
    ]
}


@pytest.fixture
def linked() -> Iterator[Cluster]:
    """A cluster whose pools hold interfaces, with a Service behind a private link."""
    with cluster(config={"loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration"}) as world:
        world.apply(
            service(
                annotations=INTERNAL | {PREFIX + "pls-create": "true", PREFIX + "pls-ip-configuration-subnet": "links"}
            )
        )
        world.settle(60)
        yield world


@pytest.mark.spec("AZ-087")
def test_a_private_link_comes_after_its_frontend_and_goes_before_it(linked: Cluster) -> None:
    """The private link is made for the frontend, its connections are cut first, and nothing is left."""
    identity = linked.azure.id("privateLinkServices", f"pls-{NAME}")
    found = linked.azure.state()[identity]
    assert found["tags"]["k8s-azure-owner-service"] == "shop/web"
    assert linked.plans() == []
    linked.azure.connect(identity, "somebody")
    linked.server.journal.clear()
    linked.delete("web")
    linked.settle(120)
    assert not linked.exists(), linked.kube.events
    assert identity not in linked.azure.state()
    assert linked.balancer("kubernetes-internal") is None
    order = [call.action for call in linked.server.journal.calls if call.method == "DELETE" and call.status < 300]
    assert [action.rpartition("/")[0].rpartition("/")[2] for action in order] == [
        "privateEndpointConnections",
        "privateLinkServices",
        "loadBalancers",
    ]


@pytest.mark.spec("AZ-087")
def test_a_private_link_of_somebody_else_is_refused(linked: Cluster) -> None:
    """Two Services cannot name one private link."""
    name = {PREFIX + "pls-create": "true", PREFIX + "pls-name": f"pls-{NAME}"}
    linked.apply(service("thief", ports=(81,), annotations=INTERNAL | name))
    linked.settle(60)
    found = linked.azure.state()[linked.azure.id("privateLinkServices", f"pls-{NAME}")]
    assert found["tags"]["k8s-azure-owner-service"] == "shop/web"
    assert linked.addresses("web")
    assert f"pls-{NAME} belongs to shop/web" in linked.condition("thief").message


@pytest.mark.spec("AZ-085")
def test_services_are_placed_by_label_and_stay() -> None:
    """A selector takes its Services to its balancer; others go elsewhere, and nobody moves."""
    with cluster(config=MANY) as world:
        world.add_nodes("n1", "n2", "n3")
        edge = service("edge")
        labelled = type(edge.metadata)(name="edge", namespace="shop", labels={"tier": "edge"})
        world.apply(type(edge)(metadata=labelled, spec=edge.spec))
        world.apply(service("plain", ports=(81,)))
        assert len(world.lb_rules("second")) == 1
        assert len(world.lb_rules("kubernetes")) == 1
        assert world.plans() == []
        world.crash()
        world.settle()
        assert world.plans() == []
        members = [
            {
                item["name"]
                for item in world.parts("backendAddressPools", name)["kubernetes"]["loadBalancerBackendAddresses"]
            }
            for name in ("kubernetes", "second")
        ]
        assert members[0] | members[1] == {"n1", "n2", "n3"}
        assert not members[0] & members[1]


@pytest.mark.spec("AZ-085")
def test_services_spread_over_balancers_and_never_move() -> None:
    """Without selectors the emptiest balancer takes the next Service, and nobody moves when another is emptier."""
    with cluster(
        config={"multipleStandardLoadBalancerConfigurations": [{"name": "kubernetes"}, {"name": "second"}]}
    ) as world:
        world.add_nodes("n1", "n2")
        for name in ("a", "b", "c"):
            world.apply(service(name))
        assert sorted([len(world.lb_rules("kubernetes")), len(world.lb_rules("second"))]) == [1, 2]
        placed = set(world.lb_rules("kubernetes"))
        world.crash()
        world.settle()
        assert world.plans() == []
        world.delete("b")
        world.settle(60)
        assert set(world.lb_rules("kubernetes")) <= placed
        assert world.plans() == []


@pytest.mark.spec("AZ-086")
def test_a_local_service_has_a_pool_of_the_nodes_with_endpoints() -> None:
    """With several balancers, a Local Service's pool holds the nodes of all its slices, and follows them."""
    with cluster(config={"multipleStandardLoadBalancerConfigurations": [{"name": "kubernetes"}]}) as world:
        world.add_nodes("n1", "n2", "n3")
        world.apply(service(external_traffic_policy="Local", health_check_node_port=31000))
        world.controller.see_slice(None, _slice("one", "n1"))
        world.controller.see_slice(None, _slice("two", "n2"))
        world.settle(60)
        pool = world.parts("backendAddressPools")["shop-web"]
        assert {item["name"] for item in pool["loadBalancerBackendAddresses"]} == {"n1", "n2"}
        world.controller.see_slice(_slice("two", "n2"), _slice("two", "n3"))
        world.controller.see_slice(_slice("one", "n1"), None)
        world.settle(60)
        pool = world.parts("backendAddressPools")["shop-web"]
        assert {item["name"] for item in pool["loadBalancerBackendAddresses"]} == {"n3"}
        world.delete("web")
        world.settle(60)
        assert world.balancer() is None


def _slice(name: str, node: str) -> EndpointSlice:
    meta = ObjectMeta(name=name, namespace="shop", labels={"kubernetes.io/service-name": "web"})
    return EndpointSlice(metadata=meta, endpoints=(Endpoint(addresses=("10.9.0.1",), node_name=node),))


@pytest.mark.spec("AZ-097")
def test_the_same_life_over_tls(tmp_path: Path) -> None:
    """The SDK's own authentication works over TLS with a certificate of one's own."""
    loopback = loopback_tls(tmp_path)
    time = Time()
    with ArmServer(now=time, limits=UNLIMITED, tls=loopback.context) as server:
        world = Cluster(server, Azure(server.cloud), verify=loopback.trusted)
        time.read = world.clock.monotonic
        world.settle()
        world.apply(service())
        assert world.addresses()
        world.delete("web")
        assert not world.exists()
        world.driver.close()


@pytest.mark.spec("AZ-095")
def test_importing_the_driver_loads_no_sdk() -> None:
    """The driver's declaration is known without azure.*; connecting loads it."""
    code = "import lbctl_azure, sys, json; print(json.dumps([m for m in sys.modules if m.split('.')[0] == 'azure']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
