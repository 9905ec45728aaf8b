"""Services, nodes and facts -> everything that one load balancer should hold. Pure.

Seats decide which frontends there are (`seats`); here they become resources: public addresses, frontends, probes,
rules, pools and the balancer itself. What the balancer holds besides is kept, because `plan` only names differences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace

from lbctl.driver import World
from lbctl.model.node import internal_ip
from lbctl.model.problem import Problem
from lbctl.model.resource import Desired, Identity, Key, Observed, Resource, Scope
from lbctl_azure import names, tags
from lbctl_azure.account import PUBLIC_IP, Account, element_key, public_ip_key
from lbctl_azure.elements import BALANCER, FRONTEND, POOL, PROBE, RULE
from lbctl_azure.facts import Facts
from lbctl_azure.links import link_problems, link_resources
from lbctl_azure.moving import with_arrivals
from lbctl_azure.nodes import local_nodes, takes_traffic
from lbctl_azure.placement import scope_of
from lbctl_azure.reading import SUCCEEDED
from lbctl_azure.seats import Seat, Seats
from lbctl_azure.wish import Forward, Probe, Wish, wishes

WIRE_PROTOCOLS = {"TCP": "Tcp", "UDP": "Udp", "SCTP": "All"}


def model_balancer(scope: Scope, world: World, facts: Facts, account: Account) -> Desired:
    """What the load balancer of this scope should hold; an empty Desired when no Service sits on it."""
    sitting = [wish for wish in wishes(world) if scope_of(wish, world, account) == scope]
    if not sitting:
        return Desired(scope)
    arrived = with_arrivals(world.observed.get(scope, Observed(scope)), world, account)
    world = replace(world, observed={**world.observed, scope: arrived})
    seating = Seats(scope, world, facts, account).of(sitting)
    builder = _Builder(scope, world, facts, account)
    seats = seating.served()
    rejected = {identity: tuple(problems) for identity, problems in seating.rejected.items()}
    labels, label_problems = _labels(seats, builder.observed)
    for identity, problem in (*label_problems, *link_problems(seats, builder.observed, account)):
        rejected[identity] = (*rejected.get(identity, ()), problem)
    seats = [seat for seat in seats if seat.wish.identity not in rejected]
    resources = [] if not seats and not builder.observed.resources else list(builder.resources(seats, labels))
    return Desired.of(scope, resources, rejected=rejected)


class _Builder:
    """Makes the resources of one balancer from its seats."""

    def __init__(self, scope: Scope, world: World, facts: Facts, account: Account) -> None:
        self.observed = world.observed.get(scope, Observed(scope))
        self._scope = scope
        self._world = world
        self._facts = facts
        self._account = account
        self._config = account.config

    def resources(self, seats: list[Seat], labels: Mapping[str, tuple[str, Identity]]) -> Iterator[Resource]:
        """Everything, each resource possibly several times with different owners."""
        yield self._shell()
        yield from self._pools(seats)
        for sharing in _grouped(seats, lambda seat: seat.public_ip.lower()):
            if sharing[0].public_ip and any(seat.makes_address for seat in sharing):
                yield self._public_ip(sharing, labels.get(sharing[0].public_ip.lower()))
        for sharing in _grouped(seats, lambda seat: seat.frontend.lower()):
            if not sharing[0].foreign_frontend:
                yield self._frontend(sharing)
        for seat in seats:
            yield from self._rules(seat)
            yield from link_resources(seat, self.observed, self._account)

    # -- the balancer and its pools ---------------------------------------------------------------------------------

    def _shell(self) -> Resource:
        seen = self.observed.get(Key(BALANCER, ""))
        present = tags.tags_of(seen.resource.fields) if seen else {}
        wanted = tags.merged(present, self._config.tags or {}, system=self._config.system_tags)
        fields: dict[str, Hashable] = {"tags": frozenset(wanted.items()), "provisioning": SUCCEEDED}
        return Resource(Key(BALANCER, ""), self._account.balancer_name(self._scope), fields)

    def _pools(self, seats: list[Seat]) -> Iterator[Resource]:
        families = {seat.front.family for seat in seats}
        for name in self._account.pools:
            family = names.family_of_pool(name)
            present = self.observed.get(element_key(POOL, name)) is not None
            if present and not self._account.keeps_members(self._scope.name):
                yield Resource(element_key(POOL, name), name)
            elif family in families or present:
                yield self._pool(name, self._addresses(family))
        for seat in seats:
            if self._has_own_pool(seat.wish):
                yield self._local_pool(seat)

    def _pool(self, name: str, addresses: frozenset[tuple[str, str]]) -> Resource:
        fields: dict[str, Hashable] = {}
        if self._config.uses_node_ips:
            fields = {"network": self._config.vnet_id, "addresses": addresses}
        return Resource(element_key(POOL, name), name, fields)

    def _local_pool(self, seat: Seat) -> Resource:
        identity, family = seat.wish.identity, seat.front.family
        with_endpoints = local_nodes(self._world.slices.get(identity, ()))
        members = frozenset(pair for pair in self._addresses(family) if pair[0] in with_endpoints)
        pool = self._pool(names.local_pool_name(identity.namespace, identity.name, family), members)
        return Resource(pool.key, pool.name, pool.fields, frozenset({identity}))

    def _has_own_pool(self, wish: Wish) -> bool:
        return wish.local and bool(self._config.balancers)

    def _addresses(self, family: str) -> frozenset[tuple[str, str]]:
        """Members of the cluster's pool; the last ones are kept, since an empty pool loses its outbound traffic."""
        if not self._config.uses_node_ips:
            return frozenset()
        found = node_addresses(self._world, family, self._account, self._scope)
        seen = self.observed.get(element_key(POOL, names.pool_name(self._account.cluster, family)))
        before = seen.resource.fields.get("addresses") if seen else None
        if found or not before or self._config.balancers:
            return found
        assert isinstance(before, frozenset)
        return frozenset(sorted(before)[:1])

    # -- addresses and frontends ------------------------------------------------------------------------------------

    def _public_ip(self, sharing: list[Seat], label: tuple[str, Identity] | None) -> Resource:
        first = sharing[0]
        key = public_ip_key(first.public_ip)
        seen = self.observed.get(key)
        if label is not None and self._has_label_still(label[0], key):
            label = None  # A name is one address's at a time: this one gets it when the other is gone.
        present = tags.tags_of(seen.resource.fields) if seen else {}
        owners = frozenset(seat.wish.identity for seat in sharing)
        ip_tags = next((seat.wish.ip_tags for seat in sharing if seat.wish.ip_tags is not None), None)
        fields: dict[str, Hashable] = {
            "version": first.front.family,
            "prefix": first.front.prefix_id or None,
            "zones": self._facts.zones,
            "ip_tags": None if ip_tags is None else frozenset(ip_tags),
            "dns_label": label[0] if label else None,
            "tags": frozenset(self._public_ip_tags(sharing, present, label).items()),
            "provisioning": SUCCEEDED,
        }
        return Resource(key, first.public_ip.rpartition("/")[2], fields, owners)

    def _has_label_still(self, label: str, key: Key) -> bool:
        """True while another address of ours has the label."""
        others = (seen for seen in self.observed.of_kind(PUBLIC_IP) if seen.ours and seen.key != key)
        return bool(label) and any(str(s.resource.fields.get("dns_label")).lower() == label.lower() for s in others)

    def _public_ip_tags(
        self, sharing: list[Seat], present: Mapping[str, str], label: tuple[str, Identity] | None
    ) -> dict[str, str]:
        wanted = dict(self._config.tags or {})
        for seat in sharing:
            wanted |= seat.wish.address_tags
        keep = [*tags.OURS, *(key for seat in sharing for key in seat.wish.address_tags)]
        merged = tags.merged(present, wanted, system=self._config.system_tags, keep=keep)
        merged[_spelt(merged, tags.SERVICE, tags.LEGACY_SERVICE)] = _service_tag(present, sharing)
        if not tags.cluster_of(merged):
            merged[tags.CLUSTER] = self._account.cluster
        return _with_label_owner(merged, label)

    def _frontend(self, sharing: list[Seat]) -> Resource:
        lead = next((seat for seat in sharing if not seat.guest), sharing[0])
        private = next((seat.private_ip for seat in sharing if seat.private_ip), None)
        fields: dict[str, Hashable] = {
            "public_ip": lead.public_ip or None,
            "subnet": lead.subnet or None,
            "private_ip": private,
            "version": lead.front.family,
            "zones": None if lead.public_ip else self._zones_of_frontend(sharing) or None,
        }
        needs = frozenset({public_ip_key(lead.public_ip)} if lead.public_ip else ())
        owners = frozenset(seat.wish.identity for seat in sharing)
        return Resource(element_key(FRONTEND, lead.frontend), lead.frontend, fields, owners, needs)

    def _zones_of_frontend(self, sharing: list[Seat]) -> tuple[str, ...]:
        """A frontend that takes another's place keeps its zones; a new one is in all zones."""
        owners = {seat.wish.identity for seat in sharing}
        for seen in self.observed.of_kind(FRONTEND):
            zones = seen.resource.fields.get("zones")
            if isinstance(zones, tuple) and not owners.isdisjoint(seen.resource.owners):
                return zones
        return self._facts.zones

    # -- rules and probes -------------------------------------------------------------------------------------------

    def _rules(self, seat: Seat) -> Iterator[Resource]:
        for forward in seat.wish.forwards:
            probe = self._probe(seat, forward.probe) if forward.probe is not None else None
            if probe is not None:
                yield probe
            yield self._rule(seat, forward, probe)

    def _probe(self, seat: Seat, probe: Probe) -> Resource:
        name = names.SHARED_PROBE if probe.is_shared else self._label(seat, probe.label)
        fields: dict[str, Hashable] = {
            "protocol": probe.protocol,
            "port": probe.port,
            "path": probe.path or None,
            "interval": probe.interval,
            "threshold": probe.threshold,
        }
        return Resource(element_key(PROBE, name), name, fields, frozenset({seat.wish.identity}))

    def _label(self, seat: Seat, label: str) -> str:
        protocol, _, port = label.partition("-")
        return _rule_name(seat, protocol, int(port))

    def _rule(self, seat: Seat, forward: Forward, probe: Resource | None) -> Resource:
        wish, family, port = seat.wish, seat.front.family, forward.port
        name = _rule_name(seat, port.protocol, port.port)
        pool = self._pool_of(wish, family)
        needs = {element_key(FRONTEND, seat.frontend), element_key(POOL, pool), *({probe.key} if probe else ())}
        fields: dict[str, Hashable] = {
            **_ports(forward, floats=wish.floats(family)),
            "frontend": seat.frontend,
            "pool": pool,
            "probe": probe.name if probe else None,
            "idle_minutes": wish.idle_minutes,
            "tcp_reset": wish.tcp_reset and (forward.everything or port.protocol == "TCP"),
            "floating_ip": wish.floats(family),
            "snat_off": self._config.disable_outbound_snat,
            "distribution": "Default" if wish.affinity_seconds is None else "SourceIP",
        }
        return Resource(element_key(RULE, name), name, fields, frozenset({wish.identity}), frozenset(needs))

    def _pool_of(self, wish: Wish, family: str) -> str:
        if self._has_own_pool(wish):
            return names.local_pool_name(wish.identity.namespace, wish.identity.name, family)
        return names.pool_name(self._account.cluster, family)


def _ports(forward: Forward, *, floats: bool) -> dict[str, Hashable]:
    if forward.everything:
        return {"protocol": "All", "frontend_port": 0, "backend_port": 0}
    port = forward.port
    return {
        "protocol": WIRE_PROTOCOLS[port.protocol],
        "frontend_port": port.port,
        "backend_port": port.port if floats else port.node_port,
    }


def _rule_name(seat: Seat, protocol: str, port: int) -> str:
    wish = seat.wish
    return names.rule_name(
        wish.uid_name, protocol, port, subnet=wish.subnet, family=seat.front.family, dual_stack=wish.dual_stack
    )


def _grouped(seats: Iterable[Seat], place: object) -> list[list[Seat]]:
    assert callable(place)
    groups: dict[str, list[Seat]] = defaultdict(list)
    for seat in seats:
        groups[place(seat)].append(seat)
    return list(groups.values())


def _spelt(merged: Mapping[str, str], *keys: str) -> str:
    """The spelling in which a tag is there already, the legacy one included."""
    for key in keys:
        for present in merged:
            if present.lower() == key.lower():
                return present
    return keys[0]


def _service_tag(present: Mapping[str, str], sharing: list[Seat]) -> str:
    users = {seat.wish.identity.key for seat in sharing}
    kept = [key for key in tags.service_list(present) if key in users]
    return ",".join([*kept, *sorted(users.difference(kept))])


def _with_label_owner(merged: dict[str, str], label: tuple[str, Identity] | None) -> dict[str, str]:
    if label is None:
        return merged
    owner = _spelt(merged, tags.DNS_OWNER, tags.LEGACY_DNS_OWNER)
    if label[0]:
        merged[owner] = label[1].key
    else:
        merged.pop(owner, None)
    return merged


Labels = dict[str, tuple[str, Identity]]


def _labels(seats: Iterable[Seat], observed: Observed) -> tuple[Labels, list[tuple[Identity, Problem]]]:
    """The DNS label of each address: one Service owns it, and others that name another one are refused."""
    labels: Labels = {}
    problems: list[tuple[Identity, Problem]] = []
    for seat in seats:
        label, place = seat.wish.dns_label, seat.public_ip.lower()
        if label is None or not place or not seat.makes_address or seat.front != seat.wish.fronts[0]:
            continue  # A label names one address of the region: the Service's first.
        owner = _label_owner(observed, seat)
        held = labels.setdefault(place, (label, seat.wish.identity))
        if (owner and owner != seat.wish.identity.key) or held[0] != label:
            holder = owner or held[1].key
            if held[1] == seat.wish.identity:
                del labels[place]
            text = f"the address's DNS label belongs to {holder}"
            problems.append((seat.wish.identity, Problem("azure-dns-label-name", text, "use another address")))
    return labels, [*problems, *_refuse_twins(labels, observed)]


def _refuse_twins(labels: Labels, observed: Observed) -> list[tuple[Identity, Problem]]:
    """Take a label away from all addresses but one: it names one address of a region, which keeps it if it has it."""
    problems: list[tuple[Identity, Problem]] = []
    keepers: dict[str, str] = {}
    for place, (label, _) in sorted(labels.items(), key=lambda item: (not _has_label(observed, *item), item[0])):
        keeper = keepers.setdefault(label.lower(), place)
        if label and keeper != place:
            text = f"the DNS label {label} belongs to {labels[keeper][1].key}"
            problems.append((labels[place][1], Problem("azure-dns-label-name", text, "choose another label")))
    for place, (label, _) in list(labels.items()):
        if label and keepers[label.lower()] != place:
            del labels[place]
    return problems


def _has_label(observed: Observed, place: str, wanted: tuple[str, Identity]) -> bool:
    seen = (seen for key, seen in observed.resources.items() if key == public_ip_key(place))
    return any(str(one.resource.fields.get("dns_label", "")).lower() == wanted[0].lower() for one in seen)


def _label_owner(observed: Observed, seat: Seat) -> str:
    seen = observed.get(public_ip_key(seat.public_ip))
    present = tags.tags_of(seen.resource.fields) if seen else {}
    owner = tags.find(present, tags.DNS_OWNER) or tags.find(present, tags.LEGACY_DNS_OWNER) or ""
    return owner if owner in tags.service_list(present) else ""


def node_addresses(world: World, family: str, account: Account, scope: Scope) -> frozenset[tuple[str, str]]:
    """Name and address of every node that takes traffic of this balancer."""
    pairs = (
        (node.metadata.name, internal_ip(node, family))
        for node in world.nodes
        if takes_traffic(node, account, scope, world)
    )
    return frozenset((name, ip) for name, ip in pairs if ip)
