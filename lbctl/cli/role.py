"""Which role `lbctl permissions` prints: of which driver, with which settings, for which Services."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lbctl.cli.desk import connect, find_service
from lbctl.driver import CLUSTER_PLACEHOLDER, DriverInfo
from lbctl.engine.assembly import claim_rules
from lbctl.engine.claim import Standing, claim
from lbctl.errors import InvalidSettings
from lbctl.kube.manifests import InvalidFiles, read_services
from lbctl.kube.reads import Cluster
from lbctl.model.applied import as_created
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.registry import find_provider
from lbctl.settings import ClusterSettings, Settings, decode


@dataclass(frozen=True, slots=True)
class Role:
    """A role, and the Services that it is for: None for everything that the driver can do."""

    provider: str
    rights: Mapping[str, Any]
    services: list[str] | None


def role_of(settings: Settings, *, names: Sequence[str], files: Sequence[str]) -> Role:
    """The role of the one account of the settings; one GET a named Service.

    `InvalidSettings` when there is none or several, `UsageError` for a Service that another account or nobody serves.
    """
    if len(settings.accounts) != 1:
        found = ", ".join(settings.accounts) or "none"
        is_chosen = len({account.provider for account in settings.accounts.values()}) == 1
        hint = "give --config FILE with one of them alone" if is_chosen else "give --provider NAME"
        raise InvalidSettings(f"one account is needed, and there is: {found}", hint=hint)
    ((name, account),) = settings.accounts.items()
    info = find_provider(account.provider)
    decoded = decode(account.settings, info.settings, where=f"accounts.{name}.settings")
    cluster = settings.cluster.name
    if not (names or files):
        return Role(info.name, _of_cluster_named(cluster, info.permissions(decoded, None)), None)
    chosen = [*_of_files(files), *_of_cluster(settings, names)]
    served = _served(settings, {name: info}, chosen)
    rights = _of_cluster_named(cluster, info.permissions(decoded, served))
    return Role(info.name, rights, sorted(service.key for service in served))


def _of_cluster_named(name: str, rights: Mapping[str, Any]) -> Mapping[str, Any]:
    """The role of this cluster; the placeholder stays where nobody has given the cluster a name."""
    if name == ClusterSettings().name:
        return rights
    named: dict[str, Any] = json.loads(json.dumps(rights).replace(CLUSTER_PLACEHOLDER, json.dumps(name)[1:-1]))
    return named


def _served(settings: Settings, infos: dict[str, DriverInfo], services: Sequence[Service]) -> list[Service]:
    """The Services that the account serves; what is of another controller needs nothing of its role."""
    rules = claim_rules(settings, infos)
    return [service for service in services if claim(service, rules).standing is Standing.WANTED]


def _of_files(files: Sequence[str]) -> Iterator[Service]:
    read = [document.service() for document in read_services(files)] if files else []
    problems = [one for one in read if isinstance(one, Problem)]
    if problems:
        raise InvalidFiles(problems)
    return (as_created(one) for one in read if not isinstance(one, Problem))


def _of_cluster(settings: Settings, names: Sequence[str]) -> list[Service]:
    if not names:
        return []
    reads = Cluster(connect(settings))
    return [find_service(reads, key) for key in names]
