"""Security groups and their rules -> Observed: those of balancers, the shared one, and ours on nodes and pods.

Groups are never listed without a filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lbctl.driver import World
from lbctl.grammar import GO_TRUE
from lbctl.model.resource import Identity, Observed, Seen
from lbctl_aws import names
from lbctl_aws.annotations import IP, key_of
from lbctl_aws.client import AwsClient
from lbctl_aws.look import Look, SeenByScope
from lbctl_aws.model_nodes import NodeFacts, rule_of
from lbctl_aws.options import mode_of
from lbctl_aws.place import (
    BACKEND_SCOPE,
    BALANCER,
    CLASSIC,
    NETWORK,
    NODE_SCOPE,
    RULE,
    TARGETS,
    USED,
    is_of_lbc,
)
from lbctl_aws.replies import batches, read_tags
from lbctl_aws.seen_groups import (
    RuleOwners,
    described_service,
    is_backend,
    is_managed,
    see_backend,
    see_left_rules,
    see_managed,
    see_node_rules,
)
from lbctl_aws.settings import AwsSettings

GROUP_PAGE = 1000
GROUPS_A_CALL = 100
VALUES_A_FILTER = 200


class GroupReader:
    """Reads the security groups that matter to one cluster."""

    def __init__(self, client: AwsClient, settings: AwsSettings, *, cluster: str) -> None:
        self._client = client
        self._settings = settings
        self._cluster = cluster

    def find(self, nodes: NodeFacts) -> dict[str, dict[str, Any]]:
        """Groups with a tag of ours, and those of nodes and pods."""
        found: dict[str, dict[str, Any]] = {}
        tags = (
            {"Name": "tag-key", "Values": [names.CCM_CLUSTER_PREFIX + self._cluster]},
            {"Name": f"tag:{names.LBC_CLUSTER}", "Values": [self._cluster]},
        )
        for wanted in tags:
            found.update(self._filtered([wanted, {"Name": "vpc-id", "Values": [nodes.network.vpc_id]}]))
        missing = _used(nodes) - found.keys()
        for batch in batches(sorted(missing), GROUPS_A_CALL):
            found.update(self._filtered([{"Name": "group-id", "Values": batch}]))
        return found

    def _filtered(self, filters: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        request = {"Filters": filters, "MaxResults": GROUP_PAGE}
        if filters[0]["Name"] == "group-id":
            del request["MaxResults"]
        listed = self._client.pages("ec2", "DescribeSecurityGroups", request, items="SecurityGroups")
        return {raw["GroupId"]: raw for raw in listed}

    def see_managed(self, look: Look, groups: Mapping[str, dict[str, Any]]) -> None:
        """Keep the groups that were made for single balancers, with their rules."""
        for group, raw in sorted(groups.items()):
            tags = read_tags(raw)
            if is_backend(tags) or not is_managed(raw, tags):
                continue
            claim = look.owners.find(raw["GroupName"], tags, described=described_service(raw))
            shared = tags.get(names.CCM_CLUSTER_PREFIX + self._cluster, names.OWNED) != names.OWNED
            claim = replace(claim, ours=claim.ours and not shared)
            look.managed[group] = (raw["GroupName"], claim)
            look.add(claim.owner, see_managed(raw, claim))

    def see_shared(self, look: Look, groups: Mapping[str, dict[str, Any]], nodes: NodeFacts) -> None:
        """Keep the group that balancers share, and the rules of nodes and pods; balancers have to be kept before."""
        backend = {g: raw for g, raw in groups.items() if is_backend(read_tags(raw))}
        for raw in backend.values():
            seen = see_backend(raw, others=look.used_by_others)
            look.seen[BACKEND_SCOPE][seen.key] = seen
        if look.only not in (None, NODE_SCOPE):
            return
        owners = self._rule_owners(look, backend)
        used = _used(nodes)
        targets = {g: raw for g, raw in groups.items() if g not in look.managed and g not in backend}
        for group, raw in sorted(targets.items()):
            if _may_be_nodes(raw, group, used):
                look.seen[NODE_SCOPE].update((seen.key, seen) for seen in see_node_rules(raw, owners))
        for raw in self._left_open(look, backend, nodes).values():
            if raw["GroupId"] not in groups:
                look.seen[NODE_SCOPE].update((seen.key, seen) for seen in see_left_rules(raw, owners))

    def _left_open(
        self, look: Look, backend: Mapping[str, dict[str, Any]], nodes: NodeFacts
    ) -> dict[str, dict[str, Any]]:
        """Groups that may have rules of ours though neither nodes nor pods of now have them.

        Rules from a group of ours lead to it. Those from the clients of a balancer without any lead nowhere, so that
        all groups of the VPC have to be looked at while there is such a balancer that sends to pods.
        """
        of_vpc = {"Name": "vpc-id", "Values": [nodes.network.vpc_id]}
        if self._lets_clients_in(look):
            return self._filtered([of_vpc])
        sources = {group for group, raw in backend.items() if names.OWNER in read_tags(raw)}
        if self._settings.backend_security_group:
            sources.add(self._settings.backend_security_group)
        if not self._settings.enable_backend_security_group:
            sources.update(group for group, (_, claim) in look.managed.items() if claim.ours)
        found: dict[str, dict[str, Any]] = {}
        for batch in batches(sorted(sources), VALUES_A_FILTER):
            found.update(self._filtered([{"Name": "ip-permission.group-id", "Values": batch}, of_vpc]))
        return found

    def _lets_clients_in(self, look: Look) -> bool:
        """True while a Service has, or asks for, a balancer without security groups that sends to pods."""
        asks = (one for one in look.world.services.values() if mode_of(one, self._settings) == IP)
        if any(one.metadata.annotations.get(key_of("disable_nlb_sg"), "") in GO_TRUE for one in asks):
            return True
        known = look.seen if look.only is None else _resources(look.world)
        seen = [one for resources in known.values() for one in resources.values() if one.ours]
        bare = any(one.key.kind == NETWORK and is_of_lbc(one) and not one.resource.fields["groups"] for one in seen)
        return bare and any(one.key.kind == TARGETS and one.resource.fields["target_type"] == "ip" for one in seen)

    def _rule_owners(self, look: Look, backend: Mapping[str, dict[str, Any]]) -> RuleOwners:
        by_source: dict[str, Identity | None] = {
            group: claim.owner for group, (_, claim) in look.managed.items() if claim.ours
        }
        by_source.update({group: None for group, raw in backend.items() if names.OWNER in read_tags(raw)})
        by_name: dict[str, Identity] = {}
        known = look.seen if look.only is None else {**_resources(look.world), **look.seen}
        for resources in known.values():
            for key, seen in resources.items():
                if key.kind in (CLASSIC, NETWORK) and seen.ours:
                    owner = next(iter(seen.resource.owners))
                    by_name[key.id] = owner
                    if key.kind == CLASSIC:
                        _note_sources(by_source, seen)
        for identity in look.world.services:
            by_name.setdefault(names.ccm_balancer(identity.uid), identity)
        return RuleOwners(self._cluster, by_source, by_name, _used_by_others(look))


def _note_sources(by_source: dict[str, Identity | None], balancer: Seen) -> None:
    """Rules from a Service's own groups are ours while its balancer has the groups; several balancers may."""
    groups = balancer.resource.fields.get("groups")
    for group in groups if isinstance(groups, frozenset) else ():
        by_source.setdefault(group, None)


def _used_by_others(look: Look) -> frozenset[str]:
    """The groups that balancers of others carry; as they were known before, where balancers are not looked at."""
    if look.used_by_others is not None:
        return look.used_by_others
    known = look.world.observed.get(NODE_SCOPE, Observed(NODE_SCOPE))
    return frozenset(rule_of(seen.key).source for seen in known.of_kind(RULE) if USED in seen.outputs)


def _resources(world: World) -> SeenByScope:
    return {scope: dict(observed.resources) for scope, observed in world.observed.items() if scope.kind == BALANCER}


def _used(nodes: NodeFacts) -> set[str]:
    held = (*nodes.groups_of_instance.values(), *nodes.groups_of_pod.values())
    return {group for groups in held for group in groups}


def _may_be_nodes(raw: Mapping[str, Any], group: str, used: set[str]) -> bool:
    return group in used or any(key.startswith(names.CCM_CLUSTER_PREFIX) for key in read_tags(raw))
