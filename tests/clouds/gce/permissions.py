"""Who may do what: the permissions that each request needs, as the reference of each method states them.

The controller has the roles that ship in `manifests/policies`, so a call that they do not cover fails the test which
makes it. What a request refers to needs a right of its own, in the project of what is referred to.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.clouds.gce.store import Body, Store, path_of

POLICIES = Path(__file__).parents[3] / "manifests" / "policies"
VERBS = {
    "insert": "create",
    "patch": "update",
    "aggregatedList": "list",
    "listInstances": "list",
    "listNetworkEndpoints": "get",
    "addInstances": "update",
    "removeInstances": "update",
    "wait": "get",
    "getHealth": "get",
}
USES = {
    "regions/backendServices": "regionBackendServices.use",
    "regions/targetPools": "targetPools.use",
    "regions/healthChecks": "regionHealthChecks.useReadOnly",
    "regions/publicDelegatedPrefixes": "publicDelegatedPrefixes.use",
    "regions/subnetworks": "subnetworks.use",
    "global/healthChecks": "healthChecks.useReadOnly",
    "global/httpHealthChecks": "httpHealthChecks.useReadOnly",
    "global/networks": "networks.use",
    "zones/instanceGroups": "instanceGroups.use",
    "zones/networkEndpointGroups": "networkEndpointGroups.use",
    "zones/instances": "instances.use",
}
Need = tuple[str, str]


@functools.cache
def shipped(name: str) -> frozenset[str]:
    """Permissions of a role file."""
    return frozenset(yaml.safe_load((POLICIES / name).read_text())["includedPermissions"])


def granted(project: str, network_project: str) -> dict[str, set[str]]:
    """What the controller may do in each project."""
    mine, networks = shipped("gce-role.yaml"), shipped("gce-network-role.yaml")
    if project == network_project:
        return {project: {*mine, *networks}}
    return {project: set(mine), network_project: set(networks)}


def needs(method: str, project: str, target: str, body: Body, store: Store) -> Iterator[Need]:
    """Pairs of project and permission that a request needs."""
    collection, verb = method.split(".")
    own = f"compute.{collection}.{VERBS.get(verb, verb)}"
    if collection == "addresses" and _is_internal(target, body, store) and verb in ("insert", "delete"):
        own += "Internal"
    yield project, own
    if verb == "getHealth":
        return
    if collection == "firewalls" and verb in ("insert", "patch", "delete"):
        yield project, "compute.networks.updatePolicy"
        return
    for link in _links(body):
        yield _use(path_of(link, base=f"projects/{project}"), body)
    if collection == "forwardingRules" and _reserved(body, store):
        yield project, "compute.addresses.useInternal" if _is_internal(target, body, store) else "compute.addresses.use"


def _use(path: str, body: Body) -> Need:
    _, project, place, *_, collection, _ = path.split("/")
    external = body.get("ipVersion") == "IPV6" and body.get("loadBalancingScheme") == "EXTERNAL"
    if collection == "subnetworks" and external:
        return project, "compute.subnetworks.useExternalIp"
    return project, f"compute.{USES[f'{place}/{collection}']}"


def _is_internal(target: str, body: Body, store: Store) -> bool:
    found = store.objects.get(target, {})
    return "INTERNAL" in {body.get("addressType"), body.get("loadBalancingScheme"), found.get("addressType")}


def _reserved(body: Body, store: Store) -> bool:
    return any(address["address"] == body.get("IPAddress") for _, address in store.of("addresses"))


def _links(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _links(item)
    elif isinstance(value, list):
        for item in value:
            yield from _links(item)
    elif isinstance(value, str) and value.startswith(("https://", "projects/", "zones/", "regions/", "global/")):
        yield value
