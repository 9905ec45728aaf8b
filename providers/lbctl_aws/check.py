"""Findings for `lbctl doctor`: who we are, what we may do, where we are, and how much room the account has.

Every part stands alone: what one cannot read, it says, and the next goes on. Only reads, and dry runs of EC2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lbctl.driver import Finding, Level, Look, look_at_all
from lbctl.errors import MissingFact
from lbctl_aws import names
from lbctl_aws.annotations import CCM, LBC
from lbctl_aws.check_rights import rights
from lbctl_aws.client import AwsClient
from lbctl_aws.facts import FactReader
from lbctl_aws.firewall import read_permissions
from lbctl_aws.network import INTERNAL, PUBLIC, Network, Subnet, Wanted, ccm_subnets, lbc_subnets
from lbctl_aws.settings import AwsSettings

NEARLY_FULL = 0.8
# How the SDK calls the place that credentials came from, in the words of its documentation.
SOURCES = {
    "env": "the environment",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the configuration file",
    "assume-role": "a role that is assumed",
    "assume-role-with-web-identity": "the service account's role (IRSA)",
    "container-role": "the pod's identity (EKS Pod Identity or ECS)",
    "iam-role": "the instance profile of the node",
    "custom-process": "a credential process",
    "sso": "IAM Identity Center",
}
KEYS_THAT_STAY = frozenset({"env", "shared-credentials-file", "config-file"})


def findings(client: AwsClient, facts: FactReader, settings: AwsSettings, cluster: str) -> Iterator[Finding]:
    """One finding for each thing looked at; some twenty calls, and a page more for each 400 balancers."""
    looks: tuple[tuple[str, Look], ...] = (
        ("identity", lambda: _identity(client)),
        ("permissions", lambda: rights(client, cluster)),
        ("network", lambda: _network(facts.network(), cluster)),
        ("security groups", lambda: _groups(client, facts.network(), settings, cluster)),
        ("quotas", lambda: _quotas(client)),
    )
    return look_at_all(looks)


def _identity(client: AwsClient) -> Iterator[Finding]:
    identity = client.call("sts", "GetCallerIdentity", {}) or {}
    credentials = client.credentials()
    source = SOURCES.get(credentials.method, credentials.method)
    lasts = f"until {credentials.until:%Y-%m-%d %H:%M} UTC, then renewed" if credentials.until else "without end"
    hint = ""
    if credentials.method in KEYS_THAT_STAY and not credentials.until:
        hint = "give the pod a role (IRSA, or EKS Pod Identity), so that there is no key to leak"
    yield Finding(Level.OK, "identity", f"{identity.get('Arn')} in {client.region}, from {source}, {lasts}", hint)


def _network(network: Network, cluster: str) -> Iterator[Finding]:
    yield Finding(Level.OK, "network", f"{network.vpc_id} with {len(network.subnets)} subnets")
    for modes, choose in ((CCM, ccm_subnets), (LBC, lbc_subnets)):
        for scheme in (PUBLIC, INTERNAL):
            wanted = Wanted(scheme, cluster)
            subject = f"{scheme} subnets for {', '.join(modes)}"
            try:
                yield _subnets(subject, choose(network, wanted), wanted)
            except MissingFact as error:
                yield Finding(Level.WARNING, subject, error.message, error.hint)


def _subnets(subject: str, chosen: tuple[Subnet, ...], wanted: Wanted) -> Finding:
    listed = ", ".join(f"{subnet.id} ({subnet.zone})" for subnet in chosen)
    untagged = [subnet.id for subnet in chosen if wanted.role not in subnet.tags]
    if not untagged:
        return Finding(Level.OK, subject, listed)
    return Finding(
        Level.WARNING,
        subject,
        f"{listed}; chosen without the tag {wanted.role}: {', '.join(untagged)}",
        f"tag the subnets that are meant with {wanted.role}=1",
    )


def _groups(client: AwsClient, network: Network, settings: AwsSettings, cluster: str) -> Iterator[Finding]:
    """The groups that nodes' rules go to are told by the cluster's tag, and hold a limited number of rules."""
    tag = names.CCM_CLUSTER_PREFIX + cluster
    filters = [{"Name": "vpc-id", "Values": [network.vpc_id]}, {"Name": "tag-key", "Values": [tag]}]
    tagged = list(client.pages("ec2", "DescribeSecurityGroups", {"Filters": filters}, items="SecurityGroups"))
    if not tagged and not settings.disable_security_group_ingress:
        yield Finding(
            Level.WARNING,
            "security groups",
            f"no group of {network.vpc_id} has the tag {tag}",
            "tag the nodes' group, so that nodes with several groups get their rules on the right one",
        )
    limit = settings.rules_per_security_group
    for group in tagged:
        used = sum(1 for _ in read_permissions(group.get("IpPermissions", ())))
        subject = f"rules of {group['GroupId']} ({group['GroupName']})"
        yield _used(subject, used, limit, "use a group with fewer rules, or raise the quota and the setting")


def _quotas(client: AwsClient) -> Iterator[Finding]:
    """What the account has of each thing that is limited, in this region."""
    counted: dict[str, tuple[str, str, str]] = {
        "classic-load-balancers": ("elb", "DescribeLoadBalancers", "LoadBalancerDescriptions"),
        "network-load-balancers": ("elbv2", "DescribeLoadBalancers", "LoadBalancers"),
        "target-groups": ("elbv2", "DescribeTargetGroups", "TargetGroups"),
    }
    limits = _limits(client.call("elb", "DescribeAccountLimits", {}))
    limits.update(_limits(client.call("elbv2", "DescribeAccountLimits", {})))
    for name, (service, operation, items) in counted.items():
        found = client.pages(service, operation, {"PageSize": 400}, items=items)
        used = sum(1 for one in found if one.get("Type", "network") == "network" or name == "target-groups")
        subject = name.replace("-", " ")
        if name in limits:
            yield _used(subject, used, limits[name], "raise the quota in Service Quotas")
        else:
            yield Finding(Level.WARNING, subject, f"{used} used, the limit is not told", "see Service Quotas")


def _limits(reply: dict[str, Any] | None) -> dict[str, int]:
    return {limit["Name"]: int(limit["Max"]) for limit in (reply or {}).get("Limits", ())}


def _used(subject: str, used: int, limit: int, hint: str) -> Finding:
    text = f"{used} of {limit} used"
    if used >= limit:
        return Finding(Level.FAILED, subject, text, hint)
    return (
        Finding(Level.WARNING, subject, text, hint) if used >= NEARLY_FULL * limit else Finding(Level.OK, subject, text)
    )
