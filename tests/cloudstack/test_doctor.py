"""`lbctl doctor`: one finding for each thing that is looked at, and what to do about it."""

from __future__ import annotations

import pytest

from lbctl.driver import Finding, Level
from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.topology import BYSTANDING_ADDRESSES, add_address, add_network, add_tier
from tests.cloudstack.stage import Stage, role_commands
from tests.world import node, service

PROJECT = "0000000c-0000-4000-8000-000000000001"


def findings(stage: Stage, subject: str = "") -> list[Finding]:
    """What the doctor says about a subject."""
    return [finding for finding in stage.driver.check() if finding.subject.startswith(subject)]


def test_all_well_is_said_thing_by_thing(serve):
    """Server, account with domain and role, limits, every command of the role, each network with what it can do."""
    cloud = Cloud()
    stage = Stage(serve(cloud), add_tier(cloud))
    found = findings(stage)
    assert {f.level for f in found} == {Level.OK}
    texts = {f.subject: f.message for f in found}
    assert texts["server"].startswith("CloudStack 4.22")
    assert texts["identity"] == "account lbctl of domain ROOT/shop, role lbctl of type User"
    assert texts["limits"] == f"{BYSTANDING_ADDRESSES} of Unlimited public addresses are in use"
    assert "VpcVirtualRouter balances, sources by ACL entries" in texts["network tier"]
    assert "DefaultNetworkOfferingForVpcNetworks with Dhcp, Dns, Lb, NetworkACL" in texts["network tier"]
    assert texts["machines"] == "2 virtual machines are visible"
    assert {s.removeprefix("permission ") for s in texts if s.startswith("permission")} == role_commands() - {
        "listProjects"
    }


@pytest.mark.parametrize(
    ("command", "level"), [("createLoadBalancerRule", Level.FAILED), ("createNetworkACL", Level.WARNING)]
)
def test_a_missing_permission_is_named_with_what_it_is_for(serve, command, level):
    """What nothing is served without is a failure, the rest a warning; both say what to do."""
    stage = Stage(serve())
    stage.cloud.catalog.forbidden.add(command)
    bad = [f for f in findings(stage) if f.level is not Level.OK]
    assert [(f.subject, f.level) for f in bad] == [(f"permission {command}", level)]
    assert "role" in bad[0].hint


def test_what_the_role_hides_is_a_warning(serve):
    """Without listApis and listAccounts the doctor says what it cannot see, and goes on."""
    stage = Stage(serve())
    stage.cloud.catalog.forbidden |= {"listApis", "listAccounts"}
    assert [f.level for f in findings(stage, "permissions")] == [Level.WARNING]
    assert [f.level for f in findings(stage, "identity")] == [Level.WARNING]
    assert findings(stage, "network k8s")


@pytest.mark.parametrize(("limit", "level"), [(10, Level.OK), (BYSTANDING_ADDRESSES, Level.FAILED)])
def test_limits_are_told_with_used_and_limit(serve, limit, level):
    """Five addresses are in use: of ten that is well, of five it is the end."""
    stage = Stage(serve())
    stage.cloud.address_limit = limit
    (finding,) = findings(stage, "limits")
    assert (finding.level, finding.message) == (level, f"{BYSTANDING_ADDRESSES} of {limit} public addresses are in use")
    assert bool(finding.hint) == (level is Level.FAILED)


def test_a_projects_limits_are_its_own(serve):
    """With project-id, by id or by name, the project's addresses count; one that does not exist is a failure."""
    cloud = Cloud()
    network = add_network(cloud, project_id=PROJECT)
    stage = Stage(serve(cloud), network, options={"project_id": "team"}, project_id=PROJECT)
    (finding,) = findings(stage, "limits")
    assert finding.message == f"{BYSTANDING_ADDRESSES} of 20 public addresses are in use"
    lost = Stage(serve(), options={"project_id": "00000000-0000-4000-8000-00000000dead"})
    assert Level.FAILED in {f.level for f in findings(lost, "identity")}


def test_networks_and_nodes_that_cannot_be_used_are_found(serve):
    """A network without balancer says what is missing; a node whose machine cannot be found is named."""
    cloud = Cloud()
    add_network(cloud, "bare", services={"Dhcp": "VirtualRouter"})
    stage = Stage(serve(cloud))
    stage.see_node(node("lost"))
    stage.apply(service())
    (bare,) = findings(stage, "network bare")
    assert bare.level is Level.WARNING
    assert "no service Lb" in bare.message
    assert bare.hint
    (lost,) = (f for f in findings(stage, "machines") if f.level is Level.WARNING)
    assert "node lost" in lost.message
    assert "provider id" in lost.hint


def test_an_address_that_nobody_uses_is_named(serve):
    """An allocated address without rules and marks is told; one with a rule, a mark or a use of its network is not."""
    stage = Stage(serve())
    assert findings(stage, "idle addresses") == []
    for ip, tags in (("203.0.113.70", {}), ("203.0.113.71", {"team": "web"})):
        add_address(stage.cloud, ip, state="Allocated", network_id=stage.network.id, tags=tags)
    (idle,) = findings(stage, "idle addresses")
    assert idle.message.endswith("use of the network's own: 203.0.113.70")
    assert idle.hint


def test_an_unknown_key_of_cloud_config_is_an_error_here(serve, tmp_path):
    """The running controller only warns of it; the doctor fails, with the nearest known key."""
    path = tmp_path / "cloud-config"
    path.write_text("[Global]\nprojekt-id = x\n")
    stage = Stage(serve(), options={"cloud_config": str(path)})
    (finding,) = findings(stage, "cloud-config")
    assert finding.level is Level.FAILED
    assert "projekt-id is unknown; did you mean project-id?" in finding.message
