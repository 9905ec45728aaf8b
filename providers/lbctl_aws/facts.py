"""Cached reads that modelling needs beyond our own objects: the network, the groups of nodes and pods, groups by name.

The network is read at most once in ten minutes; instances only when a node is new, interfaces only when a pod that is a
target is. Losing the cache costs calls only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.clock import Clock
from lbctl.driver import World
from lbctl.errors import MissingFact
from lbctl_aws.client import AwsClient
from lbctl_aws.model_nodes import NodeFacts
from lbctl_aws.network import REGULAR_ZONE, Network, Subnet
from lbctl_aws.options import options_of
from lbctl_aws.place import TARGETS, BalancerFacts, balancer_scope, has_our_tag
from lbctl_aws.replies import batches, read_tags
from lbctl_aws.settings import AwsSettings
from lbctl_aws.sharing import upstream_document
from lbctl_aws.targets import InstanceIds, pod_addresses

INSTANCES_A_CALL = 100
ADDRESSES_A_CALL = 200
GROUPS_A_CALL = 100
INSTANCE_SECONDS = 3600.0
# What EC2 does not know may be too new for it: asked again with the next sweep.
UNKNOWN_SECONDS = 600.0
LEAVING_STATES = frozenset({"disassociating", "disassociated", "failing", "failed"})

_Groups = tuple[str, tuple[str, ...]]
ReadDocument = Callable[[str], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class _Aged:
    value: Any
    at: float

    def is_due(self, now: float) -> bool:
        return now - self.at > (INSTANCE_SECONDS if self.value else UNKNOWN_SECONDS)


class FactReader:
    """Reads facts, and remembers them for a while."""

    def __init__(self, client: AwsClient, settings: AwsSettings, clock: Clock, *, read_document: ReadDocument) -> None:
        self._read_document = read_document
        self._documents: dict[str, Mapping[str, str]] = {}
        self._client = client
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._network: _Aged | None = None
        self._groups_of_instance: dict[str, _Aged] = {}
        self._groups_of_pod: dict[str, _Aged] = {}
        self._tags_of_group: dict[str, Mapping[str, str]] = {}
        self._group_names: dict[str, str] = {}

    def balancer(self, world: World) -> BalancerFacts:
        """What a balancer's model needs; security groups are looked up only where a Service uses Name tags."""
        network = self.network()
        words = {word for intent in world.intents.values() for word in options_of(intent).security_groups or ()}
        wanted = sorted(word for word in words if not word.startswith("sg-"))
        return BalancerFacts(network, self._named_groups(wanted), dict(self._lbc_targets(world)))

    def _lbc_targets(self, world: World) -> Iterator[tuple[str, Mapping[str, str]]]:
        """What LBC has written down of shared groups that it made and we have not changed yet: one GET a group, once.

        Raises `KubeDenied` where that may not be read: without it old targets would stay for ever.
        """
        for identity, intent in world.intents.items():
            options = options_of(intent)
            if not options.multi_cluster_target_group or options.own_targets is not None:
                continue
            observed = world.observed.get(balancer_scope(identity))
            for seen in observed.of_kind(TARGETS) if observed is not None else ():
                if has_our_tag(seen):
                    continue
                key = upstream_document(identity.namespace, seen.key.id)
                if key not in self._documents:
                    self._documents[key] = self._read_document(key) or {}
                yield seen.key.id, self._documents[key]

    def nodes(self, world: World) -> NodeFacts:
        """What node rules need: a call for each hundred nodes, or two hundred target pods, never seen before."""
        network = self.network()
        if self._settings.disable_security_group_ingress:
            return NodeFacts(network)
        ids = world.nodes.project(InstanceIds(limit=1_000_000))
        addresses = pod_addresses(world, network)
        with self._lock:
            self._read_new(self._groups_of_instance, ids, INSTANCES_A_CALL, self._instances)
            self._read_new(self._groups_of_pod, addresses, ADDRESSES_A_CALL, self._interfaces)
            groups = {i: self._groups_of_instance[i].value for i in ids if i in self._groups_of_instance}
            pods = {a: self._groups_of_pod[a].value for a in addresses if a in self._groups_of_pod}
            several = {group for theirs in (*groups.values(), *pods.values()) if len(theirs) > 1 for group in theirs}
            self._read_group_tags(several - self._tags_of_group.keys())
        return NodeFacts(network, groups, pods, dict(self._tags_of_group))

    def network(self) -> Network:
        """The VPC's subnets, routes and zones, at most `facts_seconds` old; four calls when they are older."""
        with self._lock:
            now = self._clock.monotonic()
            if self._network is None or now - self._network.at > self._settings.facts_seconds:
                self._network = _Aged(self._read_network(), now)
            network: Network = self._network.value
            return network

    def forget_network(self) -> None:
        """Read the network again next time: AWS has just denied that one of its subnets exists."""
        with self._lock:
            self._network = None

    def _read_network(self) -> Network:
        vpc = self._read_vpc()
        of_vpc = {"Filters": [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]}
        tables = list(self._client.pages("ec2", "DescribeRouteTables", of_vpc, items="RouteTables"))
        zones = self._client.call("ec2", "DescribeAvailabilityZones", {}) or {}
        kinds = {z["ZoneName"]: z.get("ZoneType", REGULAR_ZONE) for z in zones.get("AvailabilityZones", ())}
        subnets = self._client.pages("ec2", "DescribeSubnets", of_vpc, items="Subnets")
        cidrs = [entry["CidrBlock"] for entry in vpc.get("CidrBlockAssociationSet", ())] or [vpc["CidrBlock"]]
        cidrs += [entry["Ipv6CidrBlock"] for entry in vpc.get("Ipv6CidrBlockAssociationSet", ())]
        return Network(vpc["VpcId"], tuple(cidrs), tuple(_subnet(raw, tables, kinds) for raw in subnets))

    def _read_vpc(self) -> dict[str, Any]:
        if self._settings.vpc_id:
            request: dict[str, Any] = {"VpcIds": [self._settings.vpc_id]}
        elif self._settings.vpc_tags:
            filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in self._settings.vpc_tags.items()]
            request = {"Filters": filters}
        elif own := self._client.metadata.vpc():
            request = {"VpcIds": [own]}
        else:
            raise MissingFact("the VPC is not known", hint="set vpc_id or vpc_tags in the settings of the AWS driver")
        found = list(self._client.pages("ec2", "DescribeVpcs", request, items="Vpcs"))
        if len(found) != 1:
            raise MissingFact(f"{len(found)} VPCs match {request}, not one", hint="correct vpc_id or vpc_tags")
        vpc: dict[str, Any] = found[0]
        return vpc

    def _read_new(
        self, known: dict[str, _Aged], names: frozenset[str], size: int, read: Callable[[list[str]], Iterator[_Groups]]
    ) -> None:
        """Reads the groups of what is new or was read long ago, and forgets what is gone."""
        now = self._clock.monotonic()
        due = sorted(name for name in names if name not in known or known[name].is_due(now))
        for batch in batches(due, size):
            known.update({name: _Aged((), now) for name in batch})
            known.update({name: _Aged(groups, now) for name, groups in read(batch)})
        for gone in known.keys() - names:
            del known[gone]

    def _instances(self, ids: list[str]) -> Iterator[_Groups]:
        # A filter, unlike InstanceIds, does not fail for an instance that is gone already.
        request = {"Filters": [{"Name": "instance-id", "Values": ids}]}
        for reservation in self._client.pages("ec2", "DescribeInstances", request, items="Reservations"):
            for instance in reservation.get("Instances", ()):
                groups = tuple(sorted(group["GroupId"] for group in instance.get("SecurityGroups", ())))
                yield instance["InstanceId"], groups

    def _interfaces(self, addresses: list[str]) -> Iterator[_Groups]:
        """Groups by address; an address of a prefix that an interface holds is not found, and is its node's matter."""
        for family in ("addresses.private-ip-address", "ipv6-addresses.ipv6-address"):
            wanted = [address for address in addresses if (":" in address) == family.startswith("ipv6")]
            if not wanted:
                continue
            vpc = {"Name": "vpc-id", "Values": [self._network.value.vpc_id if self._network else ""]}
            request = {"Filters": [{"Name": family, "Values": wanted}, vpc]}
            for one in self._client.pages("ec2", "DescribeNetworkInterfaces", request, items="NetworkInterfaces"):
                groups = tuple(sorted(group["GroupId"] for group in one.get("Groups", ())))
                yield from ((address, groups) for address in _addresses(one) if address in wanted)

    def _read_group_tags(self, ids: set[str]) -> None:
        for batch in batches(sorted(ids), GROUPS_A_CALL):
            request = {"Filters": [{"Name": "group-id", "Values": batch}]}
            for group in self._client.pages("ec2", "DescribeSecurityGroups", request, items="SecurityGroups"):
                self._tags_of_group[group["GroupId"]] = read_tags(group)

    def _named_groups(self, words: list[str]) -> Mapping[str, str]:
        unknown = [word for word in words if word not in self._group_names]
        if unknown:
            filters = [
                {"Name": "tag:Name", "Values": unknown},
                {"Name": "vpc-id", "Values": [self.network().vpc_id]},
            ]
            for group in self._client.pages(
                "ec2", "DescribeSecurityGroups", {"Filters": filters}, items="SecurityGroups"
            ):
                self._group_names[read_tags(group)["Name"]] = group["GroupId"]
        return {word: self._group_names[word] for word in words if word in self._group_names}


def _addresses(interface: Mapping[str, Any]) -> Iterator[str]:
    yield from (one["PrivateIpAddress"] for one in interface.get("PrivateIpAddresses", ()))
    yield from (one["Ipv6Address"] for one in interface.get("Ipv6Addresses", ()))


def _subnet(raw: Mapping[str, Any], tables: list[dict[str, Any]], kinds: Mapping[str, str]) -> Subnet:
    return Subnet(
        id=raw["SubnetId"],
        zone=raw["AvailabilityZone"],
        cidr=raw["CidrBlock"],
        public=_is_public(raw["SubnetId"], tables),
        free=raw.get("AvailableIpAddressCount", 0),
        zone_type=kinds.get(raw["AvailabilityZone"], REGULAR_ZONE),
        ipv6_cidrs=tuple(
            entry["Ipv6CidrBlock"]
            for entry in raw.get("Ipv6CidrBlockAssociationSet", ())
            if entry.get("Ipv6CidrBlockState", {}).get("State") not in LEAVING_STATES
        ),
        tags=read_tags(raw),
    )


def _is_public(subnet: str, tables: list[dict[str, Any]]) -> bool:
    """True when the subnet's own route table, else the main one, leads to an internet gateway."""
    own = next((t for t in tables if any(a.get("SubnetId") == subnet for a in t.get("Associations", ()))), None)
    main = next((t for t in tables if any(a.get("Main") for a in t.get("Associations", ()))), None)
    table = own or main or {}
    return any(str(route.get("GatewayId", "")).startswith("igw") for route in table.get("Routes", ()))
