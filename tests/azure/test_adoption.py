"""What the upstream controller left is taken over as it is, beside what is nobody's business of ours."""

from __future__ import annotations

import copy
import json

import msgspec
import pytest

from lbctl.model.objects import Endpoint, EndpointSlice, Node, NodeAddress, ObjectMeta, Service
from tests.azure.cluster import Cluster, cluster
from tests.clouds.azure.bystanders import add_bystanders, foreign_parts
from tests.clouds.azure.recorded import RECORDED, Flavour
from tests.world import change, node

ENDPOINTS = EndpointSlice(
    metadata=ObjectMeta(name="web-1", namespace="default", labels={"kubernetes.io/service-name": "web"}),
    endpoints=(Endpoint(addresses=("10.9.0.1",), node_name="several-0"),),
)


def adopt(world: Cluster, flavour: Flavour) -> None:
    """Start lbctl on what the flavour's Services have."""
    for body in flavour.services:
        service = msgspec.convert(body, Service)
        world.kube.services[service.key] = service
    for machine in machines_of(world):
        world.kube.nodes[machine.metadata.name] = machine
    world.start()
    if flavour.name == "several-balancers":
        world.controller.see_slice(None, ENDPOINTS)
    world.settle()


def join_machines(world: Cluster) -> None:
    """Put the machines that a flavour recorded outside of the pool into it, where interfaces are the members."""
    pool = world.azure.id("loadBalancers", "kubernetes") + "/backendAddressPools/kubernetes"
    if world.config.uses_node_ips:
        return
    for machine in machines_of(world):
        name = f"{machine.metadata.name}-nic"
        found = world.azure.cloud.find(world.azure.id("networkInterfaces", name))
        assert found is not None
        configurations = copy.deepcopy(found.properties["ipConfigurations"])
        configurations[0]["properties"]["loadBalancerBackendAddressPools"] = [{"id": pool}]
        world.azure.put("networkInterfaces", name, {"properties": {"ipConfigurations": configurations}})


def machines_of(world: Cluster) -> list[Node]:
    """A Node for each machine that the flavour recorded."""
    found = []
    for identity, body in world.azure.state().items():
        owner = body.get("properties", {}).get("virtualMachine", {}).get("id", "")
        if "/networkInterfaces/" not in identity or "by-hand" in owner or not owner:
            continue
        name = owner.rpartition("/")[2]
        ips = [item["properties"]["privateIPAddress"] for item in body["properties"]["ipConfigurations"]]
        plain = node(name, provider_id=f"azure://{owner}")
        addresses = tuple(NodeAddress(type="InternalIP", address=ip) for ip in ips)
        found.append(change(plain, status=change(plain.status, addresses=addresses)))
    return found


def settings_of(flavour: Flavour) -> dict[str, object]:
    """The flavour's azure.json on top of the tests' own."""
    return {"loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration", **flavour.settings}


@pytest.mark.spec("AZ-011", "AZ-012", "AZ-017", "AZ-018")
@pytest.mark.parametrize("flavour", RECORDED, ids=lambda flavour: flavour.name)
def test_a_recorded_state_is_adopted_without_a_write(flavour: Flavour) -> None:
    """A balancer, its addresses and its security rules as upstream wrote them cost no write and get published."""
    with cluster(config=settings_of(flavour), started=False) as world:
        flavour.write(world.azure)
        join_machines(world)
        before = json.dumps(world.azure.state(), sort_keys=True)
        adopt(world, flavour)
        assert world.writes() == {}
        assert json.dumps(world.azure.state(), sort_keys=True) == before
        assert world.plans() == []
        for service in world.kube.services.values():
            assert len(service.status.load_balancer.ingress) == len(service.spec.ip_families), world.kube.events


@pytest.mark.spec("AZ-015", "AZ-016", "AZ-074")
@pytest.mark.parametrize("flavour", RECORDED, ids=lambda flavour: flavour.name)
def test_bystanders_survive_the_end_of_what_was_adopted(flavour: Flavour) -> None:
    """Deleting every adopted Service leaves each foreign object, part and rule byte for byte as it was."""
    with cluster(config=settings_of(flavour), started=False) as world:
        before = add_bystanders(world.azure)
        flavour.write(world.azure)
        before = foreign_parts(world.azure)
        adopt(world, flavour)
        for key in list(world.kube.services):
            world.kube.delete(key)
        world.settle(120)
        assert not world.kube.services, world.kube.events
        assert foreign_parts(world.azure) == before
