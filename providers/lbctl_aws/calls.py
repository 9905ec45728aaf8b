"""Which call carries which part of a resource: data for the planner, one entry for each kind of resource. Pure.

A create call sets the `born` fields; the others follow in calls of their own. Fields that hold sets change by an
adding and a removing call. The phases put widening before shrinking: first what is opened, made and registered, then
what is switched over, last what is removed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from lbctl_aws.attributes import FIELD
from lbctl_aws.place import (
    CLASSIC,
    CLASSIC_BACKEND,
    CLASSIC_LISTENER,
    CLASSIC_POLICY,
    GROUP,
    LISTENER,
    NETWORK,
    RULE,
    TARGETS,
)


class Phase(enum.IntEnum):
    """Where a call stands among those that are free to go."""

    FIRST = 0
    OPEN = 1
    MAKE = 2
    ADD = 3
    SWITCH = 4
    TUNE = 5
    CUT = 6
    REMOVE = 7
    CLOSE = 8
    LAST = 9


@dataclass(frozen=True, slots=True)
class FieldCall:
    """A call that sets every field which starts with one of the prefixes; nothing waits for an `optional` one.

    It takes the fields of `carries` along when they change too, which then need no call of their own.
    """

    call: str
    prefixes: tuple[str, ...]
    phase: Phase = Phase.TUNE
    optional: bool = False
    carries: frozenset[str] = frozenset()

    def sets(self, field: str) -> bool:
        """True when this call sets the field."""
        return field.startswith(self.prefixes)


@dataclass(frozen=True, slots=True)
class SetCall:
    """Two calls that add to and remove from a field that holds a set, `chunk` members at a time."""

    field: str
    add: str
    remove: str
    chunk: int = 1_000_000
    add_phase: Phase = Phase.ADD
    remove_phase: Phase = Phase.CUT


@dataclass(frozen=True, slots=True)
class KindCalls:
    """All calls of one kind of resource."""

    create: str
    delete: str
    born: tuple[str, ...] = ()
    fields: tuple[FieldCall, ...] = ()
    sets: tuple[SetCall, ...] = ()
    make_phase: Phase = Phase.MAKE
    remove_phase: Phase = Phase.REMOVE

    def is_born(self, field: str) -> bool:
        """True when the create call sets the field."""
        return field.startswith(self.born)


TAGS = SetCall("tags", "elbv2.AddTags", "elbv2.RemoveTags", add_phase=Phase.OPEN)
TARGETS_A_CALL = 200
LISTENING = ("protocol", "forward", "sticky", "certificate", "policy", "alpn")

CALLS: Mapping[str, KindCalls] = {
    GROUP: KindCalls(
        "ec2.CreateSecurityGroup",
        "ec2.DeleteSecurityGroup",
        born=("vpc", "description", "tags"),
        sets=(SetCall("tags", "ec2.CreateTags", "ec2.DeleteTags", add_phase=Phase.OPEN),),
        make_phase=Phase.FIRST,
        remove_phase=Phase.CLOSE,
    ),
    TARGETS: KindCalls(
        "elbv2.CreateTargetGroup",
        "elbv2.DeleteTargetGroup",
        born=("protocol", "port", "target_type", "family", "vpc", "health_", "tags"),
        fields=(
            FieldCall("elbv2.ModifyTargetGroup", ("health_",), optional=True),
            FieldCall("elbv2.ModifyTargetGroupAttributes", (FIELD,), optional=True),
        ),
        sets=(TAGS, SetCall("targets", "elbv2.RegisterTargets", "elbv2.DeregisterTargets", TARGETS_A_CALL)),
    ),
    NETWORK: KindCalls(
        "elbv2.CreateLoadBalancer",
        "elbv2.DeleteLoadBalancer",
        born=("scheme", "family", "subnets", "elastic", "private", "groups", "source_nat", "ipv6_addresses", "tags"),
        fields=(
            # Fixed IPv6 addresses can be given only in the call that makes the balancer a dualstack one.
            FieldCall(
                "elbv2.SetSubnets",
                ("subnets", "source_nat", "ipv6_addresses"),
                Phase.SWITCH,
                carries=frozenset({"family"}),
            ),
            FieldCall("elbv2.SetSecurityGroups", ("groups", "private_link"), Phase.SWITCH),
            FieldCall("elbv2.SetIpAddressType", ("family",), Phase.SWITCH),
            FieldCall("elbv2.ModifyLoadBalancerAttributes", (FIELD,), optional=True),
            FieldCall("elbv2.ModifyCapacityReservation", ("capacity",), optional=True),
        ),
        sets=(TAGS,),
        make_phase=Phase.SWITCH,
    ),
    LISTENER: KindCalls(
        "elbv2.CreateListener",
        "elbv2.DeleteListener",
        born=(*LISTENING, "tags"),
        fields=(
            FieldCall("elbv2.ModifyListener", LISTENING, Phase.SWITCH),
            FieldCall("elbv2.ModifyListenerAttributes", (FIELD,), optional=True),
        ),
        sets=(
            TAGS,
            # Only a TLS listener takes certificates, so they follow the call that may make it one.
            SetCall(
                "more_certificates",
                "elbv2.AddListenerCertificates",
                "elbv2.RemoveListenerCertificates",
                add_phase=Phase.TUNE,
            ),
        ),
        make_phase=Phase.SWITCH,
        remove_phase=Phase.CUT,
    ),
    CLASSIC: KindCalls(
        "elb.CreateLoadBalancer",
        "elb.DeleteLoadBalancer",
        born=("scheme", "subnets", "groups", "tags"),
        fields=(
            FieldCall("elb.ConfigureHealthCheck", ("health_",)),
            FieldCall("elb.ModifyLoadBalancerAttributes", (FIELD,), optional=True),
            FieldCall("elb.ApplySecurityGroupsToLoadBalancer", ("groups",), Phase.SWITCH),
        ),
        sets=(
            SetCall("tags", "elb.AddTags", "elb.RemoveTags", add_phase=Phase.OPEN),
            SetCall("subnets", "elb.AttachLoadBalancerToSubnets", "elb.DetachLoadBalancerFromSubnets"),
            SetCall("targets", "elb.RegisterInstancesWithLoadBalancer", "elb.DeregisterInstancesFromLoadBalancer"),
        ),
        make_phase=Phase.SWITCH,
    ),
    CLASSIC_LISTENER: KindCalls(
        "elb.CreateLoadBalancerListeners",
        "elb.DeleteLoadBalancerListeners",
        born=("protocol", "backend", "node_port", "certificate"),
        fields=(
            FieldCall("elb.SetLoadBalancerListenerSSLCertificate", ("certificate",), Phase.SWITCH),
            FieldCall("elb.SetLoadBalancerPoliciesOfListener", ("policy",), Phase.SWITCH),
        ),
        make_phase=Phase.SWITCH,
        remove_phase=Phase.CUT,
    ),
    CLASSIC_POLICY: KindCalls("elb.CreateLoadBalancerPolicy", "", born=("type", "value")),
    CLASSIC_BACKEND: KindCalls(
        "elb.SetLoadBalancerPoliciesForBackendServer",
        "elb.SetLoadBalancerPoliciesForBackendServer",
        born=("policies",),
        fields=(FieldCall("elb.SetLoadBalancerPoliciesForBackendServer", ("policies",), Phase.SWITCH),),
    ),
    RULE: KindCalls(
        "ec2.AuthorizeSecurityGroupIngress",
        "ec2.RevokeSecurityGroupIngress",
        make_phase=Phase.OPEN,
        remove_phase=Phase.CLOSE,
    ),
}
