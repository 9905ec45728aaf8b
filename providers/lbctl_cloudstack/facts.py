"""Cached reads that modelling and observing need: features, networks, machines, free addresses, guests of an address.

Networks and machines are kept for ten minutes, machines also only as long as every node is among them; losing the cache
costs calls. What decides about a release is read afresh each time.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lbctl.annotations import DELETION_POLICY
from lbctl.clock import Clock
from lbctl.driver import World
from lbctl.errors import Conflict, NotReady, OwnedByOther
from lbctl.model.node import NodeSet
from lbctl.model.resource import Observed, Scope
from lbctl.model.status import Notice
from lbctl_cloudstack.client import Api, Row
from lbctl_cloudstack.features import Features, read_features
from lbctl_cloudstack.late import LateAddresses, record_of
from lbctl_cloudstack.model import Candidate, Facts, blocked_ports
from lbctl_cloudstack.names import (
    ADDRESS,
    ID_ANNOTATION,
    KEEP_IP_ANNOTATION,
    OWNER_TAG,
    balancer_name,
    balancer_of,
    chosen_annotation,
    is_own,
    is_udp_half,
    read_rule_name,
)
from lbctl_cloudstack.networks import Machine, Matched, Network, choose_network, match_nodes
from lbctl_cloudstack.observe import CHANGING
from lbctl_cloudstack.settings import CloudStackSettings
from lbctl_cloudstack.targets import moving_away, ports_in, staying

CACHE_SECONDS = 600.0
CANDIDATE_SECONDS = 60.0
CLEARED_SECONDS = 30.0
LATE_SECONDS = 60.0


class FactReader:
    """One account's cached facts; safe for several threads."""

    def __init__(self, api: Api, settings: CloudStackSettings, clock: Clock, late: LateAddresses) -> None:
        self._api = api
        self._late = late
        self._settings = settings
        self._clock = clock
        self._lock = threading.RLock()
        self._features: Features | None = None
        self._networks: tuple[float, Mapping[str, Network]] = (0.0, {})
        self._machines: tuple[float, tuple[Machine, ...]] = (0.0, ())
        self._matched: tuple[NodeSet, Matched] | None = None
        self._reserved: dict[str, str] = {}
        self._given_up: dict[Scope, str] = {}
        self._cleared: dict[str, float] = {}
        self._sent: dict[str, float] = {}
        self._candidates_of: dict[Scope, tuple[float, tuple[Candidate, ...]]] = {}

    def read(self, scope: Scope, world: World) -> Facts:
        """The facts for one scope: no call while caches hold, one more for a new address, up to four for a release."""
        features = self.features()
        observed = world.observed.get(scope) or Observed(scope)
        matched = self._match(world)
        here = staying(scope, world)
        is_new = bool(here) and observed.get(ADDRESS) is None
        if not is_new:
            self._candidates_of.pop(scope, None)
        is_over = not here and not moving_away(scope, world)
        late = self._late.seconds_left(observed, world)
        if is_over and late:
            self._wait_for_address(scope, world, late)
        return Facts(
            networks=self.networks(),
            machines=matched.machines,
            notices=matched.notices,
            candidates=self._candidates(scope, world, matched.machines) if is_new else (),
            guests=self._guests(observed, world) if is_over else None,
            gives_up=self._gives_up(observed, world),
            has_idle_timeout=features.has_idle_timeout,
        )

    def features(self) -> Features:
        """What the server can do, asked once; what it does not tell counts as missing."""
        with self._lock:
            if self._features is None:
                self._features = read_features(self._api, self._settings)
            return self._features

    def networks(self) -> Mapping[str, Network]:
        """Guest networks by id."""
        with self._lock:
            read_at, networks = self._networks
            if not networks or self._is_old(read_at):
                rows = self._api.rows("listNetworks", "network", **self._api.scoped())
                networks = {network.id: network for network in map(read_network, rows)}
                self._networks = (self._clock.monotonic(), networks)
            return networks

    def machines(self) -> tuple[Machine, ...]:
        """All virtual machines of the account or project."""
        with self._lock:
            read_at, machines = self._machines
            if not machines or self._is_old(read_at):
                rows = self._api.rows(
                    "listVirtualMachines", "virtualmachine", **self._api.scoped(), details=["min", "nics"]
                )
                machines = tuple(map(read_machine, rows))
                self._machines = (self._clock.monotonic(), machines)
            return machines

    def unmatched(self) -> tuple[Notice, ...]:
        """Why nodes have no machine, as of the last match; makes no call."""
        with self._lock:
            return self._matched[1].notices if self._matched is not None else ()

    def forget_choice(self, ip: str) -> None:
        """Never choose this address again: somebody else was faster."""
        with self._lock:
            self._reserved[ip] = "lost"
            self._candidates_of.clear()

    def _wait_for_address(self, scope: Scope, world: World, seconds: float) -> None:
        """Raise `NotReady` while the address on record has not come, `Conflict` once it has; costs a look a minute."""
        ip = next(filter(None, (record_of(scope, service) for service in world.services.values())))
        found = self._look_up(ipaddress=ip)
        if len(found) == 1 and not found[0].is_free and self._is_unused(found[0], scope):
            raise Conflict(f"{ip}, which was asked for and not answered for, has come")
        message = f"{ip} was asked for, no answer came, and the request may still arrive"
        raise NotReady(message, after_seconds=min(seconds, LATE_SECONDS))

    def _match(self, world: World) -> Matched:
        """The machines of the nodes; the list is read again when it is old, or a node is not in it."""
        with self._lock:
            if self._matched is None or self._matched[0] is not world.nodes or self._is_old(self._machines[0]):
                matched = match_nodes(world.nodes, self.machines())
                if matched.notices and self._machines[0] < self._clock.monotonic():
                    self._machines = (0.0, ())
                    matched = match_nodes(world.nodes, self.machines())
                self._matched = (world.nodes, matched)
            return self._matched[1]

    def _gives_up(self, observed: Observed, world: World) -> bool:
        """True once a scope, when somebody else took a port of the address that we chose and nobody was told of."""
        seen = observed.get(ADDRESS)
        is_told = any(service.status.load_balancer.ingress for service in world.services.values())
        if seen is None or not seen.ours or not is_own(observed.scope) or is_told:
            return False
        wanted = [port for intent in world.intents.values() for port in ports_in(observed.scope, intent, world)]
        if not blocked_ports(wanted, observed):
            return False
        with self._lock:
            return self._given_up.setdefault(observed.scope, seen.outputs["ip"]) == seen.outputs["ip"]

    def _candidates(self, scope: Scope, world: World, machines: tuple[Machine, ...]) -> tuple[Candidate, ...]:
        """The address that is named or on record, as it is now; else a free one, none when none is shown.

        Kept for a minute: while the address is being associated, a scope may be planned several times.
        """
        with self._lock:
            read_at, found = self._candidates_of.get(scope, (0.0, ()))
            if not found or self._clock.monotonic() - read_at > CANDIDATE_SECONDS:
                found = self._find_candidates(scope, world, machines)
                self._candidates_of[scope] = (self._clock.monotonic(), found)
            return found

    def _find_candidates(self, scope: Scope, world: World, machines: tuple[Machine, ...]) -> tuple[Candidate, ...]:
        if not any(record_of(scope, service) for service in world.services.values()):
            self._late.chosen(scope)
        if not is_own(scope):
            return self._look_up(ipaddress=scope.name, is_asked_for=True)
        asked_for = _annotated(world, ID_ANNOTATION)
        if asked_for and not is_udp_half(scope):
            return self._look_up(id=asked_for, is_asked_for=True)
        with self._lock:
            chosen = _annotated(world, chosen_annotation(scope))
            if chosen and self._reserved.get(chosen, scope.name) == scope.name:
                found = self._look_up(ipaddress=chosen)
                if len(found) == 1 and (found[0].is_free or self._is_unused(found[0], scope)):
                    return found
                self._reserved[chosen] = "lost"
            return self._choose_free(scope, self._zone_of(scope, world, machines))

    def _look_up(self, *, is_asked_for: bool = False, **which: str) -> tuple[Candidate, ...]:
        scoped = self._api.scoped()
        try:
            rows = self._api.rows("listPublicIpAddresses", "publicipaddress", **which, allocatedonly=False, **scoped)
        except Conflict:  # no address has this id
            return ()
        if any(row.get("state") in CHANGING for row in rows):
            (ip, *_) = {str(row["ipaddress"]) for row in rows}
            raise NotReady(f"the public address {ip} changes hands", after_seconds=3.0)
        return tuple(replace(read_candidate(row), is_asked_for=is_asked_for) for row in rows)

    def _is_unused(self, candidate: Candidate, scope: Scope) -> bool:
        """True when nothing but this Service's rules is on the address, so that an earlier attempt of ours took it."""
        rows = self._api.rows(
            "listLoadBalancerRules", "loadbalancerrule", publicipid=candidate.id, **self._api.scoped()
        )
        return not candidate.is_reserved and all(_balancer_of(row) == balancer_of(scope) for row in rows)

    def _zone_of(self, scope: Scope, world: World, machines: tuple[Machine, ...]) -> Row:
        """The parameter that leaves out addresses of other zones, which the network cannot have."""
        wanted = next((str((i.options or {})["network_id"]) for i in staying(scope, world)), "")
        network = choose_network(self.networks(), machines, wanted=wanted)
        return {"zoneid": network.zone_id} if network is not None and network.zone_id else {}

    def _choose_free(self, scope: Scope, zone: Row) -> tuple[Candidate, ...]:
        rows = self._api.rows(
            "listPublicIpAddresses",
            "publicipaddress",
            **self._api.scoped(),
            **zone,
            state="Free",
            allocatedonly=False,
            forvirtualnetwork=True,
        )
        free = sorted((c for c in map(read_candidate, rows) if c.is_free), key=lambda c: c.ip)
        free = [c for c in free if self._reserved.get(c.ip, scope.name) == scope.name]
        if not free:
            return ()
        # Two controllers that choose at the same time should not choose the same.
        chosen = free[zlib.crc32(scope.name.encode()) % len(free)]
        self._reserved[chosen.ip] = scope.name
        return (chosen,)

    def _guests(self, observed: Observed, world: World) -> tuple[str, ...] | None:
        """What is on the address and not this scope's, read now; None when it must not be released anyway."""
        seen = observed.get(ADDRESS)
        if seen is None or not seen.ours or any(map(_keeps_address, world.services.values())):
            return None
        address_id = seen.outputs["id"]
        balancers = {balancer_name(owner.uid) for owner in observed.owners() | set(world.services)}
        guests = () if self._is_known(observed, address_id) else self._look_for_guests(address_id, balancers)
        if not guests and any(not rule.ours for rule in observed.of_kind("rule")):
            raise Conflict(f"somebody's rule on {seen.outputs['ip']} is gone since it was last seen")
        return guests

    def _is_known(self, observed: Observed, address_id: str) -> bool:
        """True when no look is due: the release was just sent, or entries of an ACL go first and a look comes after."""
        waits = any(not entry.resource.fields["marked"] for entry in observed.of_kind("acl"))
        return self._is_fresh(self._sent, address_id) or (waits and self._is_fresh(self._cleared, address_id))

    def check_release(self, observed: Observed) -> None:
        """Raise `OwnedByOther` when a release would take along what is not this scope's.

        Costs nothing when that was just looked at to make the plan, else three lists or four. One look is good for one
        release.
        """
        address_id = observed[ADDRESS].outputs["id"]
        if not self._is_fresh(self._cleared, address_id):
            guests = self._look_for_guests(address_id, {balancer_name(owner.uid) for owner in observed.owners()})
            if guests:
                ip = observed[ADDRESS].outputs["ip"]
                message = f"{ip} is not released: it would take along {', '.join(guests)}"
                raise OwnedByOther(message, hint="remove those first, or release the address by hand")
        with self._lock:
            self._cleared.pop(address_id, None)
            self._sent[address_id] = self._clock.monotonic()

    def forget_releases(self) -> None:
        """Look again before anything is said about an address: what was sent may have failed."""
        with self._lock:
            self._sent.clear()

    def _is_fresh(self, times: Mapping[str, float], address_id: str) -> bool:
        with self._lock:
            at = times.get(address_id)
        return at is not None and self._clock.monotonic() - at <= CLEARED_SECONDS

    def _look_for_guests(self, address_id: str, balancers: set[str]) -> tuple[str, ...]:
        rows = self._api.rows("listPublicIpAddresses", "publicipaddress", id=address_id, **self._api.scoped())
        if any(row.get("issourcenat") or row.get("isstaticnat") or row.get("issystem") for row in rows):
            return ("a network's own use",)
        guests = self._other_rules(rows[0], balancers) if rows else ()
        with self._lock:
            self._cleared.pop(address_id, None)
            if not guests:
                self._cleared[address_id] = self._clock.monotonic()
        return guests

    def _other_rules(self, address: Row, balancers: set[str]) -> tuple[str, ...]:
        """By names, not by what is known of the scope: what is still being made for it is no guest."""
        address_id, scoped = str(address["id"]), self._api.scoped()
        rules = self._api.rows("listLoadBalancerRules", "loadbalancerrule", publicipid=address_id, **scoped)
        firewalls: list[Row] = []
        if self._may_have_firewall(address):
            firewalls = self._api.rows("listFirewallRules", "firewallrule", ipaddressid=address_id, **scoped)
        forwardings = self._api.rows("listPortForwardingRules", "portforwardingrule", ipaddressid=address_id, **scoped)
        mine = [row for row in rules if _balancer_of(row) in balancers]
        ports = {int(row["publicport"]) for row in mine}
        others = [f"rule {row['name']}" for row in rules if row not in mine]
        others += [f"firewall rule {row['id']}" for row in firewalls if not _is_filter(row, ports)]
        others += [f"port forwarding {row['id']}" for row in forwardings]
        return tuple(sorted(others))

    def _may_have_firewall(self, address: Row) -> bool:
        """The server refuses firewall rules where the network lacks the service, and older ones in every VPC."""
        if address.get("vpcid"):
            return self.features().may_have_vpc_firewall
        network = self.networks().get(str(address.get("associatednetworkid") or ""))
        return network is None or network.has_firewall

    def _is_old(self, read_at: float) -> bool:
        return self._clock.monotonic() - read_at > CACHE_SECONDS


def read_network(row: Row) -> Network:
    """A network from its row; who balances is decided from its services, never from the offering's name."""
    services = {str(s["name"]): s for s in row.get("service") or ()}
    balancing = services.get("Lb", {})
    providers = [str(p["name"]) for p in balancing.get("provider") or ()]
    return Network(
        id=str(row["id"]),
        name=str(row.get("name", "")),
        offering=str(row.get("networkofferingname", "")),
        kind=str(row.get("type", "")),
        zone_id=str(row.get("zoneid") or ""),
        vpc_id=str(row.get("vpcid") or ""),
        acl_id=str(row.get("aclid") or ""),
        acl_name=str(row.get("aclname") or ""),
        provider=providers[0] if providers else ("unnamed provider" if balancing else ""),
        services=frozenset(services),
        capabilities={str(c["name"]): str(c.get("value", "")) for c in balancing.get("capability") or ()},
        is_routed=bool(row.get("ip4routing")),
    )


def read_machine(row: Row) -> Machine:
    """A machine from its row."""
    return Machine(
        id=str(row["id"]),
        name=str(row.get("name", "")),
        display_name=str(row.get("displayname") or ""),
        state=str(row.get("state", "")),
        networks=frozenset(str(nic["networkid"]) for nic in row.get("nic") or ()),
    )


def read_candidate(row: Row) -> Candidate:
    """An address that may become the scope's, from its row."""
    return Candidate(
        ip=str(row["ipaddress"]),
        id=str(row["id"]),
        state=str(row.get("state", "")),
        network=str(row.get("associatednetworkid") or ""),
        vpc=str(row.get("vpcid") or ""),
        is_source_nat=bool(row.get("issourcenat")),
        is_reserved=bool(row.get("isstaticnat") or row.get("issystem")),
        is_taken_by_us=any(tag.get("key") == OWNER_TAG for tag in row.get("tags") or ()),
    )


def _annotated(world: World, key: str) -> str:
    texts = (service.metadata.annotations.get(key, "").strip() for service in world.services.values())
    return next(filter(None, texts), "")


def _keeps_address(service: Any) -> bool:  # noqa: ANN401 - a Service
    annotations = service.metadata.annotations
    keeps = annotations.get(KEEP_IP_ANNOTATION, "").strip().lower() in {"true", "1", "t"}
    return keeps or annotations.get(DELETION_POLICY, "").strip() == "retain"


def _balancer_of(row: Row) -> str:
    name = read_rule_name(str(row["name"]))
    return name.balancer if name is not None else ""


def _is_filter(row: Row, ports: set[int]) -> bool:
    """True for a firewall rule that only opens the port of one of these rules, and that nobody has tagged."""
    return not row.get("tags") and row.get("startport") == row.get("endport") and row.get("startport") in ports
