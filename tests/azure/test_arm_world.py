"""Worlds hold what they say, recorded states obey Azure's rules, and nodes join pools as machines do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.azure.bodies import first, internal_balancer, public_balancer
from tests.clouds.azure.bystanders import add_bystanders, foreign_parts
from tests.clouds.azure.client import send
from tests.clouds.azure.cloud import Cloud
from tests.clouds.azure.recorded import NAME, RECORDED, Flavour
from tests.clouds.azure.world import GROUP, World

if TYPE_CHECKING:
    from tests.clouds.azure.server import ArmServer

VERSION = "?api-version=2025-05-01"


@pytest.mark.parametrize("flavour", RECORDED, ids=lambda flavour: flavour.name)
@pytest.mark.parametrize("crowded", [False, True], ids=["alone", "with bystanders"])
def test_a_recorded_state_obeys_the_rules(flavour: Flavour, *, crowded: bool) -> None:
    """Each state is accepted part for part, and leaves bystanders as they are."""
    world = World(Cloud(now=time.monotonic))
    before = add_bystanders(world) if crowded else {}
    flavour.write(world)
    assert not crowded or foreign_parts(world) == before
    rules = [
        rule["name"]
        for identity, body in world.state().items()
        if "/loadBalancers/" in identity
        for rule in body["properties"].get("loadBalancingRules", ())
    ]
    assert [name for name in rules if name.startswith(NAME)]


def test_a_recorded_state_can_be_put_back_as_it_is(network: Any, world: World) -> None:
    """Reading a recorded balancer and writing what was read changes nothing."""
    for flavour in RECORDED:
        if flavour.name == "shared-address":
            flavour.write(world)
    before = world.state()
    shown = network.load_balancers.get(GROUP, "kubernetes").as_dict()
    network.load_balancers.begin_create_or_update(GROUP, "kubernetes", shown, headers={"If-Match": shown["etag"]})
    shown = network.network_security_groups.get(GROUP, "nodes-nsg").as_dict()
    network.network_security_groups.begin_create_or_update(GROUP, "nodes-nsg", shown).result()
    assert world.state() == before


def test_whatever_is_shown_can_be_sent_back(compute: Any, world: World) -> None:
    """No resource of any kind shows a member that a write of it would be refused for."""
    add_bystanders(world)
    world.uniform_set(count=1)
    world.flex_set(count=1)
    world.availability_set(count=1)
    private_link(world)
    before = world.state()
    for identity in before:
        version = VERSION if "/Microsoft.Network/" in identity else "?api-version=2026-04-01"
        shown = send(compute, "GET", f"{identity}{version}").json()
        answer = send(compute, "PUT", f"{identity}{version}", body=shown)
        assert answer.status_code == 200, (identity, answer.json())
    assert world.state() == before


def test_bystanders_notice_what_is_done_to_them(world: World) -> None:
    """The check that proves drivers harmless can fail: a foreign rule taken away is seen."""
    before = add_bystanders(world)
    assert foreign_parts(world) == before
    stored = world.cloud.find(world.security_group)
    assert stored is not None
    rules = [rule for rule in stored.properties["securityRules"] if rule["name"] != "to-asg-by-hand"]
    world.put("networkSecurityGroups", "nodes-nsg", {"properties": {"securityRules": rules}})
    lost = before.keys() - foreign_parts(world).keys()
    assert [identity.rpartition("/")[2] for identity in lost] == ["to-asg-by-hand"]


# Scale sets


def members(network: Any) -> list[str]:
    """The members of the pool, as the balancer shows them, by machine."""
    shown = network.load_balancers.get(GROUP, "kubernetes").as_dict()
    found = first(shown, "backendAddressPools").get("backendIPConfigurations", [])
    return [member["id"].split("/providers/Microsoft.Compute/")[1].split("/networkInterfaces/")[0] for member in found]


def test_instances_made_from_a_joined_model_are_members_at_once(network: Any, world: World) -> None:
    """A scale-out needs no write."""
    balancer = world.put("loadBalancers", "kubernetes", public_balancer(world))
    world.uniform_set(count=1, pools=[f"{balancer}/backendAddressPools/nodes"])
    world.scale_out("nodes")
    assert members(network) == [f"virtualMachineScaleSets/nodes/virtualMachines/{number}" for number in (0, 1)]


def test_a_model_reaches_instances_only_when_they_are_upgraded(network: Any, compute: Any, world: World) -> None:
    """With policy Manual a joined model leaves instances as they are, until each is written itself."""
    balancer = world.put("loadBalancers", "kubernetes", public_balancer(world))
    world.uniform_set(count=2)
    join(compute.virtual_machine_scale_sets.get(GROUP, "nodes").as_dict(), balancer, compute)
    assert members(network) == []
    instance = compute.virtual_machine_scale_set_vms.get(GROUP, "nodes", "1").as_dict()
    assert instance["properties"]["latestModelApplied"] is False
    configure(instance["properties"]["networkProfileConfiguration"], balancer)
    compute.virtual_machine_scale_set_vms.begin_update(
        GROUP, "nodes", "1", instance, headers={"If-Match": instance["etag"]}
    ).result()
    assert members(network) == ["virtualMachineScaleSets/nodes/virtualMachines/1"]


def test_an_automatic_model_overrules_its_instances(network: Any, compute: Any, world: World) -> None:
    """With policy Automatic a new model reaches all instances, and undoes what was done to one alone."""
    balancer = world.put("loadBalancers", "kubernetes", public_balancer(world))
    world.uniform_set(count=2, upgrade="Automatic")
    instance = compute.virtual_machine_scale_set_vms.get(GROUP, "nodes", "1").as_dict()
    configure(instance["properties"]["networkProfileConfiguration"], balancer)
    compute.virtual_machine_scale_set_vms.begin_update(GROUP, "nodes", "1", instance).result()
    assert len(members(network)) == 1
    model = compute.virtual_machine_scale_sets.get(GROUP, "nodes").as_dict()
    compute.virtual_machine_scale_sets.begin_create_or_update(GROUP, "nodes", model).result()
    assert members(network) == []
    join(model, balancer, compute)
    assert len(members(network)) == 2


def join(model: Any, balancer: str, compute: Any) -> None:
    """Puts the model of the scale set into the pool."""
    configure(model["properties"]["virtualMachineProfile"]["networkProfile"], balancer)
    compute.virtual_machine_scale_sets.begin_create_or_update(GROUP, "nodes", model).result()


def configure(profile: Any, balancer: str) -> None:
    """Names the pool in the primary IP configuration of a network profile."""
    configuration = profile["networkInterfaceConfigurations"][0]["properties"]["ipConfigurations"][0]
    configuration["properties"]["loadBalancerBackendAddressPools"] = [{"id": f"{balancer}/backendAddressPools/nodes"}]


def test_a_balancer_that_a_scale_set_holds_cannot_be_deleted(network: Any, world: World) -> None:
    """The refusal names the pool and the scale set; so does that of the pool alone."""
    body = public_balancer(world)
    balancer = world.put("loadBalancers", "kubernetes", body)
    world.uniform_set(pools=[f"{balancer}/backendAddressPools/nodes"])
    response = send(network, "DELETE", f"{balancer}{VERSION}")
    assert response.json()["error"]["code"] == "LoadBalancerInUseByVirtualMachineScaleSet"
    scale_set = world.id("virtualMachineScaleSets", "nodes")
    assert f"nodes are in use by virtual machine scale set {scale_set}." in response.json()["error"]["message"]
    body["properties"].update(backendAddressPools=[{"name": "new"}], loadBalancingRules=[])
    response = send(network, "PUT", f"{balancer}{VERSION}", body=body)
    assert response.json()["error"]["code"] == "CannotRemoveBackendAddressPoolUsedByVMSS"


def test_a_rule_whose_probe_a_scale_set_uses_stays(network: Any, world: World) -> None:
    """The rule of a scale set's health probe cannot be removed."""
    body = public_balancer(world)
    balancer = world.put("loadBalancers", "kubernetes", body)
    profile = {"networkProfile": {"healthProbe": {"id": f"{balancer}/probes/web"}}}
    world.put("virtualMachineScaleSets", "nodes", {"properties": {"virtualMachineProfile": profile}})
    body["properties"]["loadBalancingRules"] = []
    response = send(network, "PUT", f"{balancer}{VERSION}", body=body)
    assert response.json()["error"]["code"] == "CannotRemoveRuleUsedByProbeUsedByVMSS"


def test_machines_show_their_interfaces_and_power(network: Any, compute: Any, world: World) -> None:
    """What a driver needs to find a node's interface is there for all three kinds of node."""
    world.flex_set(count=1)
    nodes = world.uniform_set(count=1)
    machine = compute.virtual_machines.get(GROUP, "flex-0", expand="instanceView").as_dict()
    assert machine["properties"]["networkProfile"]["networkInterfaces"][0]["id"].endswith("/flex-0-nic")
    codes = [status["code"] for status in machine["properties"]["instanceView"]["statuses"]]
    assert codes == ["ProvisioningState/succeeded", "PowerState/running"]
    owner = world.id("virtualMachineScaleSets", "flex")
    listed = compute.virtual_machines.list(GROUP, filter=f"'virtualMachineScaleSet/id' eq '{owner}'")
    assert [item.name for item in listed] == ["flex-0"]
    path = f"{world.id('virtualMachineScaleSets', 'nodes')}/virtualMachines/0/networkInterfaces{VERSION}"
    shown = send(network, "GET", path).json()["value"][0]["properties"]["ipConfigurations"]
    assert tuple(item["properties"]["privateIPAddress"] for item in shown) == nodes[0].addresses


def test_an_interface_joins_one_public_balancer_only(network: Any, world: World) -> None:
    """A second public balancer is refused; an internal one beside it is not."""
    pools = [
        world.put("loadBalancers", name, body) + "/backendAddressPools/nodes"
        for name, body in (
            ("kubernetes", public_balancer(world)),
            ("other", public_balancer(world, name="other", public_ip="other")),
            ("kubernetes-internal", internal_balancer(world)),
        )
    ]
    world.machine("node-1", pools=[pools[0], pools[2]])
    interface = network.network_interfaces.get(GROUP, "node-1-nic").as_dict()
    first(interface, "ipConfigurations")["loadBalancerBackendAddressPools"].append({"id": pools[1]})
    with pytest.raises(HttpResponseError, match="NetworkInterfaceUsesMultipleLoadBalancersOfSameType"):
        network.network_interfaces.begin_create_or_update(GROUP, "node-1-nic", interface)


def test_an_instance_marked_for_deletion_cannot_be_written(compute: Any, world: World) -> None:
    """The refusals of going instances are those that a driver has to pass over."""
    world.uniform_set(count=1)
    instance = compute.virtual_machine_scale_set_vms.get(GROUP, "nodes", "0").as_dict()
    with pytest.raises(HttpResponseError, match="not an active Virtual Machine Scale Set VM instanceId"):
        compute.virtual_machine_scale_set_vms.begin_update(GROUP, "nodes", "7", instance)
    stored = world.cloud.find(f"{world.id('virtualMachineScaleSets', 'nodes')}/virtualMachines/0")
    assert stored is not None
    stored.state = "Deleting"
    with pytest.raises(HttpResponseError, match="marked for deletion"):
        compute.virtual_machine_scale_set_vms.begin_update(GROUP, "nodes", "0", instance)


# Private links


def private_link(world: World) -> str:
    """A world with an internal Service that has a private link service; the id of the latter."""
    next(flavour for flavour in RECORDED if flavour.name == "private-link").write(world)
    return world.id("privateLinkServices", f"pls-{NAME}")


def test_a_private_link_holds_its_frontend_and_subnet(network: Any, world: World) -> None:
    """While it is there, frontend and balancer stay and the subnet's policies stay off."""
    private_link(world)
    balancer = world.id("loadBalancers", "kubernetes-internal")
    response = send(network, "DELETE", f"{balancer}{VERSION}")
    assert response.json()["error"]["code"] == "FrontendIPConfigurationInUseByPrivateLinkService"
    subnet = network.subnets.get(GROUP, "cluster-vnet", "links").as_dict()
    subnet["properties"]["privateLinkServiceNetworkPolicies"] = "Enabled"
    with pytest.raises(HttpResponseError, match="PoliciesCannotBeEnabledOnPrivateLinkServiceSubnet"):
        network.subnets.begin_create_or_update(GROUP, "cluster-vnet", "links", subnet)


def test_a_private_link_needs_a_subnet_without_policies(network: Any, world: World) -> None:
    """Policies have to be off before the service is made."""
    link = private_link(world)
    body = network.private_link_services.get(GROUP, f"pls-{NAME}").as_dict()
    first(body, "ipConfigurations")["subnet"]["id"] = world.subnet
    response = send(network, "PUT", f"{link}{VERSION}", body=body)
    assert response.json()["error"]["code"] == "PrivateLinkServiceCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled"


def test_a_connected_private_link_goes_after_its_connections(network: Any, world: World) -> None:
    """Connections first, then the service, then the frontend's balancer."""
    link = private_link(world)
    world.connect(link, "their-endpoint")
    with pytest.raises(HttpResponseError, match="PrivateLinkServiceWithPrivateEndpointConnectionsCannotBeDeleted"):
        network.private_link_services.begin_delete(GROUP, f"pls-{NAME}")
    service = f"pls-{NAME}"
    network.private_link_services.begin_delete_private_endpoint_connection(GROUP, service, "their-endpoint").result()
    network.private_link_services.begin_delete(GROUP, service).result()
    network.load_balancers.begin_delete(GROUP, "kubernetes-internal").result()
    assert link not in world.state()


def test_a_private_link_changes_the_etag_of_its_balancer(network: Any, world: World) -> None:
    """Writing the service makes the balancer's ETag stale."""
    link = private_link(world)
    before = network.load_balancers.get(GROUP, "kubernetes-internal").etag
    network.private_link_services.begin_delete(GROUP, link.rpartition("/")[2]).result()
    assert network.load_balancers.get(GROUP, "kubernetes-internal").etag != before


# Size


def test_five_hundred_services_in_one_balancer_are_quick(arm: ArmServer, network: Any, world: World) -> None:
    """A balancer with 500 frontends and 1,500 rules is written in well under a second of processor time."""
    body = public_balancer(world)
    identity = world.id("loadBalancers", "kubernetes")
    frontends, rules = [], []
    for number in range(500):
        address = world.put_public_ip(f"web-{number}")
        frontends.append({"name": f"f{number}", "properties": {"publicIPAddress": {"id": address}}})
        reference = {"frontendIPConfiguration": {"id": f"{identity}/frontendIPConfigurations/f{number}"}}
        rules += [
            {
                "name": f"r{number}-{port}",
                "properties": {**first(body, "loadBalancingRules"), **reference, "frontendPort": port},
            }
            for port in (80, 443, 8080)
        ]
    body["properties"].update(frontendIPConfigurations=frontends, loadBalancingRules=rules)
    started = time.process_time()
    response = send(network, "PUT", f"{identity}{VERSION}", body=body)
    spent = time.process_time() - started
    assert response.status_code == 201
    assert len(response.json()["properties"]["loadBalancingRules"]) == 1500
    assert spent < 1.0
