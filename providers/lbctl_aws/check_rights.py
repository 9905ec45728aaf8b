"""Whether the identity in use may make every call of the driver: one finding for each permission.

`iam:SimulatePrincipalPolicy` answers for all of them where it is allowed. Where it is not, EC2's dry runs and the reads
themselves answer for some, and the rest is said to be unknown. Nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lbctl.driver import Finding, Level
from lbctl.errors import CloudError, PermissionDenied
from lbctl_aws.client import AwsClient
from lbctl_aws.names import CCM_CLUSTER_PREFIX, LBC_CLUSTER, OWNED
from lbctl_aws.permissions import ALL_MODES, EC2, ELB, PERMISSIONS, Permission
from lbctl_aws.replies import batches

ACTIONS_A_CALL = 50
ASSUMED = re.compile(r"arn:(?P<partition>[\w-]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.*")
SIMULATE = "iam:SimulatePrincipalPolicy"


def rights(client: AwsClient, cluster: str) -> Iterator[Finding]:
    """Each permission of every mode, allowed or denied; then one finding with those that nobody could tell."""
    told = _simulated(client, cluster)
    if told is None:
        told = dict(_tried(client))
    for permission in PERMISSIONS:
        if permission.action in told:
            yield _finding(permission, allowed=told[permission.action])
    unknown = [permission.action for permission in PERMISSIONS if permission.action not in told]
    if unknown:
        yield Finding(
            Level.WARNING,
            "permissions",
            f"whether the other {len(unknown)} actions that `lbctl permissions` prints are allowed is not known",
            f"allow {SIMULATE} to have them looked at too",
        )


def _finding(permission: Permission, *, allowed: bool) -> Finding:
    if allowed:
        return Finding(Level.OK, permission.action, "allowed")
    is_needed = permission.modes == ALL_MODES
    who = "every mode needs" if is_needed else f"{' and '.join(permission.modes)} need"
    return Finding(
        Level.FAILED if is_needed else Level.WARNING,
        permission.action,
        f"denied, and {who} it",
        f"allow {permission.action}; `lbctl permissions` prints the whole policy",
    )


def _simulated(client: AwsClient, cluster: str) -> Mapping[str, bool] | None:
    """What IAM says of each action; None where it may not be asked, or knows no policy of this identity."""
    identity = client.call("sts", "GetCallerIdentity", {}) or {}
    request = {"PolicySourceArn": _principal(identity.get("Arn", "")), "ContextEntries": _context(cluster)}
    told: dict[str, bool] = {}
    for actions in batches([permission.action for permission in PERMISSIONS], ACTIONS_A_CALL):
        try:
            told.update(_ask(client, {**request, "ActionNames": actions}))
        except CloudError:
            # The root user has no policies, a role in a path cannot be told from its session, the call may be denied.
            return None
    return told


def _principal(arn: str) -> str:
    """The user or role whose policies count: a session's ARN is not one that IAM takes."""
    session = ASSUMED.fullmatch(arn)
    return f"arn:{session['partition']}:iam::{session['account']}:role/{session['role']}" if session else arn


def _context(cluster: str) -> list[dict[str, Any]]:
    """The cluster's tags, as if on every object: the policies that we print are conditioned on them."""
    tags = {CCM_CLUSTER_PREFIX + cluster: OWNED, LBC_CLUSTER: cluster}
    return [
        {"ContextKeyName": f"aws:{where}/{key}", "ContextKeyValues": [value], "ContextKeyType": "string"}
        for where in ("RequestTag", "ResourceTag")
        for key, value in tags.items()
    ]


def _ask(client: AwsClient, request: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    while True:
        reply = client.call("iam", "SimulatePrincipalPolicy", request) or {}
        for result in reply.get("EvaluationResults", ()):
            yield result["EvalActionName"], result["EvalDecision"] == "allowed"
        if not reply.get("IsTruncated"):
            return
        request = {**request, "Marker": reply["Marker"]}


def _tried(client: AwsClient) -> Iterator[tuple[str, bool]]:
    """What dry runs of EC2 and reads of the balancers show."""
    for operation in _operations(EC2, "Describe"):
        yield from _try(client, "ec2", operation, {"DryRun": True})
    name = {"GroupName": "lbctl-dry-run", "Description": "never made", "DryRun": True}
    yield from _try(client, "ec2", "CreateSecurityGroup", name)
    for operation in ("DescribeLoadBalancers", "DescribeTargetGroups"):
        yield from _try(client, "elbv2", operation, {"PageSize": 1})


def _operations(service: str, start: str) -> Iterable[str]:
    prefix = f"{service}:{start}"
    return [one.action.partition(":")[2] for one in PERMISSIONS if one.action.startswith(prefix)]


def _try(client: AwsClient, service: str, operation: str, request: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    action = f"{EC2 if service == 'ec2' else ELB}:{operation}"
    try:
        client.call(service, operation, request, ignore=("DryRunOperation",))
    except PermissionDenied:
        yield action, False
    except CloudError:
        return
    else:
        yield action, True
