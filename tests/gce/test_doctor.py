"""What `lbctl doctor` finds: identity, permissions one by one, quotas, the subnet, nodes that are no instances."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lbctl.driver import Finding
from lbctl.errors import Unreachable
from tests.clouds.gce.credentials import ACCOUNT, write_account
from tests.clouds.gce.world import PROJECT, Google
from tests.gce.conftest import Build
from tests.world import change, node, service

NETWORK_PROJECT = "network-project"


def bad(world: Google) -> list[Finding]:
    """Everything that is not in order."""
    return [finding for finding in world.driver.check() if finding.level != "ok"]


def test_in_a_world_that_is_in_order_everything_is(world: Google) -> None:
    """It says who we are and until when, how many permissions are granted, what is used of quotas, and the subnet."""
    findings = {finding.subject: finding.message for finding in world.driver.check()}
    assert bad(world) == []
    assert "workloadIdentityPools/p/providers/k, with a token that is valid until 20" in findings["credentials"]
    assert findings[f"permissions in {PROJECT}"].startswith("all ")
    assert findings["quota FORWARDING_RULES"] == "1 of 100 used in europe-west1"
    assert findings["subnet default"] == "10.1.0.0/16"
    assert findings["firewalls.list"] == "can be read"


@pytest.mark.parametrize("found_by_default", [False, True], ids=["named", "default-chain"])
def test_a_service_accounts_key_is_named_by_its_account(
    world: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found_by_default: bool
) -> None:
    """A key's file works as well as workload identity, named in the settings or found as every SDK finds it."""
    file = str(write_account(tmp_path / "key.json", world.server.url))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file if found_by_default else "nowhere")
    world.settings = change(world.settings, credentials_file="" if found_by_default else file)
    world.crash()
    assert next(world.driver.check()).message.startswith(f"signed in as {ACCOUNT}, with a token")
    world.apply(service())
    assert world.condition().status == "True"


def test_without_a_token_nothing_else_is_tried(world: Google) -> None:
    """One finding says what is wrong with the credentials."""
    world.crash()
    world.server.hands_out_tokens = False
    (finding,) = world.driver.check()
    assert (finding.level, finding.subject) == ("failed", "credentials")


@pytest.mark.parametrize("permission", ["compute.forwardingRules.create", "compute.regionHealthChecks.useReadOnly"])
def test_each_missing_permission_is_named(world: Google, permission: str) -> None:
    """Also one that no reading could have shown; the hint says where to grant it."""
    assert world.compute.granted is not None
    world.compute.granted[PROJECT].discard(permission)
    (finding,) = bad(world)
    assert (finding.level, finding.subject) == ("failed", permission)
    assert f"grant {permission} in {PROJECT}" in finding.hint


def test_without_the_resource_manager_reading_has_to_show_what_is_granted(world: Google) -> None:
    """The doctor says that it could not ask, and names what it may not read."""
    assert world.compute.granted is not None
    world.compute.has_resource_manager = False
    world.compute.granted[PROJECT].discard("compute.firewalls.list")
    asked, read = bad(world)
    assert (asked.level, asked.subject) == ("warning", f"permissions in {PROJECT}")
    assert (read.level, read.subject, read.hint) == ("failed", "firewalls.list", "grant compute.firewalls.list")


def test_in_a_shared_network_the_right_to_the_firewall_may_be_missing(build: Build) -> None:
    """Somebody else writes the rules then; every other missing permission of that project is a failure."""
    world = build(network_project=NETWORK_PROJECT)
    assert bad(world) == []
    assert world.compute.granted is not None
    world.compute.granted[NETWORK_PROJECT] -= {"compute.firewalls.create", "compute.subnetworks.use"}
    assert [(finding.level, finding.subject) for finding in bad(world)] == [
        ("warning", "compute.firewalls.create"),
        ("failed", "compute.subnetworks.use"),
    ]


@pytest.mark.parametrize(("limit", "level"), [(2, "ok"), (1, "failed")])
def test_a_quota_that_is_used_up_is_named_with_its_figures(world: Google, limit: int, level: str) -> None:
    """Metric, used and limit; before it is full it is a warning."""
    world.compute.limits["FORWARDING_RULES"] = limit
    found = {finding.subject: finding for finding in world.driver.check()}["quota FORWARDING_RULES"]
    assert (found.level, found.message) == (level, f"1 of {limit} used in europe-west1")


def test_a_quota_that_is_nearly_used_up_is_a_warning(world: Google) -> None:
    """There is time to raise it."""
    for number in range(3):
        world.apply(service(f"s{number}", ports=(1000 + number,)))
    world.compute.limits["FORWARDING_RULES"] = 5
    (finding,) = bad(world)
    assert (finding.level, finding.message) == ("warning", "4 of 5 used in europe-west1")


def test_a_subnet_that_does_not_exist_is_told_with_those_that_do(build: Build) -> None:
    """The setting can be corrected from the finding alone."""
    (finding,) = bad(build(subnetwork="nodes"))
    assert (finding.level, finding.subject) == ("failed", "subnet nodes")
    assert "default, other" in finding.hint


def test_nodes_without_a_usable_provider_id_are_named(world: Google) -> None:
    """They are what keeps a target from appearing."""
    world.see_node(node("stranger", provider_id="openstack:///1"))
    world.crash()
    world.settle()
    (finding,) = bad(world)
    assert (finding.level, finding.subject) == ("warning", "nodes")
    assert finding.message.startswith("stranger:")


def test_an_unknown_key_of_gce_conf_fails_the_doctor_and_only_warns_the_controller(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A newer upstream's file must not stop the controller; the nearest known key is suggested."""
    file = tmp_path / "gce.conf"
    file.write_text("[global]\nnode-tag = x\n")
    with caplog.at_level(logging.WARNING, logger="lbctl_gce"):
        world = build(config_file=str(file))
    assert "gce.conf: node-tag is unknown; did you mean node-tags?" in caplog.messages
    (finding,) = bad(world)
    assert (finding.level, finding.subject) == ("failed", "gce.conf")
    world.apply(service())
    assert world.condition().status == "True"


def test_an_api_that_gives_no_answer_is_told_once(world: Google) -> None:
    """The check ends with address, cause and what to check, in place of a permission to grant for each method."""
    assert bad(world) == []
    world.server.__exit__()
    with pytest.raises(Unreachable, match=rf"no answer from {world.server.url}: Connection refused. check the address"):
        list(world.driver.check())
