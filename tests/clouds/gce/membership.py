"""Members of instance groups, endpoint groups and target pools: who may join, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.clouds.gce.errors import Refusal, not_found
from tests.clouds.gce.store import ROOT, Body, Store, path_of

MOST_IN_GROUP = 1000
MOST_PER_CHANGE = 1000
Verb = Callable[[Store, str, Body], Callable[[], None]]


@dataclass(frozen=True)
class Membership:
    """The verbs of one collection and how its members are listed."""

    listed: Callable[[Store, str], list[Any]]
    verbs: dict[str, Verb] = field(default_factory=dict)


def _instances(store: Store, body: Body) -> list[str]:
    paths = [path_of(item["instance"]) for item in body.get("instances", [])]
    for path in paths:
        if path not in store.objects:
            raise not_found(path)
    if len(paths) > MOST_PER_CHANGE:
        raise Refusal(400, "invalid", "Invalid value for field 'instances': at most 1000 instances a request")
    return paths


def add_to_group(store: Store, path: str, body: Body) -> Callable[[], None]:
    paths = _instances(store, body)
    zone = "/".join(path.split("/")[:4])
    for instance in paths:
        if not instance.startswith(zone):
            raise Refusal(400, "invalid", f"Instance '{instance}' is in another zone than '{path}'")
        if instance in store.members[path]:
            raise Refusal(400, "memberAlreadyExists", f"'{instance}' is already a member of '{path}'.")
    if len(store.members[path]) + len(paths) > MOST_IN_GROUP:
        raise Refusal(400, "invalid", f"Instance group '{path}' takes at most 1000 instances")
    balanced = any(store.users_of(path))
    for other in _other_balanced(store, path) if balanced else ():
        shared = sorted(set(paths) & set(store.members[other]))
        if shared:
            message = f"Instance '{shared[0]}' is in multiple load balanced instance groups: '{other}' and '{path}'"
            raise Refusal(400, "instanceInMultipleLoadBalancedIgs", message)
    return lambda: store.members[path].extend(i for i in paths if i not in store.members[path])


def _other_balanced(store: Store, path: str) -> Iterator[str]:
    for other, _ in store.of("instanceGroups"):
        if other != path and any(store.users_of(other)):
            yield other


def remove_from(store: Store, path: str, body: Body) -> Callable[[], None]:
    paths = [path_of(item["instance"]) for item in body.get("instances", [])]
    for instance in paths:
        if instance not in store.members[path]:
            raise Refusal(404, "notFound", f"'{instance}' is not a member of '{path}'.")

    def effect() -> None:
        store.members[path] = [member for member in store.members[path] if member not in paths]

    return effect


def add_to_pool(store: Store, path: str, body: Body) -> Callable[[], None]:
    paths = _instances(store, body)
    return lambda: store.set_members(path, [*store.members[path], *paths])


def remove_from_pool(store: Store, path: str, body: Body) -> Callable[[], None]:
    paths = {path_of(item["instance"]) for item in body.get("instances", [])}
    return lambda: store.set_members(path, [m for m in store.members[path] if m not in paths])


def add_check(store: Store, path: str, body: Body) -> Callable[[], None]:
    links = [ROOT + path_of(item["healthCheck"]) for item in body.get("healthChecks", [])]
    joined = [*store.objects[path].get("healthChecks", []), *links]
    if len(set(joined)) > 1:
        raise Refusal(400, "invalid", "A target pool takes one health check")
    return lambda: store.objects[path].update(healthChecks=sorted(set(joined)))


def remove_check(store: Store, path: str, body: Body) -> Callable[[], None]:
    gone = {path_of(item["healthCheck"]) for item in body.get("healthChecks", [])}
    kept = [link for link in store.objects[path].get("healthChecks", []) if path_of(link) not in gone]
    return lambda: store.objects[path].update(healthChecks=kept)


def _endpoint_key(endpoint: Body) -> str:
    return f"{path_of(endpoint['instance'])} {endpoint.get('ipAddress', '')}"


def attach(store: Store, path: str, body: Body) -> Callable[[], None]:
    endpoints = body.get("networkEndpoints", [])
    for endpoint in endpoints:
        if path_of(endpoint["instance"]) not in store.objects:
            raise not_found(path_of(endpoint["instance"]))
    keys = [_endpoint_key(endpoint) for endpoint in endpoints]
    return lambda: store.set_members(path, [*store.members[path], *keys])


def detach(store: Store, path: str, body: Body) -> Callable[[], None]:
    keys = {_endpoint_key(endpoint) for endpoint in body.get("networkEndpoints", [])}
    return lambda: store.set_members(path, [m for m in store.members[path] if m not in keys])


def _listed_instances(store: Store, path: str) -> list[Any]:
    return [{"instance": ROOT + member, "status": "RUNNING"} for member in store.members[path]]


def _listed_endpoints(store: Store, path: str) -> list[Any]:
    pairs = [member.split(" ") for member in store.members[path]]
    return [{"networkEndpoint": {"instance": ROOT + instance, "ipAddress": ip}} for instance, ip in pairs]


MEMBERSHIP = {
    "instanceGroups": Membership(_listed_instances, {"addInstances": add_to_group, "removeInstances": remove_from}),
    "networkEndpointGroups": Membership(
        _listed_endpoints, {"attachNetworkEndpoints": attach, "detachNetworkEndpoints": detach}
    ),
    "targetPools": Membership(
        _listed_instances,
        {
            "addInstance": add_to_pool,
            "removeInstance": remove_from_pool,
            "addHealthCheck": add_check,
            "removeHealthCheck": remove_check,
        },
    ),
}
