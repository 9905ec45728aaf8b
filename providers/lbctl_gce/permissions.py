"""The least rights that the driver needs, as data, and the custom roles made from them. Pure.

One entry a permission: which kinds of balancers need it, and whether it is wanted in the network's project. Names are
those of the IAM reference of Compute Engine. `manifests/policies/gce-*.yaml` hold the roles of all kinds; the suite
grants these roles and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.model.objects import Service
from lbctl_gce.modes import FINALIZERS, Mode, choose_mode
from lbctl_gce.settings import GceSettings, default_modes, fills_groups, named_projects

READER = frozenset[Mode]()
"""Nobody's in particular: what a snapshot and `lbctl doctor` read, whatever there is."""
ALL = frozenset(Mode)
BALANCERS = frozenset(mode for mode in Mode if mode.has_balancer)
POOLS = frozenset({Mode.TARGET_POOL})
BACKENDS = BALANCERS - POOLS
INTERNAL = frozenset(mode for mode in Mode if mode.is_internal)
REGIONAL_CHECKS = BACKENDS - INTERNAL
GROUPS = frozenset(mode for mode in Mode if mode.uses_groups)
ENDPOINTS = frozenset(mode for mode in Mode if mode.uses_endpoints)
LIFE = "create delete get"
FILLING = frozenset(f"compute.instanceGroups.{verb}" for verb in ("create", "delete", "get", "update"))
"""What it takes to make instance groups and say who is in them, beyond linking them."""


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission, the kinds that need it, and whether it is one of the network's project."""

    name: str
    modes: frozenset[Mode] = READER
    network: bool = False


def _of(
    collection: str, verbs: str, modes: frozenset[Mode] = READER, *, network: bool = False
) -> tuple[Permission, ...]:
    return tuple(Permission(f"compute.{collection}.{verb}", modes, network) for verb in verbs.split())


PERMISSIONS: tuple[Permission, ...] = (
    *_of("forwardingRules", "list"),
    *_of("addresses", "list"),
    *_of("backendServices", "list"),
    *_of("regionBackendServices", "list"),
    *_of("healthChecks", "list"),
    *_of("regionHealthChecks", "list"),
    *_of("httpHealthChecks", "list"),
    *_of("targetPools", "list"),
    *_of("instanceGroups", "list"),
    *_of("networkEndpointGroups", "get list"),
    *_of("instances", "list"),
    *_of("projects", "get"),
    *_of("regions", "get"),
    *_of("forwardingRules", LIFE, BALANCERS),
    # Global access of internal balancers is all that is changed on a forwarding rule.
    *_of("forwardingRules", "update", INTERNAL),
    *_of("addresses", f"{LIFE} use", BALANCERS - INTERNAL),
    *_of("addresses", "createInternal deleteInternal get useInternal", INTERNAL),
    *_of("targetPools", f"{LIFE} addHealthCheck addInstance removeHealthCheck removeInstance use", POOLS),
    *_of("httpHealthChecks", f"{LIFE} update useReadOnly", POOLS),
    *_of("regionBackendServices", f"{LIFE} update use", BACKENDS),
    *_of("healthChecks", f"{LIFE} update useReadOnly", INTERNAL),
    *_of("regionHealthChecks", f"{LIFE} update useReadOnly", REGIONAL_CHECKS),
    *_of("instanceGroups", f"{LIFE} update use", GROUPS),
    *_of("networkEndpointGroups", "attachNetworkEndpoints create delete detachNetworkEndpoints use", ENDPOINTS),
    *_of("instances", "use", ALL),
    *_of("publicDelegatedPrefixes", "use", REGIONAL_CHECKS),
    *_of("globalOperations", "get list", ALL),
    *_of("regionOperations", "get", BALANCERS),
    *_of("zoneOperations", "get", GROUPS | ENDPOINTS),
    *_of("projects", "get", network=True),
    *_of("firewalls", "list", network=True),
    *_of("subnetworks", "list", network=True),
    *_of("firewalls", f"{LIFE} update", BALANCERS, network=True),
    *_of("networks", "updatePolicy", BALANCERS, network=True),
    *_of("networks", "use", INTERNAL | ENDPOINTS, network=True),
    *_of("subnetworks", "use", INTERNAL | ENDPOINTS, network=True),
    *_of("subnetworks", "useExternalIp", REGIONAL_CHECKS, network=True),
    *_of("globalOperations", "get list", BALANCERS, network=True),
)


def build_roles(settings: GceSettings, services: Iterable[Service] | None) -> Mapping[str, Any]:
    """The custom role in the form that `gcloud iam roles create --file` takes; two by project in a shared network.

    Without Services (None) it covers every kind of balancer, else the kinds that these Services get or had.
    """
    modes = ALL if services is None else _modes(settings, services)
    project, network_project = named_projects(settings)
    mine = names(modes, network=False, fills_groups=fills_groups(settings))
    if network_project in ("", project):
        return role("lbctl", [*mine, *names(modes, network=True)])
    return {
        f"project {project}": role("lbctl", mine),
        f"project {network_project}": role("lbctl in the network's project", names(modes, network=True)),
    }


def role(title: str, permissions: Iterable[str]) -> dict[str, Any]:
    """A custom role."""
    return {
        "title": title,
        "description": "Load balancers of Kubernetes Services, kept by lbctl",
        "stage": "GA",
        "includedPermissions": sorted(set(permissions)),
    }


def names(modes: frozenset[Mode], *, network: bool, fills_groups: bool = True) -> list[str]:
    """Permissions for these kinds, in the cluster's project or in the network's."""
    wanted = (p for p in PERMISSIONS if p.network is network and (not p.modes or not p.modes.isdisjoint(modes)))
    return sorted({permission.name for permission in wanted} - (frozenset() if fills_groups else FILLING))


def _modes(settings: GceSettings, services: Iterable[Service]) -> frozenset[Mode]:
    defaults = default_modes(settings)
    balanced = [service for service in services if service.spec.type == "LoadBalancer"]
    chosen = {choose_mode(service, defaults=defaults).mode for service in balanced}
    had = {mode for mode, mark in FINALIZERS.items() for service in balanced if mark in service.metadata.finalizers}
    return frozenset(chosen | had)
