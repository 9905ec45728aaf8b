"""What `lbctl doctor` says of an account: one finding each, with what to do where something is missing."""

from __future__ import annotations

import pytest

from lbctl.driver import Finding
from lbctl.errors import Unreachable
from tests.azure.cluster import Cluster, cluster
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.world import World as Azure
from tests.world import node, service

NIC_POOLS = {"loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration"}


def findings(world: Cluster) -> dict[str, Finding]:
    """All findings by what was looked at."""
    return {finding.subject: finding for finding in world.driver.check()}


def bad(world: Cluster) -> dict[str, str]:
    """The level of each finding that is not good; each of them says what to do."""
    found = {subject: one for subject, one in findings(world).items() if one.level.value != "ok"}
    assert all(one.hint for one in found.values()), found
    return {subject: one.level.value for subject, one in found.items()}


@pytest.mark.parametrize("config", [{}, NIC_POOLS], ids=["addresses", "interfaces"])
def test_where_all_is_well_every_finding_is_good(config: dict[str, str]) -> None:
    """Identity, rights, objects, limits and nodes are each looked at."""
    with cluster(config=config) as world:
        world.add_machines(world.azure.uniform_set(count=2))
        world.apply(service())
        world.settle(700)
        assert bad(world) == {}
        looked_at = set(findings(world))
    rest = {"identity", "load balancers", "public addresses", "network security group", "virtual network", "subnet"}
    limits = {
        "public addresses of the region",
        "rules of load balancer kubernetes",
        "rules of security group nodes-nsg",
    }
    assert looked_at >= rest | limits | {"rights in cluster-rg", "provider Microsoft.Network", "nodes"}


def test_what_azure_json_names_and_is_not_there_is_named() -> None:
    """A security group and a subnet that do not exist are told by the key to mend."""
    with cluster(config={"securityGroupName": "nowhere", "subnetName": "nowhere"}) as world:
        assert bad(world) == {"network security group": "failed", "subnet": "failed"}
        assert "securityGroupName" in findings(world)["network security group"].hint
    with cluster(config={"securityGroupName": ""}) as world:
        assert bad(world) == {"network security group": "warning"}


def test_an_unknown_key_of_azure_json_fails_with_the_known_one() -> None:
    """A typing error is a failure here, as it is only a warning to a controller at work."""
    with cluster(config={"vnetNam": "x"}) as world:
        assert bad(world) == {"azure.json[vnetNam]": "failed"}
        assert "did you mean vnetName?" in findings(world)["azure.json[vnetNam]"].hint


def test_limits_are_told_with_what_is_used() -> None:
    """A full quota fails, one that is nearly full warns, and both say how much of how much."""
    with cluster(config={"maximumLoadBalancerRuleCount": 1}) as world:
        world.add_nodes("n1")
        world.apply(service())
        world.azure.cloud.quotas.public_ips = 1
        found = findings(world)
        for subject in ("public addresses of the region", "rules of load balancer kubernetes"):
            assert (found[subject].level.value, found[subject].message) == ("failed", "1 of 1 used")
        world.azure.cloud.quotas.public_ips = 10
        for number in range(8):
            world.azure.put_public_ip(f"more-{number}")
        finding = findings(world)["public addresses of the region"]
        assert (finding.level.value, finding.message) == ("warning", "9 of 10 used")


def test_an_unregistered_provider_is_told_with_the_command() -> None:
    """What the driver does not do behind the operator's back, doctor tells how to do."""
    with cluster() as world:
        world.azure.cloud.registered.clear()
        assert bad(world) == {"provider Microsoft.Network": "failed"}
        assert "az provider register" in findings(world)["provider Microsoft.Network"].hint


def test_nodes_without_a_machine_are_named() -> None:
    """With pools of interfaces a Node without a provider id of Azure is named, with what to do."""
    with cluster(config=NIC_POOLS) as world:
        world.add_machines(world.azure.uniform_set(count=1))
        world.see_node(node("stray", provider_id=""))
        world.settle(700)
        assert bad(world) == {"nodes": "failed"}
        assert "stray" in findings(world)["nodes"].message


def test_a_resource_manager_that_gives_no_answer_is_told_once() -> None:
    """The check ends with address, cause and what to check, in place of a role to grant for each object."""
    with ArmServer() as server:
        world = Cluster(server, Azure(server.cloud))
        assert bad(world) == {}
    with pytest.raises(Unreachable, match=rf"no answer from {server.url}: Connection refused. check the address"):
        list(world.driver.check())
    world.driver.close()
