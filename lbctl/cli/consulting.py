"""Sends the doctor: connects what `lbctl doctor` looks at, one account after the other."""

from __future__ import annotations

import random

import msgspec

from lbctl.cli.desk import connect
from lbctl.cli.progress import progress
from lbctl.clock import SystemClock
from lbctl.driver import Cluster, Driver, Finding
from lbctl.engine.assembly import claim_rules, connect_accounts, read_policy
from lbctl.engine.doctor import Doctor
from lbctl.errors import InvalidSettings, KubeDenied
from lbctl.kube.reads import Cluster as ClusterReads
from lbctl.obs.log import set_up
from lbctl.registry import find_provider
from lbctl.settings import Settings


def consult(settings: Settings) -> list[Finding]:
    """Every finding; `InvalidSettings` when there is no account, `KubeUnreachable` when no API server answers."""
    set_up(form=settings.obs.log_format, verbosity=settings.obs.verbosity)
    if not settings.accounts:
        hint = "give --provider NAME, or accounts in the settings file; `lbctl providers` lists the names"
        raise InvalidSettings("no account is configured", hint=hint)
    clock = SystemClock()
    infos = {name: find_provider(account.provider) for name, account in settings.accounts.items()}
    read_policy(settings)
    claim_rules(settings, infos)
    rest = connect(settings)
    reads = ClusterReads(rest)

    def connect_one(name: str) -> Driver:
        alone = _with_one_account(settings, name)
        cluster = Cluster(settings.cluster.name, settings.cluster.id or _cluster_uid(reads))
        source = random.Random()  # noqa: S311 - spreads retries, guards nothing
        return connect_accounts(alone, cluster=cluster, rest=rest, clock=clock, source=source)[name].driver

    with progress("looking at cluster and clouds"):
        return list(Doctor(settings, reads, clock, infos, connect_one).findings())


def _with_one_account(settings: Settings, name: str) -> Settings:
    return msgspec.structs.replace(settings, accounts={name: settings.accounts[name]})


def _cluster_uid(reads: ClusterReads) -> str:
    """Empty when we may not read it, which the rights have told already."""
    try:
        return reads.get_cluster_uid()
    except KubeDenied:
        return ""
