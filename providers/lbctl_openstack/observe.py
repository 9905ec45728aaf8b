"""The services' documents -> Observed, by scope, with the proof of whose they are. Pure.

A balancer belongs to the scope of its own name when that is one of this cluster's, else to the scope of the first
Service that names it by id. Whose it is say
the Service's annotation, our uid tag, then name and description.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from lbctl.driver import World
from lbctl.model.resource import Identity, Key, Observed, Resource, Scope, Seen, State, nothing
from lbctl.naming import default_balancer_name
from lbctl_openstack import names
from lbctl_openstack.annotations import BALANCER_ID
from lbctl_openstack.fields import Json, listener_fields, member_of, monitor_fields, pool_fields
from lbctl_openstack.groups import GroupReading, observe_groups

STATES = {"ACTIVE": State.ACTIVE, "ERROR": State.FAILED, "PENDING_DELETE": State.DELETING}


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was read; `members` by pool id. `lost_ports` are VIP ports that do not exist any more."""

    balancers: tuple[Json, ...] = ()
    listeners: tuple[Json, ...] = ()
    pools: tuple[Json, ...] = ()
    monitors: tuple[Json, ...] = ()
    members: Mapping[str, tuple[Json, ...]] = field(default_factory=nothing, hash=False)
    floating: tuple[Json, ...] = ()
    lost_ports: frozenset[str] = frozenset()
    groups: GroupReading = field(default_factory=GroupReading)
    read_at: float = 0.0


def observe_all(reading: Reading, world: World) -> dict[Scope, Observed]:
    """Every scope of this cluster that holds anything."""
    return _Observer(reading, world).run()


def wanted_balancers(balancers: Iterable[Json], world: World) -> list[Json]:
    """Those balancers of a project that concern this cluster; the rest need not be read any further."""
    observer = _Observer(Reading(tuple(balancers)), world)
    return [body for bodies in observer.by_scope.values() for body in bodies]


@dataclass(frozen=True)
class _Observer:
    """One reading with everything that follows from it."""

    reading: Reading
    world: World

    @property
    def cluster(self) -> str:
        return self.world.cluster.name

    @cached_property
    def identities(self) -> dict[tuple[str, str], Identity]:
        return {(identity.namespace, identity.name): identity for identity in self.world.services}

    @cached_property
    def by_name(self) -> dict[str, Identity]:
        """The known Service by its balancer's name."""
        return {names.balancer_scope(self.cluster, identity).name: identity for identity in self.world.services}

    @cached_property
    def by_tag(self) -> dict[str, Identity]:
        """The known Service by its tag: its balancer's name, also the one under a former cluster name."""
        former = {
            body["name"]: identity
            for body in self.reading.balancers
            for identity in self.annotated.get(body["id"], ())
            if names.is_former_name(body["name"], identity)
        }
        return former | self.by_name

    @cached_property
    def annotated(self) -> dict[str, list[Identity]]:
        found: dict[str, list[Identity]] = defaultdict(list)
        for identity, service in sorted(self.world.services.items()):
            if balancer_id := service.metadata.annotations.get(BALANCER_ID):
                found[balancer_id].append(identity)
        return found

    @cached_property
    def by_scope(self) -> dict[Scope, list[Json]]:
        found: dict[Scope, list[Json]] = defaultdict(list)
        for body in self.reading.balancers:
            scope = self._scope_of(body)
            if scope is not None and body["provisioning_status"] != "DELETED":
                found[scope].append(body)
        return found

    def _scope_of(self, body: Json) -> Scope | None:
        if body["name"] in self.by_name:
            return Scope(names.BALANCER, body["name"])
        named = names.service_of(names.BALANCER_TEXT, body.get("description", ""), cluster=self.cluster)
        if named and names.balancer_name(self.cluster, *named) == body["name"]:
            return Scope(names.BALANCER, body["name"])
        followers = self.annotated.get(body["id"]) or self._heirs_of_legacy(body)
        return names.balancer_scope(self.cluster, followers[0]) if followers else None

    def _heirs_of_legacy(self, body: Json) -> list[Identity]:
        return [identity for identity in self.world.services if default_balancer_name(identity.uid) == body["name"]]

    # -- one scope --------------------------------------------------------------------------------------------------

    def run(self) -> dict[Scope, Observed]:
        found: dict[Scope, dict[Key, Seen]] = defaultdict(dict)
        for scope, bodies in self.by_scope.items():
            for seen in self._scope_resources(bodies):
                found[scope][seen.key] = seen
        for scope, seen in (*self._floating(found), *self._groups(found)):
            found[scope][seen.key] = seen
        return {scope: Observed(scope, resources, self.reading.read_at) for scope, resources in found.items()}

    def _scope_resources(self, bodies: list[Json]) -> Iterator[Seen]:
        chosen, doubles, hint = self._choose(bodies)
        owners, ours = self._owners(chosen)
        hint = hint or ("" if ours else _owner_hint(chosen))
        seen = self._balancer(chosen, owners, ours=ours and not hint, hint=hint)
        if rival := next((body["id"] for body in bodies if body["id"] in self.annotated and body != chosen), ""):
            seen = replace(seen, outputs={**seen.outputs, RIVAL: rival})
        yield seen
        if seen.ours:
            yield from self._children(chosen, owners)
        for double in doubles:
            yield self._balancer(double, owners, ours=True, hint="", key=Key(names.BALANCER, double["id"]))

    def _choose(self, bodies: list[Json]) -> tuple[Json, list[Json], str]:
        """The balancer, those that are ours and too many, and why it cannot be told."""
        live = [body for body in bodies if body["provisioning_status"] != "PENDING_DELETE"] or bodies[:1]
        ranked = sorted(live, key=self._rank)
        marked = [body for body in ranked if self._rank(body)[0] < UNPROVEN]
        if len(ranked) > 1 and not marked:
            ids = " and ".join(sorted(body["id"] for body in ranked))
            return ranked[0], [], f"nobody can tell whom: multiple balancers have the name, {ids}"
        doubles = [body for body in marked[1:] if self._has_our_uid(body)]
        return ranked[0], doubles, ""

    def _rank(self, body: Json) -> tuple[int, bool, str]:
        """What we made for the Service comes before what is merely named: that may be named since yesterday."""
        named, made = body["id"] in self.annotated, self._has_our_uid(body)
        proof = UNPROVEN - 2 * made - named
        return proof, body["provisioning_status"] != "ACTIVE", body.get("created_at") or ""

    def _has_our_uid(self, body: Json) -> bool:
        known = {identity.uid for identity in self.world.services}
        return bool(_uids(body) & known)

    def _owners(self, body: Json) -> tuple[frozenset[Identity], bool]:
        """Who uses a balancer, and whether it is proven to be theirs."""
        named = {self.by_tag[tag] for tag in body.get("tags") or () if tag in self.by_tag}
        named |= set(self.annotated.get(body["id"], ())) & set(self._attached(body))
        own = self._own(body)
        owners = frozenset(named | ({own} if own else set()))
        if body["id"] in self.annotated:
            return owners or frozenset(self.annotated[body["id"]][:1]), True
        uids = _uids(body)
        if not self._is_known(owners):
            return owners, bool(uids)
        return owners, not uids or any(owner.uid in uids for owner in owners)

    def _attached(self, body: Json) -> list[Identity]:
        """Services that name the balancer and bear its name, so that a lost tag loses nobody."""
        own = self.by_tag.get(body["name"])
        return [own] if own else []

    def _is_known(self, owners: frozenset[Identity]) -> bool:
        return any(owner in self.world.services for owner in owners)

    def _own(self, body: Json) -> Identity | None:
        """The Service whose name the balancer bears; one that is gone has the uid of the tag."""
        if body["name"] in self.by_tag:
            return self.by_tag[body["name"]] if self._still_tagged(body) else None
        named = names.service_of(names.BALANCER_TEXT, body.get("description", ""), cluster=self.cluster)
        if named and body["name"] == names.balancer_name(self.cluster, *named) and self._still_tagged(body):
            return Identity(*named, next(iter(sorted(_uids(body))), ""))
        heirs = self._heirs_of_legacy(body)
        return heirs[0] if heirs else None

    def _still_tagged(self, body: Json) -> bool:
        """False once the owner has left a balancer that others still use: the tags are the truth."""
        services = [tag for tag in body.get("tags") or () if tag.startswith(names.SERVICE_PREFIX)]
        return not services or body["name"] in services

    # -- resources --------------------------------------------------------------------------------------------------

    def _balancer(
        self, body: Json, owners: frozenset[Identity], *, ours: bool, hint: str, key: Key = names.BALANCER_KEY
    ) -> Seen:
        tags = body.get("tags") or []
        fields = {
            "ours": ours,
            "name": body["name"],
            "tags": frozenset(tag for tag in tags if tag in self.by_tag),
            "uids": _uids(body),
            "subnet": body.get("vip_subnet_id") or "",
            "network": body.get("vip_network_id") or "",
            "port": body.get("vip_port_id") or "",
            "address": body.get("vip_address") or "",
            "flavor": body.get("flavor_id") or "",
            "zone": body.get("availability_zone") or "",
            "more_subnets": frozenset(vip["subnet_id"] for vip in body.get("additional_vips") or ()),
        }
        more = ",".join(vip["ip_address"] for vip in body.get("additional_vips") or ())
        outputs = {
            "id": body["id"],
            "address": body.get("vip_address") or "",
            "more_addresses": more,
            "vip_port_id": body.get("vip_port_id") or "",
            "status": body["provisioning_status"],
            "since": body.get("updated_at") or body.get("created_at") or "",
            "created": body.get("created_at") or "",
            "tags": json.dumps([tag for tag in tags if tag]),
            "never_active": "yes" if body.get("vip_port_id") in self.reading.lost_ports else "",
        }
        state = STATES.get(body["provisioning_status"], State.PENDING)
        return Seen(Resource(key, body["name"], fields, owners), outputs, state, ours, hint)

    def _children(self, balancer: Json, owners: frozenset[Identity]) -> Iterator[Seen]:
        pools = {body["id"]: body for body in _children_of(self.reading.pools, balancer)}
        keys: dict[str, str] = {}
        own = self._own(balancer)
        for body in _children_of(self.reading.listeners, balancer):
            seen = self._listener(body, frozenset({own} if own else ()), pools, keys)
            yield seen
            if body.get("default_pool_id") in pools:
                yield from self._pool(pools.pop(body["default_pool_id"]), seen.resource.owners, keys)
        for body in pools.values():
            yield from self._pool(body, self._loose_owners(body, owners), keys)

    def _listener(
        self, body: Json, owners: frozenset[Identity], pools: Mapping[str, Json], keys: dict[str, str]
    ) -> Seen:
        tags = body.get("tags") or []
        tagged = [tag for tag in tags if tag.startswith(names.SERVICE_PREFIX)]
        mine = frozenset(self.by_tag[tag] for tag in tagged if tag in self.by_tag) if tagged else owners
        fields = listener_fields(body) | {"name": body["name"]}
        fields["tags"] = frozenset(tag for tag in tagged if tag in self.by_tag)
        needs = {names.BALANCER_KEY}
        if pool := pools.get(body.get("default_pool_id") or ""):
            keys[pool["id"]] = names.pool_id(body["protocol"], body["protocol_port"], pool["protocol"])
            needs.add(Key("pool", keys[pool["id"]]))
        outputs = {
            "id": body["id"],
            "tags": json.dumps([tag for tag in tags if tag]),
            "headers": json.dumps(body.get("insert_headers") or {}),
        }
        key = names.listener_key(body["protocol"], body["protocol_port"])
        return Seen(Resource(key, body["name"], fields, mine, frozenset(needs)), outputs, ours=bool(mine))

    def _loose_owners(self, body: Json, owners: frozenset[Identity]) -> frozenset[Identity]:
        """Owners of a pool that no listener points to, told by its name."""
        named = names.INDEXED.fullmatch(body["name"])
        if named is None:
            return frozenset()
        owner = self.by_tag.get(named["balancer"])
        return frozenset({owner}) & owners if owner else frozenset()

    def _pool(self, body: Json, owners: frozenset[Identity], keys: Mapping[str, str]) -> Iterator[Seen]:
        part = keys.get(body["id"]) or _loose_id(body)
        pool, ours = Key("pool", part), bool(owners)
        needs = frozenset({names.BALANCER_KEY})
        resource = Resource(pool, body["name"], pool_fields(body) | {"name": body["name"]}, owners, needs)
        yield Seen(resource, {"id": body["id"], "tags": json.dumps(body.get("tags") or [])}, ours=ours)
        listed = self.reading.members.get(body["id"], ())
        members = frozenset(member_of(member) for member in listed)
        ids = {member_of(member).place: member["id"] for member in listed if "id" in member}
        yield Seen(
            Resource(Key("members", part), "", {"members": members}, owners, frozenset({pool})),
            {"pool": body["id"], "ids": json.dumps(ids)},
            ours=ours,
        )
        for monitor in self.reading.monitors:
            if any(parent["id"] == body["id"] for parent in monitor.get("pools") or ()):
                fields = monitor_fields(monitor)
                resource = Resource(Key("monitor", part), monitor["name"], fields, owners, frozenset({pool}))
                yield Seen(resource, {"id": monitor["id"]}, ours=ours)

    def _groups(self, found: Mapping[Scope, Mapping[Key, Seen]]) -> Iterator[tuple[Scope, Seen]]:
        homes = {owner: scope for scope, seen in found.items() for s in seen.values() for owner in s.resource.owners}

        def scope_of(owner: Identity) -> Scope:
            return homes.get(owner) or names.balancer_scope(self.cluster, owner)

        yield from observe_groups(self.reading.groups, self.identities, scope_of, cluster=self.cluster)

    # -- floating IPs -----------------------------------------------------------------------------------------------

    def _floating(self, found: Mapping[Scope, Mapping[Key, Seen]]) -> Iterator[tuple[Scope, Seen]]:
        balancers = ((scope, seen[names.BALANCER_KEY]) for scope, seen in found.items() if names.BALANCER_KEY in seen)
        by_port = {seen.outputs["vip_port_id"]: (scope, seen) for scope, seen in balancers if seen.ours}
        taken: set[Scope] = set()
        for body in sorted(self.reading.floating, key=lambda body: body.get("port_id") not in by_port):
            maker = self._maker(body)
            if body.get("port_id") in by_port:
                scope, balancer = by_port[body["port_id"]]
                owners = balancer.resource.owners
            elif maker is not None and names.KEPT_TAG not in (body.get("tags") or ()):
                scope, owners = names.balancer_scope(self.cluster, maker), frozenset({maker})
            else:
                continue
            key = Key("floating", body["id"]) if scope in taken else names.FLOATING_KEY
            taken.add(scope)
            yield scope, seen_floating(body, owners, key=key, made=maker is not None)

    def _maker(self, body: Json) -> Identity | None:
        named = names.service_of(names.FLOATING_TEXT, body.get("description", ""), cluster=self.cluster)
        return self.identities.get(named, Identity(*named, "")) if named else None


UNPROVEN = 3
RIVAL = "named instead"


def seen_floating(body: Json, owners: frozenset[Identity], *, key: Key = names.FLOATING_KEY, made: bool = True) -> Seen:
    """A floating IP as a resource; `made` says that we made it, so that we may delete it."""
    fields = {"port": body.get("port_id") or "", "address": body["floating_ip_address"]}
    outputs = {"id": body["id"], "address": body["floating_ip_address"], "made": "yes" if made else ""}
    outputs |= {"tags": json.dumps(body.get("tags") or []), "created": body.get("created_at") or ""}
    return Seen(Resource(key, body["floating_ip_address"], fields, owners), outputs)


def _uids(body: Json) -> frozenset[str]:
    tags = body.get("tags") or ()
    return frozenset(tag.removeprefix(names.UID_TAG) for tag in tags if tag.startswith(names.UID_TAG))


def _owner_hint(body: Json) -> str:
    hint = f"balancer {body['id']} is another cluster's; to take it over, set {BALANCER_ID} to this id"
    return f"somebody else: {hint}"


def _children_of(bodies: Iterable[Json], balancer: Json) -> list[Json]:
    return [body for body in bodies if any(p["id"] == balancer["id"] for p in body.get("loadbalancers") or ())]


def _loose_id(body: Json) -> str:
    tags = (tag for tag in body.get("tags") or () if tag.startswith(names.PORT_TAG))
    port = next(tags, "").removeprefix(names.PORT_TAG)
    return f"{port}/{body['protocol']}" if port else str(body["id"])
