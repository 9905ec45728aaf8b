"""The least rights: shipped roles are the generated ones, and a role for some Services has only what they need."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lbctl_gce import DRIVER
from lbctl_gce.methods import METHODS
from lbctl_gce.modes import CLASS_PREFIX, FINALIZERS, Mode
from lbctl_gce.permissions import ALL, PERMISSIONS, names, role
from lbctl_gce.settings import GceSettings
from tests.world import change, service

POLICIES = Path(__file__).parents[3] / "manifests" / "policies"
ALONE = GceSettings(project="shop")
SHARED = GceSettings(project="shop", network_project="net")


@pytest.mark.parametrize(
    ("file", "title", "network"),
    [("gce-role.yaml", "lbctl", False), ("gce-network-role.yaml", "lbctl in the network's project", True)],
)
def test_the_shipped_role_is_the_generated_one(file, title, network):
    """The file in manifests/policies is what the table makes."""
    generated = role(title, names(ALL, network=network))
    assert (POLICIES / file).read_text() == yaml.safe_dump(generated, sort_keys=False)


def test_every_call_of_the_driver_has_its_permission_in_the_right_project():
    """Each method in the table of methods; polls and firewall rules in the network's project."""
    wanted = {(method.permission, method.network) for method in METHODS.values()}
    assert wanted <= {(permission.name, permission.network) for permission in PERMISSIONS}


def test_all_kinds_together_are_the_shipped_roles():
    """One role for a project with its own network, one for each project of a shared network."""
    alone = DRIVER.permissions(ALONE, None)
    shared = DRIVER.permissions(SHARED, None)
    assert set(shared) == {"project shop", "project net"}
    both = {name for made in shared.values() for name in made["includedPermissions"]}
    assert both == set(alone["includedPermissions"])
    assert alone["stage"] == "GA"
    assert not any("firewalls" in name for name in shared["project shop"]["includedPermissions"])


@pytest.mark.parametrize(
    ("suffix", "has", "lacks"),
    [
        ("l4-regional-external-legacy", "targetPools.addInstance", "regionBackendServices.create"),
        ("l4-regional-external", "regionHealthChecks.create", "targetPools.create"),
        ("l4-regional-internal-legacy", "healthChecks.create", "regionHealthChecks.create"),
        ("l4-regional-internal", "networkEndpointGroups.attachNetworkEndpoints", "instanceGroups.create"),
        ("standalone-passthrough-lb-neg", "networkEndpointGroups.create", "forwardingRules.create"),
        ("standalone-passthrough-lb-neg", "instances.use", "firewalls.create"),
    ],
)
def test_a_role_for_some_services_has_what_their_kinds_need(suffix, has, lacks):
    """A cluster of one kind asks for nothing that only others use."""
    wanted = service(load_balancer_class=f"networking.gke.io/{suffix}")
    included = DRIVER.permissions(ALONE, [wanted])["includedPermissions"]
    assert f"compute.{has}" in included
    assert f"compute.{lacks}" not in included


def test_groups_that_somebody_else_fills_need_no_right_to_fill_them(tmp_path):
    """Linking them is all that is done."""
    file = tmp_path / "gce.conf"
    file.write_text("[global]\nproject-id = shop\nalpha-features = SkipIGsManagement\n")
    included = DRIVER.permissions(GceSettings(config_file=str(file)), None)["includedPermissions"]
    groups = [name for name in included if ".instanceGroups." in name]
    assert groups == ["compute.instanceGroups.list", "compute.instanceGroups.use"]


def test_what_a_service_had_before_can_still_be_removed():
    """Its finalizers tell which kinds of objects are left of it."""
    wanted = service(load_balancer_class=f"{CLASS_PREFIX}external")
    marked = change(wanted, metadata=change(wanted.metadata, finalizers=(FINALIZERS[Mode.TARGET_POOL],)))
    assert "compute.targetPools.delete" in DRIVER.permissions(ALONE, [marked])["includedPermissions"]


def test_reading_alone_needs_no_right_to_write():
    """Without any balancer the role lists and gets, no more: `lbctl plan` works with it."""
    included = DRIVER.permissions(ALONE, [service(type="ClusterIP")])["includedPermissions"]
    assert {name.rpartition(".")[2] for name in included} == {"get", "list"}
