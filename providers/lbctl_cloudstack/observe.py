"""The cloud's lists -> `Observed` by scope. Pure: what to read is `reading.py`'s.

Ours is a rule whose name is that of a known Service's balancer, or whose description names this cluster; an address by
its tags, by the Service's own record, or because only upstream's rules for one Service are on it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lbctl.driver import World
from lbctl.model.objects import Service
from lbctl.model.resource import Identity, Key, Observed, Resource, Scope, Seen, State, nothing
from lbctl_cloudstack.names import (
    ADDRESS,
    ASSOCIATED_ANNOTATION,
    CHOSEN_ANNOTATION,
    CHOSEN_UDP_ANNOTATION,
    CLUSTER_TAG,
    OWNER_TAG,
    UID_TAG,
    balancer_name,
    is_own,
    named_scope,
    own_scope,
    own_scopes,
    part_key,
    port_of,
    read_mark,
    read_owner,
    read_rule_name,
    rule_key,
    rule_name,
    upstreams_reason,
)
from lbctl_cloudstack.parse import ALL, named_address, named_id
from lbctl_cloudstack.rows import (
    Row,
    address_outputs,
    bond_of,
    cidrs_of,
    is_upstreams,
    lets_in,
    mark_of,
    opens_port,
    scope_in_tags,
    spare_entries,
    tags_of,
    transport_of,
    union,
)

NOBODY = Identity("", "", "")
CHANGING = frozenset({"Allocating", "Releasing"})


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was read: rows of each list; `members` and policies by the rule's id."""

    addresses: tuple[Row, ...] = ()
    rules: tuple[Row, ...] = ()
    firewalls: tuple[Row, ...] = ()
    acl_items: tuple[Row, ...] = ()
    members: Mapping[str, frozenset[str]] = field(default_factory=nothing, hash=False)
    stickiness: Mapping[str, Row] = field(default_factory=nothing, hash=False)
    health: Mapping[str, Row] = field(default_factory=nothing, hash=False)
    read_at: float = 0.0


def observe_all(reading: Reading, world: World, *, tags: bool) -> dict[Scope, Observed]:
    """Every scope in which something is, or which a known Service names."""
    return _Observer(reading, world, tags=tags).scopes()


class _Observer:
    def __init__(self, reading: Reading, world: World, *, tags: bool) -> None:
        self._reading = reading
        self._world = world
        self._tags = tags
        self._cluster = world.cluster.id
        self._by_balancer = {balancer_name(identity.uid): identity for identity in world.services}
        self._by_uid = {identity.uid: identity for identity in world.services}
        self._named = {i: named_address(service) for i, service in world.services.items()}
        self._by_own_scope = {scope: i for i in world.services for scope in own_scopes(i.uid)}
        self._by_scope: dict[Scope, list[tuple[Identity, Service]]] = defaultdict(list)
        for identity, service in world.services.items():
            first, second = own_scopes(identity.uid)
            named = self._named[identity]
            for scope in (named_scope(named) if named else first, second):
                self._by_scope[scope].append((identity, service))
        self._choosers, self._associated = _records(world.services, self._named)
        self._address_by_ip = {str(row["ipaddress"]): row for row in reading.addresses}
        self._rules_by_ip: dict[str, list[Row]] = defaultdict(list)
        for row in reading.rules:
            self._rules_by_ip[str(row["publicip"])].append(row)
        self._firewalls: dict[str, list[Row]] = defaultdict(list)
        for row in reading.firewalls:
            self._firewalls[str(row["ipaddressid"])].append(row)

    def scopes(self) -> dict[Scope, Observed]:
        rules: dict[Scope, list[tuple[Row, Identity]]] = defaultdict(list)
        for row in self._reading.rules:
            owner = self.owner_of(row)
            if owner is not None:
                rules[self._scope_of(row, owner)].append((row, owner))
        addresses = self._addresses(rules)
        items = self._marked_items()
        return {
            scope: self._observed(scope, rules[scope], addresses.get(scope), items.get(scope, ()))
            for scope in {*rules, *addresses, *items}
        }

    def _marked_items(self) -> dict[Scope, list[Seen]]:
        """Entries of ACLs by their marks: they are not on the address, so they can outlive their rule."""
        found: dict[Scope, dict[Key, Seen]] = defaultdict(dict)
        for item in self._reading.acl_items:
            mark = read_mark(str(item.get("reason") or ""))
            if mark is None or mark.cluster != self._cluster:
                continue
            named = self._named.get(mark.owner)
            is_named = bool(named) and mark.ip == named
            key = Key("acl", str(item.get("startport", "")))
            group = found[named_scope(mark.ip) if is_named else mark.own_scope]
            before = group[key].outputs if key in group else {}
            outputs = {**before, str(item["id"]): str(item.get("cidrlist") or ALL)}
            cidrs, acl = union(outputs.values()), str(item["aclid"])
            fields: dict[str, Hashable] = {"cidrs": cidrs, "protocol": transport_of(item), "acl": acl}
            fields |= {"spare": spare_entries(outputs), "marked": True}
            name = rule_name(balancer_name(mark.owner.uid), transport_of(item), port_of(key))
            group[key] = Seen(Resource(key, name, fields, frozenset({mark.owner})), outputs)
        return {scope: list(group.values()) for scope, group in found.items()}

    def owner_of(self, row: Row) -> Identity | None:
        """The Service that a rule belongs to; None for a foreign one."""
        name = read_rule_name(str(row["name"]))
        if name is None:
            return None
        mark = mark_of(row)
        if mark is None:
            return self._by_balancer.get(name.balancer)
        is_same = mark.cluster == self._cluster and balancer_name(mark.owner.uid) == name.balancer
        return mark.owner if is_same else None

    def _scope_of(self, row: Row, owner: Identity) -> Scope:
        named = self._named.get(owner)
        if named and row["publicip"] == named:
            return named_scope(named)
        mark = mark_of(row)
        return mark.own_scope if mark is not None else own_scope(owner.uid)

    def _addresses(self, rules: Mapping[Scope, list[tuple[Row, Identity]]]) -> dict[Scope, Row]:
        found: dict[Scope, Row] = {}
        for row in self._reading.addresses:
            found.update((scope, row) for scope in self._scopes_by_marks(row))
        for scope, members in rules.items():
            counts = Counter(str(row["publicip"]) for row, _ in members)
            best = min(counts, key=lambda ip: (-counts[ip], ip))
            if best in self._address_by_ip:
                found[scope] = self._address_by_ip[best]
        return found

    def _scopes_by_marks(self, row: Row) -> Iterator[Scope]:
        ip, tags = str(row["ipaddress"]), tags_of(row)
        if ip in self._named.values():
            yield named_scope(ip)
        uid = self._tagged_uid(tags, is_named=ip in self._named.values())
        identity = self._by_uid.get(uid)
        if uid and (identity is None or self._named[identity] != ip):
            yield scope_in_tags(uid, tags)
        yield from self._choosers.get(ip, ())

    def _tagged_uid(self, tags: dict[str, str], *, is_named: bool) -> str:
        """The Service in whose own scope an address belongs; the taker's, once nobody names the address any more."""
        if tags.get(CLUSTER_TAG) != self._cluster:
            return ""
        taker = tags.get(OWNER_TAG, "")
        return tags.get(UID_TAG, "") or (taker if not is_named and taker in self._by_uid else "")

    def _observed(
        self, scope: Scope, rules: list[tuple[Row, Identity]], address: Row | None, items: Iterable[Seen]
    ) -> Observed:
        ip = str(address["ipaddress"]) if address is not None else ""
        seen: list[Seen] = [*items]
        ours = {str(row["id"]) for row, _ in rules}
        for row, owner in rules:
            key = rule_key(int(row["publicport"]), elsewhere="" if row["publicip"] == ip else str(row["publicip"]))
            seen += self._rule(key, row, owner)
        for row in self._rules_by_ip.get(ip, ()):
            if str(row["id"]) not in ours:
                seen.append(self._foreign(row))
        if address is not None:
            seen += self._stray_firewalls(scope, address)
            seen.append(self._address(scope, address, [row for row, _ in rules]))
        return Observed(scope, {s.key: s for s in seen}, read_at=self._reading.read_at)

    def _rule(self, key: Key, row: Row, owner: Identity) -> Iterator[Seen]:
        rule_id, owners = str(row["id"]), frozenset({owner})
        name, needs = str(row["name"]), frozenset({key})
        mark = mark_of(row)
        outputs = {"id": rule_id} | ({"opened": "true"} if mark is not None and mark.opened else {})
        outputs |= {"tags": "true"} if UID_TAG in tags_of(row) else {}
        yield Seen(Resource(key, name, self._rule_fields(row), owners, frozenset({ADDRESS})), outputs)
        parts = {
            "members": self._members(rule_id),
            "firewall": self._firewall(row),
            "acl": self._acl(row, owner),
            "stickiness": self._stickiness(rule_id),
            "health": self._health(rule_id),
        }
        for kind, part in parts.items():
            if part is not None:
                fields, outputs = part
                yield Seen(Resource(part_key(kind, key), name, fields, owners, needs), outputs)

    def _rule_fields(self, row: Row) -> dict[str, Any]:
        fields = {
            "port": int(row["publicport"]),
            "private_port": int(row["privateport"]),
            "protocol": str(row.get("protocol") or "tcp").lower(),
            "algorithm": str(row["algorithm"]),
            "cidrs": cidrs_of(row.get("cidrlist")),
            "network": str(row.get("networkid", "")),
            "address": str(row["publicipid"]),
            # A rule that is being revoked still shows up in lists; it serves nothing and can stay so for ever.
            "state": "Revoke" if row.get("state") == "Revoke" else "",
            "timeout": int(row.get("idletimeout") or 0) // 1000 or None,
        }
        if self._tags:
            fields["tagged"] = is_upstreams(row) or UID_TAG in tags_of(row)
        return fields

    def _members(self, rule_id: str) -> tuple[dict[str, Any], dict[str, str]] | None:
        machines = self._reading.members.get(rule_id)
        return ({"machines": machines}, {}) if machines else None

    def _firewall(self, row: Row) -> tuple[dict[str, Any], dict[str, str]] | None:
        port, protocol = int(row["publicport"]), transport_of(row)
        mine = [
            f
            for f in self._firewalls[str(row["publicipid"])]
            if opens_port(f, port, protocol) and not self._is_foreign(f)
        ]
        if not mine:
            return None
        outputs = {str(f["id"]): str(f["cidrlist"]) for f in mine}
        fields: dict[str, Any] = {"cidrs": union(outputs.values()), "protocol": protocol}
        fields["bond"] = bond_of(row, list(outputs.values()))
        return fields, outputs

    def _stray_firewalls(self, scope: Scope, address: Row) -> Iterator[Seen]:
        """Openings whose rule somebody took away: a rule that is made again must find them, not clash with them."""
        taken = {int(row["publicport"]) for row in self._rules_by_ip.get(str(address["ipaddress"]), ())}
        for identity, service in self._by_scope.get(scope, ()):
            for port in service.spec.ports:
                stray = {"publicport": port.port, "publicipid": address["id"], "protocol": port.protocol.lower()}
                part = self._firewall(stray) if port.port not in taken else None
                if part is not None:
                    key = part_key("firewall", rule_key(port.port))
                    yield Seen(Resource(key, "", part[0], frozenset({identity})), part[1])

    def _is_foreign(self, firewall: Row) -> bool:
        """A tag says that somebody has a purpose of their own with it."""
        return bool(firewall.get("tags")) or firewall.get("state") == "Revoke"

    def _acl(self, row: Row, owner: Identity) -> tuple[dict[str, Any], dict[str, str]] | None:
        port, protocol = int(row["publicport"]), transport_of(row)
        items = [item for item in self._reading.acl_items if opens_port(item, port, protocol) and lets_in(item)]
        marked = [item for item in items if self._is_reason_of(item, owner, str(row["publicip"]))]
        reasons = {"", upstreams_reason(balancer_name(owner.uid))} if is_upstreams(row) else set()
        upstreams = [item for item in items if str(item.get("reason") or "") in reasons]
        own = [*marked, *upstreams]
        if not own:
            return None
        outputs = {str(item["id"]): str(item.get("cidrlist") or ALL) for item in own}
        fields = {"cidrs": union(outputs.values()), "protocol": protocol, "acl": str(own[0]["aclid"])}
        # Upstream's are never spare: adopting writes nothing.
        spare = spare_entries({key: outputs[key] for key in (str(item["id"]) for item in marked)})
        return fields | {"spare": spare, "marked": not upstreams}, outputs

    def _is_reason_of(self, item: Row, owner: Identity, ip: str) -> bool:
        mark = read_mark(str(item.get("reason") or ""))
        return mark is not None and (mark.cluster, mark.owner, mark.ip) == (self._cluster, owner, ip)

    def _stickiness(self, rule_id: str) -> tuple[dict[str, Any], dict[str, str]] | None:
        policy = self._reading.stickiness.get(rule_id)
        if policy is None:
            return None
        params = tuple(sorted((str(k), str(v)) for k, v in (policy.get("params") or {}).items()))
        return {"method": str(policy["methodname"]), "params": params}, {"id": str(policy["id"])}

    def _health(self, rule_id: str) -> tuple[dict[str, Any], dict[str, str]] | None:
        policy = self._reading.health.get(rule_id)
        return ({"path": str(policy.get("pingpath", ""))}, {"id": str(policy["id"])}) if policy is not None else None

    def _foreign(self, row: Row) -> Seen:
        owner = self.owner_of(row)
        key = rule_key(int(row["publicport"]))
        fields = {"port": int(row["publicport"])}
        hint = f"Service {owner}" if owner is not None else ""
        return Seen(Resource(key, str(row["name"]), fields), {"id": str(row["id"])}, ours=False, owner_hint=hint)

    def _address(self, scope: Scope, row: Row, rules: list[Row]) -> Seen:
        is_ours = self._is_ours(scope, row, rules)
        tags = tags_of(row)
        fields: dict[str, Any] = {"ip": str(row["ipaddress"])}
        if self._tags and is_ours:
            # What upstream took has no tags, and gets none from us: adopting writes nothing.
            fields["tagged"] = OWNER_TAG in tags or (all(map(is_upstreams, rules)) and bool(rules))
        owners = frozenset(self._owner_by_scope(scope, row)) if is_ours else frozenset()
        state = State.PENDING if row.get("state") in CHANGING else State.ACTIVE
        return Seen(Resource(ADDRESS, fields["ip"], fields, owners), address_outputs(row), state, ours=is_ours)

    def _owner_by_scope(self, scope: Scope, row: Row) -> Iterator[Identity]:
        identity = self._by_own_scope.get(scope)
        if identity is not None:
            yield identity
        elif scope not in {named_scope(named) for named in self._named.values() if named}:
            owner = read_owner(tags_of(row))
            if owner is not None:
                yield owner

    def _is_ours(self, scope: Scope, row: Row, rules: list[Row]) -> bool:
        """True when we may release the address once nobody uses it."""
        if row.get("issourcenat") or row.get("isstaticnat") or row.get("issystem"):
            return False
        tags = tags_of(row)
        if tags.get(CLUSTER_TAG) == self._cluster and OWNER_TAG in tags:
            return self._is_tagged_for(scope, tags)
        service = self._world.services.get(self._by_own_scope.get(scope, NOBODY))
        if service is not None and named_id(service) == str(row["id"]).lower():
            return service.metadata.annotations.get(ASSOCIATED_ANNOTATION) == "true"
        ip = str(row["ipaddress"])
        recorded = scope in self._choosers.get(ip, ()) or scope in self._associated.get(ip, frozenset())
        return recorded or self._is_upstreams(scope, row, rules)

    def _is_tagged_for(self, scope: Scope, tags: dict[str, str]) -> bool:
        uid = tags.get(UID_TAG, "")
        if not uid:
            return not is_own(scope) or scope == own_scope(tags[OWNER_TAG])
        owner = self._by_uid.get(uid)
        return scope == scope_in_tags(uid, tags) or (owner is not None and scope.name == self._named[owner])

    def _is_upstreams(self, scope: Scope, row: Row, rules: list[Row]) -> bool:
        identity = self._by_balancer.get(scope.name)
        if identity is None or self._named[identity] or not rules:
            return False
        others = len(self._rules_by_ip[str(row["ipaddress"])]) - len(rules)
        return others == 0 and any(map(is_upstreams, rules))


def _records(
    services: Mapping[Identity, Service], named: Mapping[Identity, str]
) -> tuple[dict[str, list[Scope]], dict[str, frozenset[Scope]]]:
    """What the Services themselves remember, by address: who chose it, and whose name for it was taken freely."""
    choosers: dict[str, list[Scope]] = defaultdict(list)
    associated: dict[str, frozenset[Scope]] = {}
    for identity, service in services.items():
        annotations, ip = service.metadata.annotations, named[identity]
        first, second = own_scopes(identity.uid)
        if chosen := annotations.get(CHOSEN_UDP_ANNOTATION):
            choosers[chosen].append(second)
        if not ip and (chosen := annotations.get(CHOSEN_ANNOTATION)):
            choosers[chosen].append(first)
        elif ip and annotations.get(ASSOCIATED_ANNOTATION) == "true":
            associated[ip] = frozenset({named_scope(ip)})
    return choosers, associated
