"""The calls that the driver makes, as data, and the application credential that allows no other. Pure.

OpenStack limits a credential by the paths that it may ask (Keystone's access rules) below the roles of its user: roles
are the operator's and differ between clouds, paths are the same everywhere. The rules of everything are kept in
`manifests/policies/openstack-access-rules.json`, and the driver's suite logs in with them. Source: Keystone's API,
application credentials.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.model.objects import Service
from lbctl_openstack.annotations import INTERNAL, KEEP_FLOATING, PREFIX
from lbctl_openstack.cloudconf import Balancing
from lbctl_openstack.settings import OpenStackSettings, load

BALANCING, NETWORK, SECRETS = "load-balancer", "network", "key-manager"
ROLES = ("member",)
TLS_REF = PREFIX + "default-tls-container-ref"
# What a cluster may do without: each is a reason for which a rule is needed.
FLOATING, KEEPING, GROUPS, SERIAL, TLS = "floating IPs", "kept floating IPs", "node groups", "serial calls", "Barbican"
EVERYTHING = frozenset({FLOATING, KEEPING, GROUPS, SERIAL, TLS})


@dataclass(frozen=True, slots=True)
class Permission:
    """One call: `path` has `*` for one part of it; `feature` is what a cluster must use to need it, or empty."""

    service: str
    method: str
    path: str
    feature: str = ""


def _all(service: str, path: str, methods: str, feature: str = "") -> Iterator[Permission]:
    yield from (Permission(service, method, path, feature) for method in methods.split())


PERMISSIONS: tuple[Permission, ...] = (
    *_all(BALANCING, "/v2.0/lbaas/loadbalancers", "GET POST"),
    *_all(BALANCING, "/v2.0/lbaas/loadbalancers/*", "GET PUT DELETE"),
    *_all(BALANCING, "/v2.0/lbaas/loadbalancers/*/status", "GET"),
    *_all(BALANCING, "/v2.0/lbaas/listeners", "GET POST"),
    *_all(BALANCING, "/v2.0/lbaas/listeners/*", "GET PUT DELETE"),
    *_all(BALANCING, "/v2.0/lbaas/pools", "GET POST"),
    *_all(BALANCING, "/v2.0/lbaas/pools/*", "PUT DELETE"),
    *_all(BALANCING, "/v2.0/lbaas/pools/*/members", "GET PUT"),
    *_all(BALANCING, "/v2.0/lbaas/pools/*/members", "POST", SERIAL),
    *_all(BALANCING, "/v2.0/lbaas/pools/*/members/*", "DELETE", SERIAL),
    *_all(BALANCING, "/v2.0/lbaas/healthmonitors", "GET POST"),
    *_all(BALANCING, "/v2.0/lbaas/healthmonitors/*", "PUT DELETE"),
    *_all(BALANCING, "/v2.0/lbaas/quotas/*", "GET"),
    *_all(NETWORK, "/v2.0/floatingips", "GET"),
    *_all(NETWORK, "/v2.0/floatingips", "POST", FLOATING),
    *_all(NETWORK, "/v2.0/floatingips/*", "PUT DELETE"),
    *_all(NETWORK, "/v2.0/floatingips/*/tags", "PUT", KEEPING),
    *_all(NETWORK, "/v2.0/networks", "GET"),
    *_all(NETWORK, "/v2.0/networks/*", "GET"),
    *_all(NETWORK, "/v2.0/subnets", "GET"),
    *_all(NETWORK, "/v2.0/subnets/*", "GET"),
    *_all(NETWORK, "/v2.0/ports", "GET"),
    *_all(NETWORK, "/v2.0/ports/*", "GET"),
    *_all(NETWORK, "/v2.0/ports/*", "PUT", GROUPS),
    *_all(NETWORK, "/v2.0/security-groups", "GET"),
    *_all(NETWORK, "/v2.0/security-groups", "POST", GROUPS),
    *_all(NETWORK, "/v2.0/security-groups/*", "DELETE", GROUPS),
    *_all(NETWORK, "/v2.0/security-group-rules", "POST", GROUPS),
    *_all(NETWORK, "/v2.0/security-group-rules/*", "DELETE", GROUPS),
    *_all(NETWORK, "/v2.0/quotas/*/details.json", "GET"),
    *_all(SECRETS, "/v1/containers/*", "GET", TLS),
    *_all(SECRETS, "/v1/secrets/*", "GET", TLS),
)


def needed_credential(settings: OpenStackSettings, services: Iterable[Service] | None) -> Mapping[str, Any]:
    """Roles and access rules of the smallest application credential, for these Services or, with None, for all.

    `access_rules` is what `openstack application credential create --access-rules` takes. Octavia before its release 19
    wants the role `load-balancer_member` beside `member`.
    """
    features = EVERYTHING if services is None else frozenset(_features(load(settings).balancing, services))
    return {"roles": list(ROLES), "access_rules": access_rules(features)}


def access_rules(features: frozenset[str]) -> list[dict[str, str]]:
    """Keystone's access rules for these features, in a stable order."""
    needed = [one for one in PERMISSIONS if not one.feature or one.feature in features]
    return [{"service": one.service, "method": one.method, "path": one.path} for one in needed]


def _features(balancing: Balancing, services: Iterable[Service]) -> Iterator[str]:
    balanced = [service for service in services if service.spec.type == "LoadBalancer"]
    annotations = [service.metadata.annotations for service in balanced]
    if not balancing.internal_lb and any(given.get(INTERNAL) != "true" for given in annotations):
        yield FLOATING
    if any(given.get(KEEP_FLOATING) == "true" for given in annotations):
        yield KEEPING
    if balancing.manage_security_groups:
        yield GROUPS
    if balancing.provider_requires_serial_api_calls:
        yield SERIAL
    if balancing.container_store == "barbican" and _ends_tls(balancing, annotations):
        yield TLS


def _ends_tls(balancing: Balancing, annotations: Iterable[Mapping[str, str]]) -> bool:
    return any(given.get(TLS_REF, balancing.default_tls_container_ref) for given in annotations)
