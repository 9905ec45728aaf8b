"""The cloud's objects -> Observed: one path for the snapshot of the whole cluster and for a single scope.

Lists come in pages, tags in batches of twenty; per balancer and target group only what no list tells is read: its
listeners, its targets, and attributes where a Service declares or declared some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lbctl.clock import Clock
from lbctl.driver import Figure, World
from lbctl.model.resource import Key, Observed, Scope, Seen
from lbctl_aws import names, seen_classic, seen_network
from lbctl_aws.client import AwsClient
from lbctl_aws.look import Look
from lbctl_aws.model_nodes import NodeFacts
from lbctl_aws.observe_groups import GroupReader
from lbctl_aws.options import options_of
from lbctl_aws.ownership import CCM_NAME, Claim, Owners
from lbctl_aws.place import (
    BALANCER,
    CLASSIC,
)
from lbctl_aws.replies import batches, read_tags
from lbctl_aws.settings import AwsSettings

PAGE = 400
GROUP_PAGE = 1000
ARNS_A_CALL = 20
VALUES_A_FILTER = 200
GROUP_NAME = "k8s-"
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
        self._groups = GroupReader(client, settings, cluster=cluster)

    def read(self, world: World, nodes: NodeFacts, *, only: Scope | None = None) -> dict[Scope, Observed]:
        """All scopes that hold anything, or the one that is asked for; lists of the account in pages."""
        at = self._clock.monotonic()
        self._forget_tags(world, only)
        look = Look(world, Owners(self._cluster, world, self._settings.adopt_untagged), only)
        groups = self._groups.find(nodes)
        self._groups.see_managed(look, groups)
        if only is None or only.kind == BALANCER:
            self._see_classics(look)
            self._see_networks(look)
        self._groups.see_shared(look, groups, nodes)
        if only is None:
            self._show_health(look)
        return {
            scope: Observed(scope, dict(sorted(seen.items())), read_at=at)
            for scope, seen in look.seen.items()
            if only in (None, scope)
        }

    def _show_health(self, look: Look) -> None:
        for state in sorted({*HEALTH.values(), "unknown"}):
            self._show(Figure.TARGETS, state, sum(n for word, n in look.health.items() if _health(word) == state))

    def _see_classics(self, look: Look) -> None:
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

    def _add_classic_attributes(self, look: Look, claim: Claim, seen: dict[Key, Seen], name: str) -> None:
        if not look.declares(claim.owner, "lb:"):
            return
        request = {"LoadBalancerName": name}
        reply = self._client.call("elb", "DescribeLoadBalancerAttributes", request) or {}
        key = Key(CLASSIC, name)
        fields = seen_classic.read_attributes(reply.get("LoadBalancerAttributes", {}))
        seen[key] = _with_fields(seen[key], fields)

    def _see_networks(self, look: Look) -> None:
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
        self, look: Look, groups: Mapping[str, dict[str, Any]], tags: Mapping[str, Mapping[str, str]]
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
        look: Look,
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

    def _with_attributes(self, look: Look, seen: Seen, what: str, place: str) -> Seen:
        owner = next(iter(seen.resource.owners))
        if not seen.ours or not look.declares(owner, place):
            return seen
        request = {f"{what}Arn": seen.outputs["arn"]}
        reply = self._client.call("elbv2", f"Describe{what}Attributes", request) or {}
        return _with_fields(seen, seen_network.read_attributes(reply))

    def _with_capacity(self, look: Look, balancer: Seen) -> Seen:
        """The balancer with the capacity that is reserved, where its Service asks for some; 0 where none is."""
        intent = look.world.intents.get(next(iter(balancer.resource.owners)))
        if not balancer.ours or intent is None or options_of(intent).minimum_load_balancer_capacity is None:
            return balancer
        request = {"LoadBalancerArn": balancer.outputs["arn"]}
        reply = self._client.call("elbv2", "DescribeCapacityReservation", request) or {}
        units = (reply.get("MinimumLoadBalancerCapacity") or {}).get("CapacityUnits", 0)
        return _with_fields(balancer, {"capacity": str(units)})

    def _tags_of(self, arns: list[str], look: Look) -> Mapping[str, Mapping[str, str]]:
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


def _names(look: Look) -> dict[str, str]:
    return {group: name for group, (name, claim) in look.managed.items() if claim.ours}


def _with_fields(seen: Seen, fields: Mapping[str, Any]) -> Seen:
    return replace(seen, resource=replace(seen.resource, fields={**seen.resource.fields, **fields}))
