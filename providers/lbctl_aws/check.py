"""Findings for `lbctl doctor`: who we are, where we are, and whether the network can take balancers."""

from __future__ import annotations

from collections.abc import Iterator

from lbctl.driver import Finding, Level
from lbctl.errors import LbctlError, MissingFact
from lbctl_aws.client import AwsClient
from lbctl_aws.facts import FactReader
from lbctl_aws.network import INTERNAL, PUBLIC, Wanted, ccm_subnets
from lbctl_aws.settings import AwsSettings


def findings(client: AwsClient, facts: FactReader, settings: AwsSettings) -> Iterator[Finding]:
    """One finding for each thing looked at; five reads."""
    try:
        identity = client.call("sts", "GetCallerIdentity", {}) or {}
        yield Finding(Level.OK, "identity", f"{identity.get('Arn')} in {client.region}")
        yield from _network(facts, settings)
    except LbctlError as error:
        yield Finding(Level.FAILED, "AWS", error.message, error.hint)


def _network(facts: FactReader, settings: AwsSettings) -> Iterator[Finding]:
    network = facts.network()
    yield Finding(Level.OK, "network", f"{network.vpc_id} with {len(network.subnets)} subnets")
    for scheme in (PUBLIC, INTERNAL):
        try:
            chosen = ccm_subnets(network, Wanted(scheme, settings.cluster_id))
        except MissingFact as error:
            yield Finding(Level.WARNING, f"{scheme} subnets", error.message, error.hint)
            continue
        listed = ", ".join(f"{subnet.id} ({subnet.zone})" for subnet in chosen)
        yield Finding(Level.OK, f"{scheme} subnets", listed)
