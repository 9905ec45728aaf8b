"""The cloud's objects -> Observed: one path for the snapshot of the whole cluster and for a single scope.

Lists come in pages, tags in batches of twenty; per balancer and target group only what no list tells is read: its
listeners, its targets, and attributes where a Service declares or declared some. Security groups are never listed
without a filter.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lbctl.clock import Clock
from lbctl.driver import Figure, World
from lbctl.model.resource import Identity, Key, Observed, Scope, Seen
from lbctl_aws import names, seen_classic, seen_network
from lbctl_aws.attributes import declared
from lbctl_aws.backends import places
from lbctl_aws.client import AwsClient
from lbctl_aws.model_nodes import NodeFacts
from lbctl_aws.options import options_of
from lbctl_aws.ownership import CCM_NAME, Claim, Owners
from lbctl_aws.place import BACKEND_SCOPE, BALANCER, CLASSIC, NETWORK, NODE_SCOPE, balancer_scope
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

PAGE = 400
GROUP_PAGE = 1000
ARNS_A_CALL = 20
VALUES_A_FILTER = 200
GROUP_NAME = "k8s-"
SeenByScope = dict[Scope, dict[Key, Seen]]


@dataclass
class _Look:
    """One look at the cloud: what is asked, and what has been found so far."""

    world: World
    owners: Owners
    only: Scope | None
    seen: SeenByScope = field(default_factory=lambda: defaultdict(dict))
    managed: dict[str, tuple[str, Claim]] = field(default_factory=dict)
    health: Counter[str] = field(default_factory=Counter)
    used_by_others: frozenset[str] | None = None

    def wants(self, owner: Identity) -> bool:
        return self.only in (None, balancer_scope(owner))

    def add(self, owner: Identity, seen: Iterable[Seen]) -> None:
        scope = balancer_scope(owner)
        if self.only in (None, scope):
            self.seen[scope].update((one.key, one) for one in seen)

    def is_others(self, name: str, tags: Mapping[str, str]) -> bool:
        return not self.owners.is_interesting(name, tags) or not self.owners.find(name, tags).ours

    def declares(self, owner: Identity, place: str) -> bool:
        intent = self.world.intents.get(owner)
        if intent is None:
            return False
        now = declared(intent, places(intent, self.world.referred))
        entries = now | set(options_of(intent).remembered)
        return any(entry.startswith(place) for entry in entries)


Show = Callable[[Figure, str, float], None]
# TargetHealthStateEnum; what is not here is not known yet, or not used.
HEALTH = {"healthy": "healthy", "unhealthy": "unhealthy", "draining": "draining", "unhealthy.draining": "draining"}


def _health(word: str) -> str:
    return HEALTH.get(word, "unknown")


class Reader:
    """Reads everything of one cluster."""

    def __init__(self, client: AwsClient, settings: AwsSettings, clock: Clock, *, cluster: str, show: Show) -> None:
        self._show = show
        self._client = client
        self._settings = settings
        self._clock = clock
        self._cluster = cluster
        self._tags: dict[str, Mapping[str, str]] = {}

    def read(self, world: World, nodes: NodeFacts, *, only: Scope | None = None) -> dict[Scope, Observed]:
        """All scopes that hold anything, or the one that is asked for; lists of the account in pages."""
        at = self._clock.monotonic()
        self._forget_tags(world, only)
        look = _Look(world, Owners(self._cluster, world, self._settings.adopt_untagged), only)
        groups = self._groups(nodes)
        self._see_groups(look, groups)
        if only is None or only.kind == BALANCER:
            self._see_classics(look)
            self._see_networks(look)
        self._see_shared(look, groups, nodes)
        if only is None:
            self._show_health(look)
        return {
            scope: Observed(scope, dict(sorted(seen.items())), read_at=at)
            for scope, seen in look.seen.items()
            if only in (None, scope)
        }

    def _show_health(self, look: _Look) -> None:
        for state in sorted({*HEALTH.values(), "unknown"}):
            self._show(Figure.TARGETS, state, sum(n for word, n in look.health.items() if _health(word) == state))

    def _groups(self, nodes: NodeFacts) -> dict[str, dict[str, Any]]:
        """Groups with a tag of ours, and those of nodes and pods."""
        found: dict[str, dict[str, Any]] = {}
        tags = (
            {"Name": "tag-key", "Values": [names.CCM_CLUSTER_PREFIX + self._cluster]},
            {"Name": f"tag:{names.LBC_CLUSTER}", "Values": [self._cluster]},
        )
        for wanted in tags:
            found.update(self._filtered([wanted, {"Name": "vpc-id", "Values": [nodes.network.vpc_id]}]))
        missing = _used(nodes) - found.keys()
        for batch in batches(sorted(missing), ARNS_A_CALL * 5):
            found.update(self._filtered([{"Name": "group-id", "Values": batch}]))
        return found

    def _filtered(self, filters: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        request = {"Filters": filters, "MaxResults": GROUP_PAGE}
        if filters[0]["Name"] == "group-id":
            del request["MaxResults"]
        listed = self._client.pages("ec2", "DescribeSecurityGroups", request, items="SecurityGroups")
        return {raw["GroupId"]: raw for raw in listed}

    def _see_groups(self, look: _Look, groups: Mapping[str, dict[str, Any]]) -> None:
        for group, raw in sorted(groups.items()):
            tags = read_tags(raw)
            if is_backend(tags) or not is_managed(raw, tags):
                continue
            claim = look.owners.find(raw["GroupName"], tags, described=described_service(raw))
            shared = tags.get(names.CCM_CLUSTER_PREFIX + self._cluster, names.OWNED) != names.OWNED
            claim = replace(claim, ours=claim.ours and not shared)
            look.managed[group] = (raw["GroupName"], claim)
            look.add(claim.owner, see_managed(raw, claim))

    def _see_classics(self, look: _Look) -> None:
        listed = self._client.pages(
            "elb", "DescribeLoadBalancers", {"PageSize": PAGE}, items="LoadBalancerDescriptions"
        )
        ours = {raw["LoadBalancerName"]: raw for raw in listed if CCM_NAME.fullmatch(raw["LoadBalancerName"])}
        tags = self._classic_tags(ours)
        for name, raw in sorted(ours.items()):
            if not look.owners.is_interesting(name, tags.get(name, {})):
                continue
            claim = look.owners.find(name, tags.get(name, {}))
            if look.wants(claim.owner):
                seen = {s.key: s for s in seen_classic.see_classic(raw, tags.get(name, {}), claim, _names(look))}
                self._add_classic_attributes(look, claim, seen, name)
                look.add(claim.owner, seen.values())

    def _classic_tags(self, balancers: Iterable[str]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for batch in batches(sorted(balancers), ARNS_A_CALL):
            request = {"LoadBalancerNames": batch}
            reply = self._client.call("elb", "DescribeTags", request, ignore=("LoadBalancerNotFound",)) or {}
            found.update({entry["LoadBalancerName"]: read_tags(entry) for entry in reply.get("TagDescriptions", ())})
        return found

    def _add_classic_attributes(self, look: _Look, claim: Claim, seen: dict[Key, Seen], name: str) -> None:
        if not look.declares(claim.owner, "lb:"):
            return
        request = {"LoadBalancerName": name}
        reply = self._client.call("elb", "DescribeLoadBalancerAttributes", request) or {}
        key = Key(CLASSIC, name)
        fields = seen_classic.read_attributes(reply.get("LoadBalancerAttributes", {}))
        seen[key] = _with_fields(seen[key], fields)

    def _see_networks(self, look: _Look) -> None:
        listed = list(self._client.pages("elbv2", "DescribeLoadBalancers", {"PageSize": PAGE}, items="LoadBalancers"))
        balancers = {raw["LoadBalancerArn"]: raw for raw in listed if raw.get("Type") == "network"}
        groups = self._target_groups()
        tags = self._tags_of([*balancers, *groups], look)
        look.used_by_others = frozenset(
            group
            for raw in listed
            if raw["LoadBalancerArn"] not in balancers
            or look.is_others(raw["LoadBalancerName"], tags.get(raw["LoadBalancerArn"], {}))
            for group in raw.get("SecurityGroups", ())
        )
        arns = self._see_target_groups(look, groups, tags)
        listening: list[tuple[Key, Claim, list[dict[str, Any]]]] = []
        for arn, raw in sorted(balancers.items()):
            name = raw["LoadBalancerName"]
            if not look.owners.is_interesting(name, tags.get(arn, {})):
                continue
            claim = look.owners.find(name, tags.get(arn, {}))
            if look.wants(claim.owner):
                balancer = seen_network.see_network(raw, tags.get(arn, {}), claim, _names(look))
                balancer = self._with_capacity(look, self._with_attributes(look, balancer, "LoadBalancer", "lb:"))
                look.add(claim.owner, [balancer])
                if claim.ours:
                    listening.append((balancer.key, claim, self._listed_listeners(arn)))
        # The tags of many balancers' listeners fit into one call.
        tags = self._tags_of([raw["ListenerArn"] for *_, listed in listening for raw in listed], look)
        for key, claim, listed in listening:
            look.add(claim.owner, self._listeners(look, key, claim, listed, names_by_arn=arns, tags=tags))

    def _target_groups(self) -> dict[str, dict[str, Any]]:
        listed = self._client.pages("elbv2", "DescribeTargetGroups", {"PageSize": PAGE}, items="TargetGroups")
        return {raw["TargetGroupArn"]: raw for raw in listed if raw["TargetGroupName"].startswith(GROUP_NAME)}

    def _see_target_groups(
        self, look: _Look, groups: Mapping[str, dict[str, Any]], tags: Mapping[str, Mapping[str, str]]
    ) -> dict[str, str]:
        """Adds our target groups; returns the names of all by ARN."""
        for arn, raw in sorted(groups.items()):
            if self._cluster not in names.clusters_of(tags.get(arn, {})):
                continue
            claim = look.owners.find(raw["TargetGroupName"], tags[arn])
            if look.wants(claim.owner):
                health = self._client.call("elbv2", "DescribeTargetHealth", {"TargetGroupArn": arn}) or {}
                described = health.get("TargetHealthDescriptions", ())
                look.health.update(entry.get("TargetHealth", {}).get("State", "") for entry in described)
                seen = seen_network.see_target_group(raw, tags[arn], claim, described)
                look.add(claim.owner, [self._with_attributes(look, seen, "TargetGroup", "tg/")])
        return {arn: raw["TargetGroupName"] for arn, raw in groups.items()}

    def _listed_listeners(self, arn: str) -> list[dict[str, Any]]:
        request = {"LoadBalancerArn": arn, "PageSize": PAGE}
        return list(self._client.pages("elbv2", "DescribeListeners", request, items="Listeners"))

    def _listeners(
        self,
        look: _Look,
        balancer: Key,
        claim: Claim,
        listed: list[dict[str, Any]],
        *,
        names_by_arn: Mapping[str, str],
        tags: Mapping[str, Mapping[str, str]],
    ) -> Iterator[Seen]:
        for raw in listed:
            known = tags.get(raw["ListenerArn"], {})
            seen = seen_network.see_listener(raw, balancer, frozenset({claim.owner}), names_by_arn, tags=known)
            if raw.get("Protocol") == "TLS":
                seen = self._with_certificates(seen)
            yield self._with_attributes(look, seen, "Listener", "listener/")

    def _with_certificates(self, listener: Seen) -> Seen:
        request = {"ListenerArn": listener.outputs["arn"]}
        listed = self._client.pages("elbv2", "DescribeListenerCertificates", request, items="Certificates")
        more = frozenset(entry["CertificateArn"] for entry in listed if not entry.get("IsDefault"))
        return _with_fields(listener, {"more_certificates": more - {listener.resource.fields["certificate"]}})

    def _with_attributes(self, look: _Look, seen: Seen, what: str, place: str) -> Seen:
        owner = next(iter(seen.resource.owners))
        if not seen.ours or not look.declares(owner, place):
            return seen
        request = {f"{what}Arn": seen.outputs["arn"]}
        reply = self._client.call("elbv2", f"Describe{what}Attributes", request) or {}
        return _with_fields(seen, seen_network.read_attributes(reply))

    def _with_capacity(self, look: _Look, balancer: Seen) -> Seen:
        """The balancer with the capacity that is reserved, where its Service asks for some; 0 where none is."""
        intent = look.world.intents.get(next(iter(balancer.resource.owners)))
        if not balancer.ours or intent is None or options_of(intent).minimum_load_balancer_capacity is None:
            return balancer
        request = {"LoadBalancerArn": balancer.outputs["arn"]}
        reply = self._client.call("elbv2", "DescribeCapacityReservation", request) or {}
        units = (reply.get("MinimumLoadBalancerCapacity") or {}).get("CapacityUnits", 0)
        return _with_fields(balancer, {"capacity": str(units)})

    def _tags_of(self, arns: list[str], look: _Look) -> Mapping[str, Mapping[str, str]]:
        """Tags by ARN, twenty a call; what a look at one scope has seen before is not read again."""
        unknown = arns if look.only is None else [arn for arn in arns if arn not in self._tags]
        for batch in batches(unknown, ARNS_A_CALL):
            reply = self._client.call("elbv2", "DescribeTags", {"ResourceArns": batch}) or {}
            self._tags.update({entry["ResourceArn"]: read_tags(entry) for entry in reply.get("TagDescriptions", ())})
        return self._tags

    def _forget_tags(self, world: World, scope: Scope | None) -> None:
        """Have the tags of one scope's objects read again: they may be why it is looked at."""
        known = world.observed.get(scope) if scope is not None else None
        for seen in known.resources.values() if known is not None else ():
            self._tags.pop(seen.outputs.get("arn", ""), None)

    def _see_shared(self, look: _Look, groups: Mapping[str, dict[str, Any]], nodes: NodeFacts) -> None:
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
        self, look: _Look, backend: Mapping[str, dict[str, Any]], nodes: NodeFacts
    ) -> dict[str, dict[str, Any]]:
        """Groups with rules from ours: when the last pod of a group of pods is gone, nothing else leads to it."""
        sources = {group for group, raw in backend.items() if names.OWNER in read_tags(raw)}
        if not self._settings.enable_backend_security_group:
            sources.update(group for group, (_, claim) in look.managed.items() if claim.ours)
        found: dict[str, dict[str, Any]] = {}
        for batch in batches(sorted(sources), VALUES_A_FILTER):
            wanted = {"Name": "ip-permission.group-id", "Values": batch}
            found.update(self._filtered([wanted, {"Name": "vpc-id", "Values": [nodes.network.vpc_id]}]))
        return found

    def _rule_owners(self, look: _Look, backend: Mapping[str, dict[str, Any]]) -> RuleOwners:
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
        return RuleOwners(self._cluster, by_source, by_name)


def _note_sources(by_source: dict[str, Identity | None], balancer: Seen) -> None:
    """Rules from a Service's own groups are ours while its balancer has the groups; several balancers may."""
    groups = balancer.resource.fields.get("groups")
    for group in groups if isinstance(groups, frozenset) else ():
        by_source.setdefault(group, None)


def _resources(world: World) -> SeenByScope:
    return {scope: dict(observed.resources) for scope, observed in world.observed.items() if scope.kind == BALANCER}


def _used(nodes: NodeFacts) -> set[str]:
    held = (*nodes.groups_of_instance.values(), *nodes.groups_of_pod.values())
    return {group for groups in held for group in groups}


def _names(look: _Look) -> dict[str, str]:
    return {group: name for group, (name, claim) in look.managed.items() if claim.ours}


def _may_be_nodes(raw: Mapping[str, Any], group: str, used: set[str]) -> bool:
    return group in used or any(key.startswith(names.CCM_CLUSTER_PREFIX) for key in read_tags(raw))


def _with_fields(seen: Seen, fields: Mapping[str, Any]) -> Seen:
    return replace(seen, resource=replace(seen.resource, fields={**seen.resource.fields, **fields}))
