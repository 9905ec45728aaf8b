"""The cloud's objects -> Observed: what is whose, by exact name and then by description. Pure but for `read_cloud`.

A snapshot is one list call per kind and 500 objects, and one per zone for the members of its instance group. Names are
worked out from the Services that are known; an object whose name we would give but whose description names another
Service is never ours. What bears this cluster's hash and no known Service is an orphan.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lbctl.model.resource import Identity, Key, Observed, Resource, Scope, Seen
from lbctl_gce import names
from lbctl_gce.checks import first
from lbctl_gce.client import Client
from lbctl_gce.kinds import (
    ADDRESS,
    BACKEND,
    CHECK,
    CLUSTER,
    ENDPOINT_GROUP,
    ENDPOINTS,
    FIREWALL,
    GROUP,
    HTTP_CHECK,
    MEMBERS,
    POOL,
    POOL_MEMBERS,
    RULE,
    balancer_scope,
)
from lbctl_gce.place import Place, names_of
from lbctl_gce.shapes import READERS, Json, tail

LISTS: Mapping[str, str] = {
    RULE: "forwardingRules.list",
    ADDRESS: "addresses.list",
    BACKEND: "backendServices.aggregatedList",
    POOL: "targetPools.list",
    CHECK: "healthChecks.aggregatedList",
    HTTP_CHECK: "httpHealthChecks.list",
    FIREWALL: "firewalls.list",
    GROUP: "instanceGroups.aggregatedList",
    ENDPOINT_GROUP: "networkEndpointGroups.aggregatedList",
}
LEGACY_NAME = re.compile(r"a[0-9a-f]{31}")


@dataclass(frozen=True, slots=True)
class Reading:
    """Bodies by kind, and the members of groups by path."""

    bodies: Mapping[str, tuple[Json, ...]]
    members: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    read_at: float = 0.0


def read_cloud(client: Client, place: Place, *, read_at: float, only: Scope | None = None) -> Reading:
    """Everything of the region; one call a list and page, and one for each of our groups for its members.

    There is no list of members across groups. With `only` a scope's own groups are asked for theirs: the lists are
    read whole, because references are only known from them.
    """
    bodies = {kind: tuple(client.items(method)) for kind, method in LISTS.items()}
    members: dict[str, frozenset[str]] = {}
    for body in bodies[GROUP] if place.config.fills_groups and only in (None, CLUSTER) else ():
        if body["name"] == place.legacy.group and _in_region(body, place):
            listed = client.items("instanceGroups.listInstances", {"zone": _zone(body), "instance_group": body["name"]})
            members[tail(body["selfLink"])] = frozenset(entry["instance"].rpartition("/")[2] for entry in listed)
    for body in bodies[ENDPOINT_GROUP]:
        if _is_endpoint_group_of(body, place, only) and _in_region(body, place):
            listed = client.items(
                "networkEndpointGroups.listNetworkEndpoints",
                {"zone": _zone(body), "network_endpoint_group": body["name"]},
            )
            members[tail(body["selfLink"])] = frozenset(_endpoint(entry["networkEndpoint"], body) for entry in listed)
    return Reading(bodies, members, read_at)


def _is_endpoint_group_of(body: Json, place: Place, only: Scope | None) -> bool:
    """True for this cluster's, of whichever Service or of the scope's; names alone tell, upstream may not describe."""
    if only is None:
        return bool(body["name"].startswith(f"k8s2-{place.l4.cluster}-"))
    namespace, _, name = only.name.partition("/")
    return only != CLUSTER and bool(body["name"] == place.l4.backend(namespace, name))


def observe_all(reading: Reading, services: Iterable[Identity], place: Place) -> dict[Scope, Observed]:
    """All scopes in which anything of this cluster's was seen."""
    candidates: dict[str, list[Identity]] = defaultdict(list)
    for identity in services:
        for name in names_of(place, identity):
            candidates[name].append(identity)
    finder = Finder(place, candidates, reading, legacy_owners(reading, place))
    found: dict[Scope, dict[Key, Seen]] = {}
    for kind, bodies in reading.bodies.items():
        for body in bodies:
            for scope, seen in finder.seen(kind, body):
                found.setdefault(scope, {})[seen.key] = seen
    return {scope: Observed(scope, resources, read_at=reading.read_at) for scope, resources in found.items()}


def key_of(kind: str, body: Json) -> Key:
    """Key of an object."""
    path = tail(body["selfLink"])
    if kind == CHECK:
        return Key(kind, f"{'global' if path.startswith('global/') else 'region'}/{body['name']}")
    if kind in (GROUP, ENDPOINT_GROUP):
        return Key(kind, f"{_zone(body)}/{body['name']}")
    return Key(kind, body["name"])


def outputs_of(kind: str, body: Json) -> dict[str, str]:
    """What the cloud assigned: the path, the time of making, and the address of a forwarding rule."""
    outputs = {"path": tail(body["selfLink"]), "created": str(body.get("creationTimestamp", ""))}
    if kind == RULE:
        outputs["address"] = str(READERS[kind](body)["address"])
    return outputs | first(kind, READERS[kind](body))


@dataclass(frozen=True, slots=True)
class Finder:
    """Tells whose an object is; `candidates` are the known Services by every name that their objects may have.

    `legacy` holds the `namespace/name` of Services by names of legacy objects that are proven to be this cluster's.
    """

    place: Place
    candidates: Mapping[str, list[Identity]]
    reading: Reading
    legacy: Mapping[str, str]

    def seen(self, kind: str, body: Json) -> Iterator[tuple[Scope, Seen]]:
        """The object as resources of its scope; nothing when it is not of this cluster."""
        if not _in_region(body, self.place):
            return
        if self._is_shared(kind, body["name"]):
            yield from self._shared(kind, body)
            return
        claimed = names.described_service(body.get("description", ""))
        identity = self._candidate(body["name"], claimed) or self._orphan(kind, body, claimed)
        if identity is None:
            return
        ours = claimed in ("", identity.key)
        scope = balancer_scope(identity)
        for resource in self._resources(kind, body, frozenset({identity})):
            yield scope, Seen(resource, outputs_of(kind, body), ours=ours, owner_hint="" if ours else claimed)

    def _is_shared(self, kind: str, name: str) -> bool:
        l4, legacy = self.place.l4, self.place.legacy
        if kind == BACKEND:
            return name.startswith(legacy.shared_backends)
        return name in {
            GROUP: (legacy.group,) if self.place.config.fills_groups else (),
            CHECK: (l4.shared_check, legacy.shared_check),
            HTTP_CHECK: (legacy.shared_check,),
            FIREWALL: (
                l4.shared_check_firewall(),
                l4.shared_check_firewall("IPv6"),
                legacy.shared_pool_firewall,
                legacy.shared_internal_firewall,
            ),
        }.get(kind, ())

    def _shared(self, kind: str, body: Json) -> Iterator[tuple[Scope, Seen]]:
        outputs = outputs_of(kind, body)
        if kind == GROUP and self._foreign_users(outputs["path"]):
            outputs["foreign_users"] = ", ".join(self._foreign_users(outputs["path"]))
        for resource in self._resources(kind, body, frozenset()):
            yield CLUSTER, Seen(resource, outputs)

    def _foreign_users(self, path: str) -> list[str]:
        """Backend services of others, such as Ingress, that use the group."""
        users = [b for b in self.reading.bodies[BACKEND] if path in READERS[BACKEND](b)["backends"]]  # type: ignore[operator]  # a frozenset
        return sorted(user["name"] for user in users if not self._is_ours(user["name"]))

    def _is_ours(self, backend: str) -> bool:
        return backend in self.candidates or self._is_shared(BACKEND, backend)

    def _candidate(self, name: str, claimed: str) -> Identity | None:
        """The Service that the name stands for; where it is that of several, the one that the description names."""
        known = self.candidates.get(name, ())
        described = (identity for identity in known if identity.key == claimed)
        return next(described, known[0] if len(known) == 1 else None)

    def _orphan(self, kind: str, body: Json, claimed: str) -> Identity | None:
        """The Service that is gone but bears this cluster's hash in the name, or in what the object points at."""
        mark = f"k8s2-{self.place.l4.cluster}-"
        pointed = tail(body.get("backendService", "")).rpartition("/")[2] if kind == RULE else ""
        is_ours = mark in f"{body['name']}-" or f"-{self.place.l4.cluster}-" in body["name"] or pointed.startswith(mark)
        owner = claimed if is_ours and (body["name"].startswith("k8s2-") or pointed) else self.legacy.get(body["name"])
        if not owner or claimed not in ("", owner):
            return None
        namespace, _, name = owner.partition("/")
        return Identity(namespace, name, "unknown")

    def _resources(self, kind: str, body: Json, owners: frozenset[Identity]) -> Iterator[Resource]:
        key, fields = key_of(kind, body), READERS[kind](body)
        if kind == BACKEND:
            fields = {**fields, "backends": self._own_groups(fields["backends"])}
        yield Resource(key, body["name"], fields, owners, self._needs(kind, body))
        path = tail(body["selfLink"])
        if kind == GROUP:
            yield _members(MEMBERS, key, {"instances": self.reading.members.get(path, frozenset())}, owners)
        elif kind == ENDPOINT_GROUP:
            yield _members(ENDPOINTS, key, {"endpoints": self.reading.members.get(path, frozenset())}, owners)
        elif kind == POOL:
            instances = frozenset(tail(link) for link in body.get("instances", ()))
            yield _members(POOL_MEMBERS, key, {"instances": instances}, owners)

    def _own_groups(self, backends: Hashable) -> frozenset[str]:
        """Those groups that are the cluster's to link and unlink: what somebody has linked by hand is left out."""
        assert isinstance(backends, frozenset)
        return frozenset(path for path in backends if self._is_own_group(path.rpartition("/")[2]))

    def _is_own_group(self, name: str) -> bool:
        if name.startswith(f"k8s2-{self.place.l4.cluster}-"):
            return True
        legacy = self.place.legacy
        return name == legacy.group if self.place.config.fills_groups else legacy.is_group(name)

    def _needs(self, kind: str, body: Json) -> frozenset[Key]:
        """What the object points at, which may go only after it."""
        if kind == RULE:
            path = tail(body.get("backendService") or body.get("target", ""))
            return frozenset({Key(POOL if "/targetPools/" in path else BACKEND, path.rpartition("/")[2])})
        if kind in (BACKEND, POOL):
            checks = (check_of(tail(link)) for link in body.get("healthChecks", ()))
            groups = (tail(entry["group"]) for entry in body.get("backends", ()))
            return frozenset(checks) | frozenset(map(group_of, groups))
        return frozenset()


def legacy_owners(reading: Reading, place: Place) -> Mapping[str, str]:
    """Services by the names of all legacy objects of balancers that use something which is this cluster's alone.

    Legacy names say nothing of the cluster, but an internal balancer's backends are the cluster's instance groups, and
    a target pool with traffic policy Cluster is checked by the cluster's check.
    """
    if not place.legacy.cluster:
        return {}
    found: dict[str, str] = {}
    for body in (*reading.bodies[BACKEND], *reading.bodies[POOL], *reading.bodies[RULE]):
        claimed = names.described_service(body.get("description", ""))
        if claimed and LEGACY_NAME.fullmatch(body["name"]) and _uses_cluster(body, place):
            found |= dict.fromkeys(names.legacy_names(body["name"]), claimed)
    return found


def _uses_cluster(body: Json, place: Place) -> bool:
    groups = [entry["group"] for entry in body.get("backends", ())]
    links = [*groups, *body.get("healthChecks", ()), body.get("backendService", "")]
    used = {link.rpartition("/")[2] for link in links}
    shared = any(name.startswith(place.legacy.shared_backends) for name in used)
    return shared or not used.isdisjoint({place.legacy.group, place.legacy.shared_check})


def check_of(path: str) -> Key:
    """Key of the health check at this path."""
    name = path.rpartition("/")[2]
    if "/httpHealthChecks/" in path:
        return Key(HTTP_CHECK, name)
    return Key(CHECK, f"{'global' if path.startswith('global/') else 'region'}/{name}")


def group_of(path: str) -> Key:
    """Key of the group at this path."""
    parts = path.split("/")
    return Key(ENDPOINT_GROUP if "networkEndpointGroups" in parts else GROUP, f"{parts[1]}/{parts[-1]}")


def _members(kind: str, group: Key, fields: Mapping[str, Hashable], owners: frozenset[Identity]) -> Resource:
    return Resource(Key(kind, group.id), group.id, fields, owners, frozenset({group}))


def _zone(body: Json) -> str:
    return str(tail(body["selfLink"]).split("/")[1])


def _endpoint(endpoint: Json, group: Json) -> str:
    instance = endpoint["instance"].rpartition("/")[2]
    return f"zones/{_zone(group)}/instances/{instance} {endpoint.get('ipAddress', '')}"


def _in_region(body: Json, place: Place) -> bool:
    parts = tail(body["selfLink"]).split("/")
    if parts[0] == "regions":
        return bool(parts[1] == place.config.region)
    return parts[0] == "global" or parts[1].rpartition("-")[0] == place.config.region
