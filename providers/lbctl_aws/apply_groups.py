"""Writes on security groups: one action is one EC2 call, except where a lost attempt has to be found again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lbctl.driver import Refs
from lbctl.errors import OwnedByOther
from lbctl.model.resource import Outputs, Seen
from lbctl.plan.actions import Action, Step
from lbctl_aws import confirm, names
from lbctl_aws.client import AwsClient
from lbctl_aws.firewall import Rule, write_permissions
from lbctl_aws.model_nodes import rule_of
from lbctl_aws.place import SOLE
from lbctl_aws.replies import read_tags, write_tags

Write = Callable[[AwsClient, Action, Refs], Outputs]
GONE = ("InvalidGroup.NotFound",)


def create_group(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """A new group with its tags; one of the same name that has no owner is taken and tagged."""
    step = action.steps[0]
    tags = confirm.set_tags(step, refs)
    request = {
        "GroupName": step.name,
        "Description": confirm.wanted(step, "description", refs),
        "VpcId": confirm.wanted(step, "vpc", refs),
        "TagSpecifications": [{"ResourceType": "security-group", "Tags": write_tags(tags)}],
    }
    reply = client.call("ec2", "CreateSecurityGroup", request, ignore=("InvalidGroup.Duplicate",))
    group = reply["GroupId"] if reply else _take(client, step, str(request["VpcId"]), tags)
    outputs = {"id": group}
    if reply and step.desired is not None and not step.desired.owners:
        outputs[SOLE] = "yes"
    return Outputs(seen=(confirm.created(step, refs, outputs),))


def _take(client: AwsClient, step: Step, vpc: str, tags: Mapping[str, str]) -> str:
    filters = [{"Name": "group-name", "Values": [step.name]}, {"Name": "vpc-id", "Values": [vpc]}]
    listed = client.pages("ec2", "DescribeSecurityGroups", {"Filters": filters}, items="SecurityGroups")
    found: dict[str, Any] = next(iter(listed))
    theirs = names.clusters_of(read_tags(found))
    if theirs and not theirs & names.clusters_of(tags):
        raise OwnedByOther(
            f"security group {step.name} ({found['GroupId']}) belongs to cluster {', '.join(sorted(theirs))}",
            hint="remove or rename it",
        )
    group: str = found["GroupId"]
    client.call("ec2", "CreateTags", {"Resources": [group], "Tags": write_tags(tags)})
    return group


def delete_group(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The group is gone with its rules; `NotReady` while a network interface still holds it."""
    group = confirm.output(action.steps[0], refs, "id")
    client.call("ec2", "DeleteSecurityGroup", {"GroupId": group}, ignore=GONE)
    return confirm.all_gone(action)


def add_tags(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The group has the tags."""
    step, members = action.steps[0], confirm.members_of(action)
    tags = write_tags(dict(members))  # type: ignore[arg-type] # members of a tag field are pairs of texts
    client.call("ec2", "CreateTags", {"Resources": [confirm.output(step, refs, "id")], "Tags": tags})
    return Outputs(seen=(confirm.gained(step, refs, "tags", members),))


def remove_tags(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The group lacks the tags."""
    step, members = action.steps[0], confirm.members_of(action)
    tags = [{"Key": str(key)} for key in sorted(members, key=str)]
    client.call("ec2", "DeleteTags", {"Resources": [confirm.output(step, refs, "id")], "Tags": tags})
    return Outputs(seen=(confirm.lost(step, refs, "tags", members),))


def authorize(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """All rules are there; one that existed fails the whole call, and the scope is read again."""
    permissions = write_permissions((rule_of(step.key), _description(step)) for step in action.steps)
    request = {"GroupId": _group_id(action, refs), "IpPermissions": permissions}
    client.call("ec2", "AuthorizeSecurityGroupIngress", request)
    return Outputs(seen=tuple(Seen(step.desired) for step in action.steps if step.desired is not None))


def revoke(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The rules are gone; so are they when the group is."""
    permissions = write_permissions((rule, "") for rule in _rules(action))
    request = {"GroupId": _group_id(action, refs), "IpPermissions": permissions}
    client.call("ec2", "RevokeSecurityGroupIngress", request, ignore=GONE)
    return confirm.all_gone(action)


def _rules(action: Action) -> Iterator[Rule]:
    return (rule_of(step.key) for step in action.steps)


def _description(step: Step) -> str:
    fields = step.desired.fields if step.desired is not None else {}
    return str(fields.get("description", ""))


def _group_id(action: Action, refs: Refs) -> str:
    """Rules of the nodes' groups carry the id, those of managed groups the name."""
    group = str(action.payload)
    if group.startswith("sg-"):
        return group
    key = next(iter(action.steps)).key
    seen = next((s for s in refs.scope.of_kind("security-group") if s.key.id == group), None)
    assert seen is not None, f"{key} has no group"
    return seen.outputs["id"]


WRITES: Mapping[str, Write] = {
    "ec2.CreateSecurityGroup": create_group,
    "ec2.DeleteSecurityGroup": delete_group,
    "ec2.CreateTags": add_tags,
    "ec2.DeleteTags": remove_tags,
    "ec2.AuthorizeSecurityGroupIngress": authorize,
    "ec2.RevokeSecurityGroupIngress": revoke,
}
