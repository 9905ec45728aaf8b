"""The rights that the driver needs, as data, and CloudStack's own form of a role made from them. Pure.

One entry a command: what it is for, which settings or annotations ask for it, and whether anything is served without
it. `manifests/policies/cloudstack-role.json` holds the role of everything; tests keep the file fresh and compare the
table with the calls that the server saw.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.model.objects import Service
from lbctl_cloudstack.annotations import ANNOTATIONS
from lbctl_cloudstack.settings import CloudStackSettings

ROLE_NAME = "lbctl"


class When(enum.Enum):
    """What asks for a command."""

    ALWAYS = "every Service"
    TAGS = "the setting tags"
    STICKINESS = "a stickiness policy"
    HEALTH = "a health check path"
    PROJECT = "the setting project_id"


@dataclass(frozen=True, slots=True)
class Permission:
    """A command of the API; `is_needed` when nothing is served without it."""

    command: str
    purpose: str
    when: When = When.ALWAYS
    is_needed: bool = False


def _needed(purpose: str, *commands: str) -> list[Permission]:
    return [Permission(command, purpose, is_needed=True) for command in commands]


def _useful(purpose: str, when: When, *commands: str) -> list[Permission]:
    return [Permission(command, purpose, when) for command in commands]


PERMISSIONS: tuple[Permission, ...] = (
    *_needed(
        "reading what there is", "listLoadBalancerRules", "listLoadBalancerRuleInstances", "listPublicIpAddresses"
    ),
    *_needed("choosing network and targets", "listNetworks", "listVirtualMachines"),
    *_needed("taking and releasing public addresses", "associateIpAddress", "disassociateIpAddress"),
    *_needed("seeing whose address it is before its release", "listPortForwardingRules"),
    *_needed("balancing", "createLoadBalancerRule", "updateLoadBalancerRule", "deleteLoadBalancerRule"),
    *_needed("targets", "assignToLoadBalancerRule", "removeFromLoadBalancerRule"),
    *_needed("filtering in isolated networks", "listFirewallRules", "createFirewallRule", "deleteFirewallRule"),
    *_needed("following jobs", "queryAsyncJobResult"),
    *_useful("filtering in VPC tiers", When.ALWAYS, "listNetworkACLs", "createNetworkACL", "deleteNetworkACL"),
    *_useful("one poll for all jobs", When.ALWAYS, "listAsyncJobs"),
    *_useful("the server's release and limit on calls", When.ALWAYS, "listCapabilities"),
    *_useful("finding out what the server can do", When.ALWAYS, "listApis"),
    *_useful("identity and limits in `lbctl doctor`", When.ALWAYS, "listAccounts"),
    *_useful("identity and limits in `lbctl doctor`", When.PROJECT, "listProjects"),
    *_useful("marks on addresses and rules; set tags = false without it", When.TAGS, "createTags"),
    *_useful("handing a balancer over", When.TAGS, "deleteTags"),
    *_useful("`lbctl release` in VPC tiers", When.ALWAYS, "updateNetworkACLItem"),
    *_useful(
        "stickiness",
        When.STICKINESS,
        "listLBStickinessPolicies",
        "createLBStickinessPolicy",
        "deleteLBStickinessPolicy",
    ),
    *_useful(
        "health check paths",
        When.HEALTH,
        "listLBHealthCheckPolicies",
        "createLBHealthCheckPolicy",
        "deleteLBHealthCheckPolicy",
    ),
)


def build_role(settings: CloudStackSettings, services: Iterable[Service] | None) -> Mapping[str, Any]:
    """The role with the fewest commands, as `importRole` takes it; without Services it allows everything.

    The last rule denies the rest: a command that no rule names falls back to what the role's type may do.
    """
    asked = _asked(settings, services)
    allowed = sorted((p for p in PERMISSIONS if p.when in asked), key=lambda permission: permission.command)
    rules = [{"rule": p.command, "permission": "allow", "description": p.purpose} for p in allowed]
    rest = {"rule": "*", "permission": "deny", "description": "nothing else"}
    return {"name": ROLE_NAME, "type": "User", "rules": [*rules, rest]}


def _asked(settings: CloudStackSettings, services: Iterable[Service] | None) -> frozenset[When]:
    if services is None:
        return frozenset(When)
    asked = {When.ALWAYS}
    asked |= {When.TAGS} if settings.tags else set()
    asked |= {When.PROJECT} if settings.project_id else set()
    for service in services:
        asked |= _asked_by(service)
    return frozenset(asked)


def _asked_by(service: Service) -> set[When]:
    given = ANNOTATIONS.read(service.metadata.annotations).given
    asked = {When.STICKINESS} if given & {"stickiness", "own_stickiness"} else set()
    return asked | ({When.HEALTH} if "health_path" in given else set())
