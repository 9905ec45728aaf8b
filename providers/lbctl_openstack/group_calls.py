"""The writes on security groups and on the ports of nodes.

A port's list of groups is read and written back as a whole, so the write names the revision that was read: a group that
somebody adds in between makes it fail, and the next pass looks again.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbctl.driver import Refs
from lbctl.errors import CloudBug
from lbctl.model.resource import Key, Outputs, Ref, Seen
from lbctl.plan.actions import Action, Step, Verb
from lbctl_openstack import names
from lbctl_openstack.client import NETWORK, Client, Json
from lbctl_openstack.groups import GROUP, Rule, rule_body

GROUPS, RULES = "/security-groups", "/security-group-rules"


@dataclass(frozen=True, slots=True)
class GroupWriter:
    """Everything that can be written about node security groups of one cluster."""

    client: Client
    cluster: str

    def create(self, action: Action, _refs: Refs) -> Outputs:
        """POST a group."""
        (step,) = action.steps
        assert step.desired is not None
        (owner,) = step.desired.owners
        body = {"name": step.desired.name, "description": names.group_description(self.cluster, owner)}
        reply = self.client.post(NETWORK, GROUPS, {"security_group": body})["security_group"]
        return Outputs((Seen(step.desired, {"id": reply["id"]}),))

    def delete(self, action: Action, _refs: Refs) -> Outputs:
        """DELETE a group with its rules; `Conflict` while a port still has it."""
        step = next(step for step in action.steps if step.key.kind == GROUP)
        self.client.delete(NETWORK, f"{GROUPS}/{_id(step)}")
        return Outputs(gone=tuple(step.key for step in action.steps))

    def add_rules(self, action: Action, refs: Refs) -> Outputs:
        """POST all new rules at once; one that is there already refuses them all, and the next pass looks again."""
        bodies = [rule_body(_rule(step), refs.get(_group_of(step))) for step in action.steps]
        reply = self.client.post(NETWORK, RULES, {"security_group_rules": bodies})["security_group_rules"]
        made: dict[tuple[object, ...], str] = {
            (r["protocol"], r["port_range_min"], r["remote_ip_prefix"]): r["id"] for r in reply
        }
        seen = [Seen(step.desired, {"id": made.get(tuple(_rule(step)), "")}) for step in action.steps if step.desired]
        return Outputs(tuple(seen))

    def remove_rule(self, action: Action, _refs: Refs) -> Outputs:
        """DELETE one rule."""
        (step,) = action.steps
        self.client.delete(NETWORK, f"{RULES}/{_id(step)}")
        return Outputs(gone=(step.key,))

    def place(self, action: Action, refs: Refs) -> Outputs:
        """PUT the group on a node's port, or take it off; a port that is gone has no groups."""
        (step,) = action.steps
        port = self.client.find(NETWORK, f"/ports/{step.key.id.partition('/')[2]}")
        group = refs.get(_group_of(step))
        if port is not None:
            self._put_groups(port["port"], group, on=step.verb is not Verb.DELETE)
        if step.verb is Verb.DELETE or port is None:
            return Outputs(gone=(step.key,))
        assert step.desired is not None
        return Outputs((Seen(step.desired, {"id": port["port"]["id"]}),))

    def _put_groups(self, port: Json, group: str, *, on: bool) -> None:
        old = port["security_groups"]
        new = [*(other for other in old if other != group), *([group] if on else [])]
        if sorted(new) == sorted(old):
            return
        headers = {"If-Match": f"revision_number={port['revision_number']}"}
        body = {"port": {"security_groups": new}}
        self.client.put(NETWORK, f"/ports/{port['id']}", body, headers=headers)


def _group_of(step: Step) -> Ref:
    return Ref(Key(GROUP, step.key.id.partition("/")[0]))


def _rule(step: Step) -> Rule:
    value = step.desired.fields["rule"] if step.desired is not None else None
    if not isinstance(value, Rule):
        raise CloudBug(f"{step.key} is no rule")
    return value


def _id(step: Step) -> str:
    if step.seen is None:
        raise CloudBug(f"{step.key} was never seen")
    return step.seen.outputs["id"]
