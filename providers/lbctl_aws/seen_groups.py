"""What EC2 says of security groups -> managed groups with their rules, and our rules on the nodes' groups. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.model.resource import Identity, Key, Resource, Seen
from lbctl_aws import names
from lbctl_aws.firewall import Rule, read_permissions
from lbctl_aws.model_nodes import rule_resource
from lbctl_aws.ownership import Claim
from lbctl_aws.place import GROUP, RULE, SOLE, USED
from lbctl_aws.replies import read_tags

Raw = Mapping[str, Any]


def described_service(raw: Raw) -> str:
    """`namespace/name` that the description of a classic balancer's group names, or empty."""
    found = names.CLASSIC_GROUP_DESCRIPTION.fullmatch(raw.get("Description", ""))
    return f"{found.group(2)}/{found.group(3)}" if found else ""


def is_backend(tags: Mapping[str, str]) -> bool:
    """True for the group that LBC's balancers share."""
    return tags.get(names.LBC_SHARED_RESOURCE) == names.BACKEND_RESOURCE


def is_managed(raw: Raw, tags: Mapping[str, str]) -> bool:
    """True for a group that upstream or we made for one balancer, told by its name and description."""
    return bool(described_service(raw)) or raw.get("Description") == names.MANAGED_DESCRIPTION or names.OWNER in tags


def see_managed(raw: Raw, claim: Claim) -> Iterator[Seen]:
    """A managed group and every rule on it."""
    key = Key(GROUP, raw["GroupName"])
    owners = frozenset({claim.owner})
    fields = {
        "vpc": raw.get("VpcId", ""),
        "description": raw.get("Description", ""),
        "tags": frozenset(read_tags(raw).items()),
    }
    resource = Resource(key, raw["GroupName"], fields, owners)
    yield Seen(resource, {"id": raw["GroupId"]}, ours=claim.ours, owner_hint=claim.hint)
    for rule, _ in read_permissions(raw.get("IpPermissions", ())):
        part = Resource(Key(RULE, f"{key.id} {rule.text}"), key.id, owners=owners, needs=frozenset({key}))
        yield Seen(part, ours=claim.ours, owner_hint=claim.hint)


def see_backend(raw: Raw, *, others: frozenset[str] | None) -> Seen:
    """The shared group: ours to delete only if we made it, since LBC's Ingresses may use it too.

    `others` are the groups that balancers of others carry, None when they were not looked at.
    """
    tags = read_tags(raw)
    fields = {
        "vpc": raw.get("VpcId", ""),
        "description": raw.get("Description", ""),
        "tags": frozenset(tags.items()),
    }
    resource = Resource(Key(GROUP, raw["GroupName"]), raw["GroupName"], fields)
    ours = names.OWNER in tags
    outputs = {"id": raw["GroupId"]}
    if ours and others is not None and raw["GroupId"] not in others:
        outputs[SOLE] = "yes"
    return Seen(resource, outputs, ours=ours)


@dataclass(frozen=True, slots=True)
class RuleOwners:
    """Whose a rule on a node's group is.

    `by_source` maps the ids of our balancers' security groups to the Service that alone uses them, or None; `by_name`
    maps names of balancers to Services. `used_by_others` are the groups that balancers of others carry.
    """

    cluster: str
    by_source: Mapping[str, Identity | None]
    by_name: Mapping[str, Identity]
    used_by_others: frozenset[str] = frozenset()

    def find(self, rule: Rule, description: str) -> tuple[bool, Identity | None]:
        """Whether the rule is ours, and the Service that alone needs it."""
        for prefix in (names.CLIENT_RULE, names.HEALTH_RULE):
            if description.startswith(prefix):
                name = description.removeprefix(prefix)
                return True, self.by_name.get(name, Identity("", name, ""))
        if description == names.MTU_RULE:
            return True, None
        if self.marks(description):
            return True, self.by_source.get(rule.source)
        if rule.source in self.by_source:
            return True, self.by_source[rule.source]
        # Rules of LBC from CIDRs belong to balancers without groups; one from a group that is not ours may be
        # an Ingress's.
        return description == names.SHARED_RULE and not rule.is_group, None

    def marks(self, description: str) -> bool:
        """True for what we write on rules that nothing else tells to be ours."""
        return names.OUR_RULE + self.cluster in names.rule_labels(description)


def see_left_rules(raw: Raw, owners: RuleOwners) -> Iterator[Seen]:
    """Our rules on a group that neither nodes nor pods are known to have.

    Only what is marked as ours is, and what is marked as LBC's and comes from our own group: its owner may have let our
    balancers in himself, and rules of LBC may be another cluster's.
    """
    for rule, description in read_permissions(raw.get("IpPermissions", ())):
        is_lbc = names.SHARED_RULE in names.rule_labels(description)
        if owners.marks(description) or (is_lbc and rule.source in owners.by_source):
            yield _see_rule(raw, rule, description, owners)


def see_node_rules(raw: Raw, owners: RuleOwners) -> Iterator[Seen]:
    """Every rule of a node's group, with the proof whether it is ours; the others count against the limit."""
    for rule, description in read_permissions(raw.get("IpPermissions", ())):
        yield _see_rule(raw, rule, description, owners)


def _see_rule(raw: Raw, rule: Rule, description: str, owners: RuleOwners) -> Seen:
    ours, owner = owners.find(rule, description)
    is_used = names.SHARED_RULE in names.rule_labels(description) and rule.source in owners.used_by_others
    return Seen(rule_resource(raw["GroupId"], rule, description, owner), {USED: "yes"} if is_used else {}, ours=ours)
