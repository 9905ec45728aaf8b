"""Kinds of resources and scopes, their keys, and the method and path by which each is written. Pure.

One table says for every kind in which collection it lives and how its URL names it; model, reads and writes share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lbctl.model.resource import Identity, Key, Ref, Scope

RULE = "forwarding-rule"
BACKEND = "backend-service"
CHECK = "health-check"
HTTP_CHECK = "http-health-check"
FIREWALL = "firewall"
ADDRESS = "address"
GROUP = "instance-group"
MEMBERS = "group-members"
POOL = "target-pool"
POOL_MEMBERS = "pool-members"
ENDPOINT_GROUP = "endpoint-group"
ENDPOINTS = "endpoints"

BALANCER = "balancer"
CLUSTER = Scope("cluster", "shared")


@dataclass(frozen=True, slots=True)
class Home:
    """Where objects of a kind live: the API's collection, its parameter for the name, and the part of the path."""

    collection: str
    parameter: str
    segment: str


HOMES: Mapping[str, Home] = {
    RULE: Home("forwardingRules", "forwarding_rule", "forwardingRules"),
    BACKEND: Home("regionBackendServices", "backend_service", "backendServices"),
    HTTP_CHECK: Home("httpHealthChecks", "http_health_check", "httpHealthChecks"),
    FIREWALL: Home("firewalls", "firewall", "firewalls"),
    ADDRESS: Home("addresses", "address", "addresses"),
    POOL: Home("targetPools", "target_pool", "targetPools"),
    POOL_MEMBERS: Home("targetPools", "target_pool", "targetPools"),
    GROUP: Home("instanceGroups", "instance_group", "instanceGroups"),
    MEMBERS: Home("instanceGroups", "instance_group", "instanceGroups"),
    ENDPOINT_GROUP: Home("networkEndpointGroups", "network_endpoint_group", "networkEndpointGroups"),
    ENDPOINTS: Home("networkEndpointGroups", "network_endpoint_group", "networkEndpointGroups"),
}
CHECK_HOMES: Mapping[str, Home] = {
    "region": Home("regionHealthChecks", "health_check", "healthChecks"),
    "global": Home("healthChecks", "health_check", "healthChecks"),
}
FIRST = "first"
"""Output of a firewall rule that wins against rules which deny."""
ZONAL = frozenset({GROUP, MEMBERS, ENDPOINT_GROUP, ENDPOINTS})
"""Kinds whose key is `ZONE/NAME`."""


def home_of(key: Key) -> Home:
    """Collection and parameter of a resource; a health check's depends on its place."""
    return CHECK_HOMES[key.id.partition("/")[0]] if key.kind == CHECK else HOMES[key.kind]


def path_of(key: Key) -> dict[str, str]:
    """The parameters of the URL that name a resource, beyond project and region."""
    place, _, name = key.id.rpartition("/")
    zone = {"zone": place} if key.kind in ZONAL else {}
    return {**zone, home_of(key).parameter: name}


def link_of(key: Key, region: str) -> str:
    """Path of a resource within its project."""
    place, _, name = key.id.rpartition("/")
    segment = home_of(key).segment
    if key.kind in ZONAL:
        return f"zones/{place}/{segment}/{name}"
    is_global = key.kind in (HTTP_CHECK, FIREWALL) or place == "global"
    return f"global/{segment}/{name}" if is_global else f"regions/{region}/{segment}/{name}"


def balancer_scope(identity: Identity) -> Scope:
    """The scope of one Service; its name is in the descriptions of the Service's objects."""
    return Scope(BALANCER, identity.key)


def shared_ref(key: Key) -> Ref:
    """The path of a shared resource, once it exists."""
    return Ref(key, "path", CLUSTER)
