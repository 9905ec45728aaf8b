"""The least rights that the driver needs, as data, and the IAM policies made from them. Pure.

One entry a call: what it is for decides whether a cluster's modes need it, and which tag of the cluster limits it.
`manifests/policies/aws-*.json` hold the policies of all modes; tests keep the files fresh and compare the table with
the calls that are really made. A policy is never longer than IAM lets a managed policy be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.model.objects import Service
from lbctl_aws.annotations import CCM, CLB, IP, LBC, LEGACY
from lbctl_aws.names import CCM_CLUSTER_PREFIX, LBC_CLUSTER
from lbctl_aws.options import mode_of
from lbctl_aws.settings import AwsSettings, region_of_zone

ELB, EC2 = "elasticloadbalancing", "ec2"
ALL_MODES = (*CCM, *LBC)
NETWORK_MODES = (LEGACY, *LBC)
POLICY_VERSION = "2012-10-17"
LOAD_BALANCER = "LoadBalancer"
PARTITIONS: Mapping[str, str] = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
# How a call can be limited to the cluster's own objects.
ANY, NEW, OWN = "any object", "new objects with the cluster's tag", "objects with the cluster's tag"


@dataclass(frozen=True, slots=True)
class Permission:
    """One IAM action, the modes that need it, and what it may be limited to."""

    action: str
    modes: tuple[str, ...] = ALL_MODES
    limit: str = ANY

    def serves(self, modes: frozenset[str]) -> bool:
        """True when these modes need it; what every mode reads is read before there is any balancer."""
        is_snapshot = self.modes == ALL_MODES and ":Describe" in self.action
        return is_snapshot or not modes.isdisjoint(self.modes)


def _all(
    service: str, operations: str, *, modes: tuple[str, ...] = ALL_MODES, limit: str = ANY
) -> Iterable[Permission]:
    return [Permission(f"{service}:{operation}", modes, limit) for operation in operations.split()]


PERMISSIONS: tuple[Permission, ...] = (
    *_all(
        EC2,
        "DescribeAvailabilityZones DescribeInstances DescribeRouteTables DescribeSecurityGroups DescribeSubnets "
        "DescribeVpcs",
    ),
    *_all(
        ELB,
        "DescribeAccountLimits DescribeLoadBalancers DescribeTags DescribeTargetGroups DescribeLoadBalancerAttributes",
    ),
    *_all(
        ELB,
        "DescribeListeners DescribeListenerAttributes DescribeListenerCertificates DescribeTargetGroupAttributes "
        "DescribeTargetHealth",
        modes=NETWORK_MODES,
    ),
    *_all(EC2, "DescribeNetworkInterfaces", modes=(IP,)),
    *_all(ELB, "DescribeInstanceHealth", modes=(CLB,)),
    *_all(EC2, "CreateSecurityGroup CreateTags", limit=NEW),
    *_all(EC2, "DeleteSecurityGroup DeleteTags", limit=OWN),
    # The nodes' groups are the operator's, and rules cannot be limited by the tag of what they will allow.
    *_all(EC2, "AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress"),
    *_all(ELB, "CreateLoadBalancer AddTags", limit=NEW),
    *_all(ELB, "DeleteLoadBalancer RemoveTags ModifyLoadBalancerAttributes", limit=OWN),
    *_all(ELB, "CreateTargetGroup", modes=NETWORK_MODES, limit=NEW),
    *_all(
        ELB,
        "DeleteTargetGroup ModifyTargetGroup ModifyTargetGroupAttributes SetIpAddressType SetSecurityGroups SetSubnets "
        "ModifyListenerAttributes ModifyCapacityReservation",
        modes=NETWORK_MODES,
        limit=OWN,
    ),
    *_all(
        ELB,
        "CreateListener ModifyListener DeleteListener AddListenerCertificates RemoveListenerCertificates "
        "RegisterTargets DeregisterTargets",
        modes=NETWORK_MODES,
    ),
    *_all(
        ELB,
        "CreateLoadBalancerListeners DeleteLoadBalancerListeners SetLoadBalancerListenerSSLCertificate "
        "ConfigureHealthCheck RegisterInstancesWithLoadBalancer DeregisterInstancesFromLoadBalancer "
        "CreateLoadBalancerPolicy SetLoadBalancerPoliciesOfListener SetLoadBalancerPoliciesForBackendServer "
        "AttachLoadBalancerToSubnets DetachLoadBalancerFromSubnets ApplySecurityGroupsToLoadBalancer",
        modes=(CLB,),
    ),
)


def needed_policy(settings: AwsSettings, services: Iterable[Service] | None) -> dict[str, Any]:
    """The IAM policy for the modes that these Services use, or for all modes without any Services given.

    The cluster's name is `cluster_id` of the settings; without one, `CLUSTER` stands where it belongs.
    """
    modes = ALL_MODES if services is None else modes_in_use(settings, services)
    region = settings.region or region_of_zone(settings.zone)
    partition = next((name for start, name in PARTITIONS.items() if region.startswith(start)), "aws")
    return build_policy(modes, cluster=settings.cluster_id or "CLUSTER", partition=partition)


def modes_in_use(settings: AwsSettings, services: Iterable[Service]) -> tuple[str, ...]:
    """The modes in which balancers are or will be made, in the order of `ALL_MODES`."""
    used = {mode_of(service, settings) for service in services if service.spec.type == LOAD_BALANCER}
    return tuple(mode for mode in ALL_MODES if mode in used)


def build_policy(modes: Iterable[str], *, cluster: str, partition: str = "aws") -> dict[str, Any]:
    """The IAM policy for these modes of one cluster, in a stable order.

    With modes of both upstream controllers an object carries one tag or the other, so each limited statement comes once
    for each. `partition` is `aws`, `aws-cn` or `aws-us-gov`.
    """
    used = frozenset(modes)
    needed = [permission for permission in PERMISSIONS if permission.serves(used)]
    statements = [_statement("Any", _actions(needed, ANY), {})]
    if not used:
        return {"Version": POLICY_VERSION, "Statement": statements}
    for name, key, value in _tags(used, cluster):
        statements.append(_statement(f"New{name}", _actions(needed, NEW), _condition("RequestTag", key, value)))
        # Tagging what exists already, and removing it, goes by the tag that is there.
        own = [*_actions(needed, OWN), *(a for a in _actions(needed, NEW) if a.endswith("Tags"))]
        statements.append(_statement(f"Own{name}", sorted(own), _condition("ResourceTag", key, value)))
    created = _statement("AllowNewGroupInVpc", [f"{EC2}:CreateSecurityGroup"], {})
    created["Resource"] = f"arn:{partition}:ec2:*:*:vpc/*"
    linked = _statement(
        "ServiceLinkedRoleOnce",
        ["iam:CreateServiceLinkedRole"],
        {"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}},
    )
    return {"Version": POLICY_VERSION, "Statement": [*statements, created, linked]}


def _tags(modes: frozenset[str], cluster: str) -> list[tuple[str, str, str]]:
    ccm = [("Ccm", CCM_CLUSTER_PREFIX + cluster, "owned")] if not modes.isdisjoint(CCM) else []
    lbc = [("Lbc", LBC_CLUSTER, cluster)] if not modes.isdisjoint(LBC) else []
    return [*ccm, *lbc]


def _actions(permissions: list[Permission], limit: str) -> list[str]:
    return sorted(permission.action for permission in permissions if permission.limit == limit)


def _condition(where: str, key: str, value: str) -> Mapping[str, Any]:
    return {"StringEquals": {f"aws:{where}/{key}": value}}


def _statement(sid: str, actions: list[str], condition: Mapping[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": "*"}
    return {**statement, "Condition": dict(condition)} if condition else statement
