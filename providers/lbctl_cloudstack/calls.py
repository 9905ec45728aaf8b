"""What a plan of this driver is made of: the commands of the API, and what a call changes of its step. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lbctl.plan.actions import Action

ASSOCIATE, RELEASE, TAG, UNTAG = "associateIpAddress", "disassociateIpAddress", "createTags", "deleteTags"
CREATE_RULE, UPDATE_RULE, DELETE_RULE = "createLoadBalancerRule", "updateLoadBalancerRule", "deleteLoadBalancerRule"
ASSIGN, REMOVE = "assignToLoadBalancerRule", "removeFromLoadBalancerRule"
OPEN, CLOSE = "createFirewallRule", "deleteFirewallRule"
ALLOW, DISALLOW, RENAME_ENTRY = "createNetworkACL", "deleteNetworkACL", "updateNetworkACLItem"
POLICIES = {
    "stickiness": ("createLBStickinessPolicy", "deleteLBStickinessPolicy"),
    "health": ("createLBHealthCheckPolicy", "deleteLBHealthCheckPolicy"),
}
# Actions that call nothing.
REMEMBER, USE, LET_GO = "remember the address", "use the address", "let the address go"
NO_CALLS = frozenset({REMEMBER, USE, LET_GO})


@dataclass(frozen=True, slots=True)
class Part:
    """What a call changes of its step: machines, CIDRs or the id of the object to delete.

    `with_firewall`: creating or deleting the rule opens or closes the firewall in the same call.
    """

    machines: frozenset[str] = frozenset()
    cidrs: frozenset[str] = frozenset()
    id: str = ""
    with_firewall: bool = False


def part_of(action: Action) -> Part:
    """The driver's own part of an action."""
    assert isinstance(action.payload, Part)
    return action.payload
