"""The least-privilege role: the shipped file is the generated one, and Services decide what is in it."""

from __future__ import annotations

import json
from pathlib import Path

from lbctl_azure import DRIVER
from lbctl_azure.permissions import PLACEHOLDER
from lbctl_azure.settings import Settings
from tests.world import service

ROOT = Path(__file__).parents[3]
PREFIX = "service.beta.kubernetes.io/azure-"
INTERNAL = {PREFIX + "load-balancer-internal": "true"}
FILE = """
{"tenantId": "t", "subscriptionId": "s1", "networkResourceSubscriptionID": "s2", "resourceGroup": "rg",
 "vnetName": "v", "subnetName": "n", "securityGroupName": "g", "loadBalancerBackendPoolConfigurationType": "%s"}
"""


def actions(tmp_path: Path, *services: object, pools: str = "nodeIP") -> set[str]:
    """The actions of the role for these Services in a cluster with this type of pools."""
    path = tmp_path / "azure.json"
    path.write_text(FILE % pools)
    return set(DRIVER.permissions(Settings(cloud_config=str(path)), services)["Actions"])


def test_the_shipped_role_is_the_generated_one() -> None:
    """The file in manifests/policies is what the table makes."""
    role = DRIVER.permissions(Settings(cloud_config="/nowhere"), None)
    path = ROOT / "manifests" / "policies" / "azure-role.json"
    assert path.read_text(encoding="utf-8") == json.dumps(role, indent=2) + "\n"


def test_the_role_is_one_that_azure_takes() -> None:
    """A custom role names its scopes and its actions, each once, and grants nothing by pattern."""
    role = DRIVER.permissions(Settings(), None)
    assert set(role) == {
        "Name", "IsCustom", "Description", "Actions", "NotActions", "DataActions", "NotDataActions", "AssignableScopes",
    }  # fmt: skip
    assert role["AssignableScopes"] == [PLACEHOLDER]
    assert role["Actions"] == sorted(set(role["Actions"]))
    assert not [action for action in role["Actions"] if "*" in action]


def test_pools_of_addresses_need_no_right_on_machines(tmp_path: Path) -> None:
    """With nodeIP pools nothing of Microsoft.Compute is asked for, and no interface."""
    every = actions(tmp_path, service(), service("in", annotations=INTERNAL))
    assert not [action for action in every if "Compute" in action or "networkInterfaces" in action]
    with_interfaces = actions(tmp_path, service(), pools="nodeIPConfiguration")
    assert "Microsoft.Compute/virtualMachineScaleSets/write" in with_interfaces
    assert "Microsoft.Network/loadBalancers/backendAddressPools/join/action" in with_interfaces


def test_internal_services_need_no_right_to_make_addresses(tmp_path: Path) -> None:
    """Where every Service is internal, public addresses are only read; one that brings its own is joined at most."""
    internal = actions(tmp_path, service(annotations=INTERNAL))
    assert "Microsoft.Network/publicIPAddresses/write" not in internal
    assert "Microsoft.Network/publicIPAddresses/join/action" not in internal
    assert "Microsoft.Network/virtualNetworks/subnets/join/action" in internal
    pinned = actions(tmp_path, service(annotations={PREFIX + "pip-name": "mine"}))
    assert "Microsoft.Network/publicIPAddresses/join/action" in pinned
    assert "Microsoft.Network/publicIPAddresses/write" not in pinned


def test_private_links_and_prefixes_are_asked_for_by_those_who_use_them(tmp_path: Path) -> None:
    """A Service with a private link or a prefix brings its rights, and a broken one brings none."""
    link = INTERNAL | {PREFIX + "pls-create": "true"}
    plain = actions(tmp_path, service(), pools="nodeIPConfiguration")
    linked = actions(tmp_path, service(), service("b", annotations=link), pools="nodeIPConfiguration")
    assert {"Microsoft.Network/privateLinkServices/write", "Microsoft.Network/virtualNetworks/subnets/write"} <= (
        linked - plain
    )
    prefix = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/publicIPPrefixes/p"
    assert "Microsoft.Network/publicIPPrefixes/join/action" in actions(
        tmp_path, service(annotations={PREFIX + "pip-prefix-id": prefix})
    )
    broken = service(annotations=link | {PREFIX + "load-balancer-tcp-idle-timeout": "x"})
    assert "Microsoft.Network/privateLinkServices/write" not in actions(tmp_path, broken)


def test_the_role_can_be_given_in_both_subscriptions(tmp_path: Path) -> None:
    """The cluster's subscription and its network's are where the role may be assigned."""
    path = tmp_path / "azure.json"
    path.write_text(FILE % "nodeIP")
    role = DRIVER.permissions(Settings(cloud_config=str(path)), ())
    assert role["AssignableScopes"] == ["/subscriptions/s2", "/subscriptions/s1"]


def test_without_a_file_nothing_is_left_out_that_it_might_ask_for() -> None:
    """Where azure.json cannot be read, both ways of joining pools and a security group are assumed."""
    role = DRIVER.permissions(Settings(cloud_config="/nowhere"), [service(annotations=INTERNAL)])
    assert "Microsoft.Compute/virtualMachineScaleSets/write" in role["Actions"]
    assert "Microsoft.Network/loadBalancers/backendAddressPools/write" in role["Actions"]
    assert "Microsoft.Network/networkSecurityGroups/write" in role["Actions"]
    assert "Microsoft.Network/publicIPAddresses/write" not in role["Actions"]
