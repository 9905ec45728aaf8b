"""The least-privilege role: exactly what the driver calls. Every other test here runs with it, too."""

from __future__ import annotations

import json

import pytest

from lbctl.annotations import DELETION_POLICY
from lbctl_cloudstack import DRIVER
from lbctl_cloudstack.settings import CloudStackSettings
from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.topology import ISOLATED, add_network, add_tier
from tests.cloudstack.stage import ROLE_FILE, Stage, role_commands
from tests.cloudstack.test_wishes import HEALTH, STICKINESS
from tests.world import service

PROJECT = "0000000c-0000-4000-8000-000000000001"


def add_checking_network(cloud):
    """A network whose provider has health checks, in a project."""
    able = {"Lb": {"HealthCheckPolicy": "true"}}
    return add_network(cloud, services=ISOLATED | {"Lb": "Netscaler"}, capabilities=able, project_id=PROJECT)


def live_and_die(stage: Stage, asked: dict[str, str]) -> None:
    """Everything that the driver can do: sharing, policies, all changes, nodes that go, handing over, deletion."""
    stage.apply(service("shared", ports=(80,)))
    (ip,) = stage.addresses("shared")
    stage.apply(service("guest", ports=(443,), load_balancer_ip=ip))
    stage.delete("shared")
    stage.apply(service(annotations=asked, load_balancer_source_ranges=("10.0.0.0/8",)))
    stage.settle(700)
    stage.edit("web", session_affinity="ClientIP")
    stage.annotate("web", {k: v for k, v in stage.live().metadata.annotations.items() if k not in asked})
    stage.edit("web", load_balancer_source_ranges=("192.0.2.0/24",))
    stage.edit("web", ports=service(ports=(81, 82)).spec.ports)
    stage.settle(200)
    stage.see_node(None, "n2")
    stage.settle(200)
    stage.delete("web")
    stage.apply(service("kept", annotations={DELETION_POLICY: "retain"}))
    stage.delete("kept")
    list(stage.driver.check())


def test_no_command_of_the_role_is_missing_and_none_is_for_nothing(serve):
    """With the role alone no call of any network's life is denied, and every command of it is called."""
    made: set[str] = set()
    codes: list[str] = []
    for network in (add_network, add_tier, add_checking_network):
        cloud = Cloud()
        asked = {STICKINESS: "SourceBased"} | ({HEALTH: "/"} if network is add_checking_network else {})
        options = {"project_id": PROJECT} if network is add_checking_network else {}
        record = lambda _command, code, _seconds: codes.append(code)  # noqa: E731 - a list of codes
        stage = Stage(
            serve(cloud), network(cloud), record=record, options=options, project_id=options.get("project_id")
        )
        live_and_die(stage, asked)
        made |= {name for name, _ in cloud.faults.calls}
        assert not stage.bugs
    assert "PermissionDenied" not in codes
    assert made == role_commands()


def test_the_shipped_role_is_the_generated_one():
    """The file in manifests/policies is what the table makes."""
    role = DRIVER.permissions(CloudStackSettings(), None)
    assert ROLE_FILE.read_text() == json.dumps(role, indent=2) + "\n"


def test_a_role_ends_by_denying_the_rest():
    """A command that no rule names falls back to what the role's type may do, so the last rule denies it."""
    rules = DRIVER.permissions(CloudStackSettings(), None)["rules"]
    assert rules[-1]["rule"] == "*"
    assert [rule["permission"] for rule in rules] == ["allow"] * (len(rules) - 1) + ["deny"]


@pytest.mark.parametrize(
    ("settings", "annotations", "more"),
    [
        ({"tags": False}, {}, set()),
        ({}, {}, {"createTags", "deleteTags"}),
        ({"tags": False, "project_id": PROJECT}, {}, {"listProjects"}),
        (
            {"tags": False},
            {STICKINESS: "SourceBased"},
            {"listLBStickinessPolicies", "createLBStickinessPolicy", "deleteLBStickinessPolicy"},
        ),
        (
            {"tags": False},
            {HEALTH: "/"},
            {"listLBHealthCheckPolicies", "createLBHealthCheckPolicy", "deleteLBHealthCheckPolicy"},
        ),
    ],
    ids=["least", "tags", "project", "stickiness", "health"],
)
def test_settings_and_services_add_to_the_role_what_they_need(settings, annotations, more):
    """Beyond what every Service needs, only what a setting or an annotation asks for."""

    def commands(settings, services):
        return {rule["rule"] for rule in DRIVER.permissions(CloudStackSettings(**settings), services)["rules"]}

    least = commands({"tags": False}, [])
    assert commands(settings, [service(annotations=annotations)]) == least | more
