"""The least rights that the driver needs, as data, and the IAM policies made from them. Pure.

One entry a call: what it is for decides whether a cluster's modes need it, and which tag of the cluster limits it.
`manifests/policies/aws-*.json` hold the policies of all modes; tests keep the files fresh and compare the table with
the calls that are really made. A policy is never longer than IAM lets a managed policy be.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.errors import InvalidService
from lbctl.model.intent import Intent
from lbctl.model.objects import Service
from lbctl.model.resource import NOTHING
from lbctl_aws.annotations import CCM, CLB, IP, LBC, LEGACY
from lbctl_aws.attributes import declared
from lbctl_aws.backends import places
from lbctl_aws.model_groups import makes_group, manages_node_rules
from lbctl_aws.names import CCM_CLUSTER_PREFIX, LBC_CLUSTER
from lbctl_aws.options import mode_of, options_of
from lbctl_aws.parse import parse
from lbctl_aws.settings import AwsSettings, region_of_zone

ELB, EC2 = "elasticloadbalancing", "ec2"
NEW_GROUP = f"{EC2}:CreateSecurityGroup"
ALL_MODES = (*CCM, *LBC)
NETWORK_MODES = (LEGACY, *LBC)
POLICY_VERSION = "2012-10-17"
LOAD_BALANCER = "LoadBalancer"
PARTITIONS: Mapping[str, str] = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
# How a call can be limited to the cluster's own objects.
ANY, NEW, OWN = "any object", "new objects with the cluster's tag", "objects with the cluster's tag"


class Feature(enum.Enum):
    """What a Service asks for beyond what every balancer of its mode needs, by the annotations and fields that do."""

    TLS = "certificates"
    MORE_CERTIFICATES = "several certificates"
    TLS_POLICY = "a TLS policy"
    PROXY = "the PROXY protocol"
    ATTRIBUTES = "attributes of the balancer"
    GROUP_ATTRIBUTES = "attributes of target groups"
    LISTENER_ATTRIBUTES = "attributes of listeners"
    CAPACITY = "reserved capacity"
    FAMILIES = "address families"
    OWN_GROUPS = "managed security groups"
    RULES = "rules on security groups"


ALL_FEATURES = frozenset(Feature)


@dataclass(frozen=True, slots=True)
class Permission:
    """One IAM action, the modes that need it, what it may be limited to, and the features that alone need it."""

    action: str
    modes: tuple[str, ...] = ALL_MODES
    limit: str = ANY
    features: frozenset[Feature] = frozenset()

    def serves(self, uses: Uses) -> bool:
        """True when these uses need it; what every mode reads is read before there is any balancer."""
        is_snapshot = self.modes == ALL_MODES and ":Describe" in self.action
        if not self.features:
            return is_snapshot or any(mode in self.modes for mode in uses)
        return any(mode in self.modes and not self.features.isdisjoint(used) for mode, used in uses.items())


Uses = Mapping[str, frozenset[Feature]]
"""The modes in use, with the features that Services use in each."""


def _all(
    service: str,
    operations: str,
    *,
    modes: tuple[str, ...] = ALL_MODES,
    limit: str = ANY,
    features: Iterable[Feature] = (),
) -> Iterable[Permission]:
    needing = frozenset(features)
    return [Permission(f"{service}:{operation}", modes, limit, needing) for operation in operations.split()]


# AWS's own policy AmazonEKSLoadBalancingPolicy limits the calls on listeners and targets by tags, too.
PERMISSIONS: tuple[Permission, ...] = (
    *_all(
        EC2,
        "DescribeAvailabilityZones DescribeInstances DescribeRouteTables DescribeSecurityGroups DescribeSubnets "
        "DescribeVpcs",
    ),
    *_all(ELB, "DescribeAccountLimits DescribeLoadBalancers DescribeTags DescribeTargetGroups"),
    *_all(ELB, "DescribeListeners DescribeTargetHealth", modes=NETWORK_MODES),
    *_all(EC2, "DescribeNetworkInterfaces", modes=(IP,)),
    *_all(ELB, "DescribeInstanceHealth", modes=(CLB,)),
    *_all(EC2, "CreateSecurityGroup CreateTags", limit=NEW, features=(Feature.OWN_GROUPS,)),
    *_all(EC2, "DeleteSecurityGroup DeleteTags", limit=OWN, features=(Feature.OWN_GROUPS,)),
    # The nodes' groups are the operator's, and need no tag where a node has a single one.
    *_all(EC2, "AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress", features=(Feature.RULES,)),
    *_all(ELB, "CreateLoadBalancer AddTags", limit=NEW),
    *_all(ELB, "DeleteLoadBalancer RemoveTags", limit=OWN),
    *_all(ELB, "DescribeLoadBalancerAttributes", features=(Feature.ATTRIBUTES,)),
    *_all(ELB, "ModifyLoadBalancerAttributes", limit=OWN, features=(Feature.ATTRIBUTES,)),
    *_all(ELB, "CreateTargetGroup CreateListener", modes=NETWORK_MODES, limit=NEW),
    *_all(
        ELB,
        "DeleteTargetGroup ModifyTargetGroup RegisterTargets DeregisterTargets ModifyListener DeleteListener "
        "SetSecurityGroups SetSubnets",
        modes=NETWORK_MODES,
        limit=OWN,
    ),
    *_all(ELB, "DescribeListenerCertificates", modes=NETWORK_MODES, features=(Feature.TLS,)),
    *_all(
        ELB,
        "AddListenerCertificates RemoveListenerCertificates",
        modes=LBC,
        limit=OWN,
        features=(Feature.MORE_CERTIFICATES,),
    ),
    *_all(ELB, "DescribeTargetGroupAttributes", modes=NETWORK_MODES, features=(Feature.GROUP_ATTRIBUTES,)),
    *_all(ELB, "ModifyTargetGroupAttributes", modes=NETWORK_MODES, limit=OWN, features=(Feature.GROUP_ATTRIBUTES,)),
    *_all(ELB, "DescribeListenerAttributes", modes=LBC, features=(Feature.LISTENER_ATTRIBUTES,)),
    *_all(ELB, "ModifyListenerAttributes", modes=LBC, limit=OWN, features=(Feature.LISTENER_ATTRIBUTES,)),
    *_all(ELB, "DescribeCapacityReservation", modes=LBC, features=(Feature.CAPACITY,)),
    *_all(ELB, "ModifyCapacityReservation", modes=LBC, limit=OWN, features=(Feature.CAPACITY,)),
    *_all(ELB, "SetIpAddressType", modes=LBC, limit=OWN, features=(Feature.FAMILIES,)),
    *_all(
        ELB,
        "CreateLoadBalancerListeners DeleteLoadBalancerListeners ConfigureHealthCheck "
        "RegisterInstancesWithLoadBalancer DeregisterInstancesFromLoadBalancer "
        "AttachLoadBalancerToSubnets DetachLoadBalancerFromSubnets ApplySecurityGroupsToLoadBalancer",
        modes=(CLB,),
        limit=OWN,
    ),
    *_all(ELB, "SetLoadBalancerListenerSSLCertificate", modes=(CLB,), limit=OWN, features=(Feature.TLS,)),
    *_all(ELB, "SetLoadBalancerPoliciesOfListener", modes=(CLB,), limit=OWN, features=(Feature.TLS_POLICY,)),
    *_all(ELB, "SetLoadBalancerPoliciesForBackendServer", modes=(CLB,), limit=OWN, features=(Feature.PROXY,)),
    *_all(ELB, "CreateLoadBalancerPolicy", modes=(CLB,), limit=OWN, features=(Feature.TLS_POLICY, Feature.PROXY)),
)


def needed_policy(settings: AwsSettings, services: Iterable[Service] | None) -> dict[str, Any]:
    """The IAM policy for what these Services use, or for everything without any Services given.

    The cluster's name is `cluster_id` of the settings; without one, `CLUSTER` stands where it belongs.
    """
    uses = EVERYTHING if services is None else uses_of(settings, services)
    region = settings.region or region_of_zone(settings.zone)
    partition = next((name for start, name in PARTITIONS.items() if region.startswith(start)), "aws")
    return build_policy(uses, cluster=settings.cluster_id or "CLUSTER", partition=partition)


EVERYTHING: Uses = dict.fromkeys(ALL_MODES, ALL_FEATURES)


def uses_of(settings: AwsSettings, services: Iterable[Service]) -> Uses:
    """The modes in which balancers are or will be made, in the order of `ALL_MODES`, with the features of each.

    A Service that is invalid now may use any feature of its mode once it is corrected.
    """
    used: dict[str, frozenset[Feature]] = {}
    for service in services:
        mode = mode_of(service, settings)
        if service.spec.type == LOAD_BALANCER and mode in ALL_MODES:
            used[mode] = used.get(mode, frozenset()) | _features_of(service, settings)
    return {mode: used[mode] for mode in ALL_MODES if mode in used}


def _features_of(service: Service, settings: AwsSettings) -> frozenset[Feature]:
    try:
        intent = parse(service, settings)
    except InvalidService:
        return ALL_FEATURES
    return frozenset(feature for feature, is_used in _features(intent, settings).items() if is_used)


def _features(intent: Intent, settings: AwsSettings) -> dict[Feature, bool]:
    options = options_of(intent)
    # What was set once has to be set back.
    # Which Services it names is not known here, so what it sets on one of their ports counts as set.
    entries = declared(intent, places(intent, NOTHING)) | set(options.remembered)
    makes_groups = makes_group(intent, settings)
    opens_nodes = manages_node_rules(options) and not settings.disable_security_group_ingress
    return {
        Feature.TLS: bool(options.ssl_cert),
        Feature.MORE_CERTIFICATES: len(options.ssl_cert) > 1,
        Feature.TLS_POLICY: options.ssl_negotiation_policy is not None,
        Feature.PROXY: options.proxy_protocol is not None,
        Feature.ATTRIBUTES: any(entry.startswith("lb:") for entry in entries),
        Feature.GROUP_ATTRIBUTES: any(e.startswith("tg/") for e in entries) or bool(options.port_group_attributes),
        Feature.LISTENER_ATTRIBUTES: any(entry.startswith("listener/") for entry in entries),
        Feature.CAPACITY: options.minimum_load_balancer_capacity is not None,
        Feature.FAMILIES: "ip_address_type" in options.given,
        Feature.OWN_GROUPS: makes_groups,
        Feature.RULES: makes_groups or opens_nodes,
    }


def build_policy(uses: Uses, *, cluster: str, partition: str = "aws") -> dict[str, Any]:
    """The IAM policy for these uses by one cluster, in a stable order.

    With modes of both upstream controllers an object carries one tag or the other, so each limited statement comes once
    for each. `partition` is `aws`, `aws-cn` or `aws-us-gov`.
    """
    needed = [permission for permission in PERMISSIONS if permission.serves(uses)]
    statements = [_statement("Any", _actions(needed, ANY), {})]
    if not uses:
        return {"Version": POLICY_VERSION, "Statement": statements}
    for name, key, value, modes in _tags(uses, cluster):
        theirs = [permission for permission in PERMISSIONS if permission.serves(modes)]
        statements.append(_statement(f"New{name}", _actions(theirs, NEW), _condition("RequestTag", key, value)))
        # Tagging what exists already, and removing it, goes by the tag that is there.
        own = [*_actions(theirs, OWN), *(a for a in _actions(theirs, NEW) if a.endswith("Tags"))]
        statements.append(_statement(f"Own{name}", sorted(own), _condition("ResourceTag", key, value)))
    if any(permission.action == NEW_GROUP for permission in needed):
        created = _statement("AllowNewGroupInVpc", [NEW_GROUP], {})
        created["Resource"] = f"arn:{partition}:ec2:*:*:vpc/*"
        statements.append(created)
    linked = _statement(
        "ServiceLinkedRoleOnce",
        ["iam:CreateServiceLinkedRole"],
        {"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}},
    )
    return {"Version": POLICY_VERSION, "Statement": [*statements, linked]}


def _tags(uses: Uses, cluster: str) -> Iterator[tuple[str, str, str, Uses]]:
    """Name, key and value of each upstream's tag that is in use, with the uses that go by it."""
    for name, key, value, modes in (
        ("Ccm", CCM_CLUSTER_PREFIX + cluster, "owned", CCM),
        ("Lbc", LBC_CLUSTER, cluster, LBC),
    ):
        theirs = {mode: features for mode, features in uses.items() if mode in modes}
        if theirs:
            yield name, key, value, theirs


def _actions(permissions: list[Permission], limit: str) -> list[str]:
    return sorted(permission.action for permission in permissions if permission.limit == limit)


def _condition(where: str, key: str, value: str) -> Mapping[str, Any]:
    return {"StringEquals": {f"aws:{where}/{key}": value}}


def _statement(sid: str, actions: list[str], condition: Mapping[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": "*"}
    return {**statement, "Condition": dict(condition)} if condition else statement
