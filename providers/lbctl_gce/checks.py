"""Health checks and the firewall rules that let them in: numbers and shared objects of each mode. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from lbctl.model.resource import Identity, Key, Resource
from lbctl_gce import names, ports
from lbctl_gce.kinds import CHECK, FIREWALL, FIRST, HTTP_CHECK
from lbctl_gce.modes import Mode
from lbctl_gce.place import Place
from lbctl_gce.shapes import CHECK_PATH

KUBE_PROXY_PORT = 10256
DENY, BEFORE_DENY = 1000, 999
"""Priorities of rules; of two rules with the same priority the one that denies wins."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Times in seconds and thresholds of a check (cloud-provider-gcp and ingress-gce, pkg/healthchecksl4)."""

    interval: int = 8
    timeout: int = 1
    healthy: int = 1
    unhealthy: int = 3


SHARED = Numbers()
L4_LOCAL = Numbers(interval=3, unhealthy=2)


@dataclass(frozen=True, slots=True)
class SharedCheck:
    """The health check that all Services of a mode with traffic policy Cluster use, and its firewall rule."""

    key: Key
    firewall: str
    description: str
    firewall_description: str


def check_key(mode: Mode, name: str) -> Key:
    """Key of a check of this mode: legacy for target pools, global for internal balancers, else of the region."""
    if mode is Mode.TARGET_POOL:
        return Key(HTTP_CHECK, name)
    return Key(CHECK, f"{'global' if mode.is_internal else 'region'}/{name}")


def shared_check(mode: Mode, place: Place) -> SharedCheck:
    """The shared check of a mode."""
    legacy = place.legacy
    if mode is Mode.TARGET_POOL:
        text = names.legacy_description(legacy.shared_check)
        about = names.legacy_cluster_description(legacy.cluster)
        return SharedCheck(check_key(mode, legacy.shared_check), legacy.shared_pool_firewall, text, about)
    if mode is Mode.INTERNAL_GROUPS:
        return SharedCheck(check_key(mode, legacy.shared_check), legacy.shared_internal_firewall, "", "")
    sentence = names.shared_sentence("ILB" if mode.is_internal else "XLB")
    return SharedCheck(
        check_key(mode, place.l4.shared_check),
        place.l4.shared_check_firewall(),
        names.l4_description(shared=sentence),
        names.l4_description(shared=names.shared_sentence("")),
    )


def shared_firewall(mode: Mode, place: Place, family: str) -> str:
    """Name of the rule that lets shared checks in."""
    return place.l4.shared_check_firewall("IPv6") if family == "IPv6" else shared_check(mode, place).firewall


def check_resource(
    key: Key, *, port: int, numbers: Numbers, description: str, needs: frozenset[Key], owners: frozenset[Identity]
) -> Resource:
    """A check of the kubelet's or kube-proxy's health page."""
    fields: Mapping[str, Hashable] = {
        "port": port,
        "path": CHECK_PATH,
        "interval": numbers.interval,
        "timeout": numbers.timeout,
        "healthy": numbers.healthy,
        "unhealthy": numbers.unhealthy,
        "description": description,
    }
    return Resource(key, key.id.rpartition("/")[2], fields, owners, needs)


def check_firewall(
    name: str,
    *,
    port: int,
    sources: frozenset[str],
    tags: frozenset[str] | None,
    description: str,
    place: Place,
    priority: int,
    owners: frozenset[Identity] = frozenset(),
) -> Resource:
    """Lets health checks in; without destinations, because they come for the node's own address."""
    fields: Mapping[str, Hashable] = {
        "sources": sources,
        "destinations": frozenset(),
        "tags": tags,
        "allowed": ports.entries({"tcp": [port]}),
        "denied": frozenset(),
        "priority": priority,
        "network": place.config.network,
        "description": description,
    }
    return Resource(Key(FIREWALL, name), name, fields, owners)


def priority_of(place: Place) -> int:
    """Priority of rules that let something in; 1000 as upstream has it, unless a rule denies what they do not name."""
    return BEFORE_DENY if place.config.settings.deny_firewalls else DENY


def first(kind: str, fields: Mapping[str, Hashable]) -> dict[str, str]:
    """Says of a firewall rule that it wins against rules which deny."""
    return {FIRST: "yes"} if kind == FIREWALL and str(fields["priority"]) == str(BEFORE_DENY) else {}


def check_sources(place: Place, family: str, *, internal: bool) -> frozenset[str]:
    """Where checks come from."""
    settings = place.config.settings
    if family == "IPv4":
        return frozenset(settings.check_ranges_v4)
    return frozenset(settings.internal_check_ranges_v6 if internal else settings.external_check_ranges_v6)
