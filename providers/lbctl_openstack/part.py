"""One Service's part of a balancer: whether it can be served as it asks, and its resources. Pure; used by `model.py`.

Each port has a listener, a pool, the pool's members, and a monitor where one is wanted. The owner of the balancer also
says what its VIP and its floating IP are like; those who join bring listeners and a tag only.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from lbctl.driver import World
from lbctl.errors import MissingFact
from lbctl.model.intent import Intent, Port
from lbctl.model.objects import Node
from lbctl.model.problem import Problem
from lbctl.model.ranges import served_ranges
from lbctl.model.resource import Identity, Key, Observed, Ref, Resource, Scope, Seen, nothing
from lbctl.model.status import Notice, Severity
from lbctl.naming import default_balancer_name
from lbctl_openstack import names
from lbctl_openstack.addresses import Addressed, addressed, node_addresses
from lbctl_openstack.annotations import BALANCER_ID, NODE_RANGES
from lbctl_openstack.capabilities import (
    ADDITIONAL_VIPS,
    ALLOWED_CIDRS,
    FLAVORS,
    FORWARDED_PROTO,
    HTTP_MONITOR_ON_UDP,
    TAGS,
    TIMEOUTS,
    ZONES,
    Provider,
    Version,
    provider_of,
)
from lbctl_openstack.cloudconf import Balancing
from lbctl_openstack.fields import Member, ranges
from lbctl_openstack.groups import NodePort, Rule, attachment_key, group_resources, wanted_rules
from lbctl_openstack.observe import RIVAL
from lbctl_openstack.wish import Wish, needs_floating

MONITOR_TYPES = {"TCP": "TCP", "UDP": "UDP-CONNECT", "SCTP": "SCTP"}
HEALTH_PATH = "/healthz"
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out; `subnets` is subnet by node address, `networks` network by subnet."""

    version: Version
    ports: tuple[NodePort, ...] = ()
    cidrs: Mapping[str, str] = field(default_factory=nothing, hash=False)
    subnets: Mapping[str, str] = field(default_factory=nothing, hash=False)
    external: str = ""
    external_subnets: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=nothing, hash=False)


def service_tags(balancer: Seen | None) -> frozenset[str]:
    """Every tag of a balancer that stands for a Service, of whatever cluster."""
    tags = json.loads(balancer.outputs["tags"]) if balancer is not None else ()
    return frozenset(tag for tag in tags if tag.startswith(names.SERVICE_PREFIX))


@dataclass(frozen=True, slots=True)
class Part:
    """One Service's resources in the making."""

    intent: Intent
    wish: Wish
    scope: Scope
    observed: Observed
    world: World
    facts: Facts
    balancing: Balancing

    @property
    def identity(self) -> Identity:
        """The Service."""
        return self.intent.identity

    @property
    def name(self) -> str:
        """Name of the Service's own balancer; also its tag."""
        return names.balancer_scope(self.world.cluster.name, self.identity).name

    @property
    def owners(self) -> frozenset[Identity]:
        """The Service as the owner of its resources."""
        return frozenset({self.identity})

    @property
    def provider(self) -> Provider:
        """What the configured provider can do."""
        return provider_of(self.balancing.lb_provider)

    @property
    def balancer(self) -> Seen | None:
        """The balancer as it was observed, or None."""
        return self.observed.get(names.BALANCER_KEY)

    @property
    def is_owner(self) -> bool:
        """True for the Service whose name the balancer bears, or will; also under a former cluster name."""
        if self.balancer is None:
            return True
        name = self.balancer.resource.name
        legacy = default_balancer_name(self.identity.uid)
        return name in {self.name, legacy} or names.is_former_name(name, self.identity)

    # -- may it be served? ------------------------------------------------------------------------------------------

    def problems(self) -> Iterator[Problem]:
        """What keeps the Service from being served, whoever else is there."""
        if self.wish.joins and self.balancer is None:
            path, hint = "load-balancer-id", "name one that exists, or remove the annotation"
            yield Problem(_path(path), f"there is no balancer {self.wish.joins}", hint)
        if named := self.named_instead:
            hint = f"set it back to {self.balancer.outputs['id'] if self.balancer else ''}, or make another Service"
            yield Problem(_path("load-balancer-id"), f"must not change, and names {named} now", hint)
        if self.wish.tls_ref in self.facts.missing:
            hint = "store the certificate in Barbican first"
            yield Problem(_path("default-tls-container-ref"), self.facts.missing[self.wish.tls_ref], hint)
        if not self.served[0]:
            text = f"no range is of the family {' or '.join(self.families)}, so nobody could come"
            yield Problem("spec.loadBalancerSourceRanges", text, "add a range of that family")
        yield from self._range_problems()

    def _range_problems(self) -> Iterator[Problem]:
        """Ranges that leave nobody would take away what serves."""
        nodes = [node for node in self.world.nodes if self.is_selected(node)]
        if self.wish.node_ranges and nodes and not self.targets:
            have = ", ".join([*dict.fromkeys(address for node in nodes for address in node_addresses(node))][:SHOWN])
            text = f"no node has an address of family {self.intent.families[0]} in {', '.join(self.wish.node_ranges)}"
            yield Problem(f"metadata.annotations[{NODE_RANGES}]", text, f"nodes have {have or 'none'}")

    @property
    def named_instead(self) -> str:
        """Another balancer that the Service names although it has one; a mere leftover of an old id is none."""
        if self.balancer is None or self.identity not in self.balancer.resource.owners:
            return ""
        service = self.world.services.get(self.identity)
        named = service.metadata.annotations.get(BALANCER_ID, "") if service is not None else ""
        if named in {"", self.balancer.outputs["id"]}:
            return ""
        others = (seen.get(names.BALANCER_KEY) for scope, seen in self.world.observed.items() if scope != self.scope)
        exists = named == self.balancer.outputs.get(RIVAL) or any(o and o.outputs["id"] == named for o in others)
        return named if exists else ""

    def conflicts(self, seniors: list[Part]) -> Iterator[Problem]:
        """What keeps a Service from joining those that are there already."""
        if self.is_owner:
            return
        yield from self._crowd(seniors)
        yield from self._scheme(seniors)
        yield from self._taken_ports(seniors)

    def _crowd(self, seniors: list[Part]) -> Iterator[Problem]:
        if self.facts.version < TAGS:
            yield Problem(_path("load-balancer-id"), "sharing needs Octavia 2.5 or newer")
        tags = service_tags(self.balancer)
        users = len((tags | {part.name for part in seniors}) - {self.name})
        limit = self.balancing.max_shared_lb
        if self.name not in tags and users + 1 > limit:
            text = f"{users} Services use the balancer already, and max-shared-lb is {limit}"
            yield Problem(_path("load-balancer-id"), text, "raise max-shared-lb in cloud.conf, or use another balancer")

    def _scheme(self, seniors: list[Part]) -> Iterator[Problem]:
        has_floating = self.observed.get(names.FLOATING_KEY) is not None
        if self.wish.internal and has_floating:
            yield Problem(_path("load-balancer-id"), "an internal Service cannot join a balancer with a floating IP")
        has_owner = any(part.is_owner for part in seniors)
        if not (has_floating or self.wish.internal or has_owner) and self.intent.families[0] == "IPv4":
            text = "the balancer has no floating IP, and only its owner may give it one"
            yield Problem(_path("load-balancer-id"), text, "make the Service internal, or attach one to the balancer")

    def _taken_ports(self, seniors: list[Part]) -> Iterator[Problem]:
        taken: dict[Key, object] = {key: part.identity for part in seniors for key in part.listener_keys()}
        for seen in self.observed.of_kind("listener"):
            if self.identity not in seen.resource.owners:
                taken.setdefault(seen.key, next(iter(seen.resource.owners), "somebody else"))
        for key in self.listener_keys():
            if key in taken:
                text = f"{key.id} of the balancer is used by {taken[key]}"
                yield Problem("spec.ports", text, "choose another port")

    def listener_keys(self) -> list[Key]:
        """The listeners that the Service wants."""
        return [self.listener_key(port) for port in self.intent.ports]

    # -- resources --------------------------------------------------------------------------------------------------

    def resources(self) -> Iterator[Resource]:
        """Everything that the Service wants but for the balancer itself."""
        for port in self.intent.ports:
            index = self.wish.position(port.protocol, port.port)
            part = names.pool_id(self.protocol(port), port.port, self.pool_protocol(port))
            pool = Key("pool", part)
            yield Resource(
                self.listener_key(port),
                names.listener_name(index, self.name),
                self.listener(port, Ref(pool)) | {"name": names.listener_name(index, self.name)},
                self.owners,
                frozenset({names.BALANCER_KEY, pool}),
            )
            needs = frozenset({names.BALANCER_KEY})
            name = names.pool_name(index, self.name)
            yield Resource(pool, name, self.pool() | {"name": name}, self.owners, needs)
            members = {"members": self.members(port)}
            yield Resource(Key("members", part), "", members, self.owners, frozenset({pool, *self.attachments}))
            if self.wish.monitor:
                name = names.monitor_name(index, self.name)
                fields = self.monitor(port) | {"name": name}
                yield Resource(Key("monitor", part), name, fields, self.owners, frozenset({pool}))
        if self.wants_floating:
            yield self.floating()
        if self.balancing.manage_security_groups:
            yield from group_resources(self.identity, self.rules(), self.guarded_ports)

    def listener_key(self, port: Port) -> Key:
        """Key of a port's listener."""
        return names.listener_key(self.protocol(port), port.port)

    def protocol(self, port: Port) -> str:
        """Protocol of a port's listener."""
        if port.port not in self.wish.http_ports or port.protocol != "TCP":
            return port.protocol
        return "TERMINATED_HTTPS" if self.wish.tls_ref else "HTTP"

    def pool_protocol(self, port: Port) -> str:
        """Protocol in which a port's members are spoken to."""
        if port.protocol == "TCP" and self.wish.proxy_protocol:
            return self.wish.proxy_protocol
        return "HTTP" if self.protocol(port) in {"HTTP", "TERMINATED_HTTPS"} else port.protocol

    def listener(self, port: Port, pool: Ref) -> dict[str, Hashable]:
        """Fields of a port's listener, as far as API and provider know them."""
        is_http = self.protocol(port) in {"HTTP", "TERMINATED_HTTPS"}
        fields: dict[str, Hashable] = {
            "pool": pool,
            "limit": self.wish.connection_limit,
            "tls": self.wish.tls_ref if self.protocol(port) == "TERMINATED_HTTPS" else "",
        }
        if is_http:
            fields["headers"] = self.headers
        if self.facts.version >= TAGS:
            fields["tags"] = frozenset({self.name})
        if self.wish.timeouts is not None and self.facts.version >= TIMEOUTS:
            fields["timeouts"] = self.wish.timeouts
        if self.provider.allowed_cidrs and self.facts.version >= ALLOWED_CIDRS:
            fields["ranges"] = ranges(self.served[0])
        return fields

    @property
    def headers(self) -> frozenset[str]:
        """The X-Forwarded headers that HTTP listeners add, as far as the API knows them."""
        unknown = {"X-Forwarded-Proto"} if self.facts.version < FORWARDED_PROTO else set()
        return self.wish.headers - unknown

    @property
    def served(self) -> tuple[frozenset[str], frozenset[str]]:
        """Source ranges of the served families, and the others."""
        return served_ranges(self.intent.source_ranges, self.families)

    @property
    def families(self) -> tuple[str, ...]:
        """The families that the balancer serves: the second one only where the API has additional VIPs."""
        return self.intent.families if self.facts.version >= ADDITIONAL_VIPS else self.intent.families[:1]

    def pool(self) -> dict[str, Hashable]:
        """Fields of every pool."""
        persistence = "SOURCE_IP" if self.intent.affinity_seconds is not None else ""
        return {"method": self.wish.method, "persistence": persistence}

    def monitor(self, port: Port) -> dict[str, Hashable]:
        """Fields of the monitor of a port's pool; times in seconds."""
        is_http = self.health_port(port) != 0
        return {
            "type": "HTTP" if is_http else MONITOR_TYPES[port.protocol],
            "delay": self.wish.monitor_delay,
            "timeout": self.wish.monitor_timeout,
            "retries": self.wish.monitor_retries,
            "retries_down": self.wish.monitor_retries_down,
            "path": HEALTH_PATH if is_http else "",
            "codes": "200" if is_http else "",
        }

    def health_port(self, port: Port) -> int:
        """Port of the HTTP check of traffic policy Local; 0 where members are checked at their own port."""
        if not (self.wish.monitor and self.intent.local and self.provider.http_monitors):
            return 0
        if port.protocol == "UDP" and self.facts.version < HTTP_MONITOR_ON_UDP:
            return 0
        return self.intent.health_port

    def members(self, port: Port) -> frozenset[Member]:
        """The members of a port: one for each selected node with an address."""
        health_port = self.health_port(port)
        return frozenset(
            Member(
                self.member_name(node, address, port), address, port.node_port, health_port, self.member_subnet(address)
            )
            for node, address in self.targets
        )

    @property
    def targets(self) -> Addressed:
        """The nodes that are members of each pool, with the address of each."""
        reachable = self.world.nodes.project(addressed(self.intent.families[0], self.wish.node_ranges))
        return tuple((node, address) for node, address in reachable if self.is_selected(node))

    def member_name(self, node: Node, address: str, port: Port) -> str:
        """The node's name, or the longer one that upstream uses where members are made one by one."""
        if self.balancing.provider_requires_serial_api_calls:
            return names.serial_member_name(node.metadata.name, address, port.node_port)
        return node.metadata.name

    def is_selected(self, node: Node) -> bool:
        """True when the node has all labels of the selector; a label without value only has to be there."""
        labels = node.metadata.labels
        return all(key in labels and value in {"", labels[key]} for key, value in self.wish.node_selector)

    def member_subnet(self, address: str) -> str:
        """Subnet of the member at an address; empty when Octavia has to find it out."""
        named = self.wish.member_subnet_id or self.wish.subnet_id
        return named or self.facts.subnets.get(address, "")

    # -- node security groups ---------------------------------------------------------------------------------------

    @property
    def attachments(self) -> Iterator[Key]:
        """The group is on a node's port before the node is a member."""
        if self.balancing.manage_security_groups:
            yield from (attachment_key(self.identity, port.id) for port in self.guarded_ports)

    @property
    def guarded_ports(self) -> tuple[NodePort, ...]:
        """Ports at the addresses of the members."""
        addresses = {address for _, address in self.targets}
        return tuple(port for port in self.facts.ports if port.address in addresses)

    def rules(self) -> frozenset[Rule]:
        """What the security group has to let in."""
        subnets = {self.member_subnet(port.address) for port in self.guarded_ports}
        inside = frozenset(self.facts.cidrs[subnet] for subnet in subnets if subnet in self.facts.cidrs)
        sources = self.served[0] if self.provider.keeps_client_address else inside
        return wanted_rules(self.intent, sources, inside)

    # -- addresses --------------------------------------------------------------------------------------------------

    def vip(self) -> dict[str, Hashable]:
        """What decides about the VIP; most of it is fixed at creation."""
        wish = self.wish
        fields: dict[str, Hashable] = {"provider": self.balancing.lb_provider}
        if wish.flavor_id and self.facts.version >= FLAVORS:
            fields["flavor"] = wish.flavor_id
        if wish.availability_zone and self.facts.version >= ZONES:
            fields["zone"] = wish.availability_zone
        if wish.port_id:
            return {**fields, "port": wish.port_id}
        named = {"subnet": wish.subnet_id, "network": wish.network_id, "address": self.vip_address}
        fields |= {name: value for name, value in named.items() if value}
        if not (wish.subnet_id or wish.network_id):
            fields["chosen_subnet"] = self.chosen_subnet(self.intent.families[0])
        if len(self.families) > 1:
            fields["more_subnets"] = frozenset({self.chosen_subnet(self.families[1])})
        return fields

    @property
    def vip_address(self) -> str:
        """The VIP that the Service asks for: its address when there is no floating IP in front."""
        wanted = self.intent.requested_address
        return wanted if wanted and not needs_floating(self.intent, self.wish) else ""

    def chosen_subnet(self, family: str) -> str:
        """The subnet of the first node's port that has an address of the family."""
        if self.balancer is not None:
            return ""
        for _, address in self.world.nodes.project(addressed(family, self.wish.node_ranges)):
            if address in self.facts.subnets:
                return self.facts.subnets[address]
        hint = "set subnet-id or network-id in cloud.conf, or an annotation"
        raise MissingFact(f"no {family} subnet for the VIP: no node's port tells one", hint=hint)

    @property
    def wants_floating(self) -> bool:
        """True for an owner that is to have a floating IP, and may get one."""
        if not self.is_owner or not needs_floating(self.intent, self.wish):
            return False
        return bool(self.facts.external or self.observed.get(names.FLOATING_KEY))

    def floating(self) -> Resource:
        """The floating IP in front of the VIP."""
        fields: dict[str, Hashable] = {
            "port": Ref(names.BALANCER_KEY, "vip_port_id"),
            "network": self.facts.external,
            "subnets": self.facts.external_subnets,
        }
        if self.intent.requested_address:
            fields["address"] = self.intent.requested_address
        return Resource(names.FLOATING_KEY, self.intent.requested_address, fields, self.owners)

    # -- notices ----------------------------------------------------------------------------------------------------

    def notices(self) -> Iterator[Notice]:
        """What the author should know of limits and changes."""
        if self.balancer is not None and self.is_owner and self.balancer.resource.name.startswith(names.SERVICE_PREFIX):
            former = self.balancer.resource.name
            if former != self.name:
                yield Notice(Severity.NORMAL, "LoadBalancerRename", f"balancer {former} is renamed to {self.name}")
        _, left_out = self.served
        if left_out:
            text = f"ranges of a family that is not served have no effect: {', '.join(sorted(left_out))}"
            yield Notice(Severity.WARNING, "LoadBalancerSourceRangesIgnored", text)
        if not self.wish.internal and self.is_owner and self.intent.families[0] == "IPv6":
            text = "an IPv6 VIP gets no floating IP"
            yield Notice(Severity.NORMAL, "LoadBalancerFloatingIPSkipped", text)
        if self.is_owner and needs_floating(self.intent, self.wish) and not self.wants_floating:
            text = "there is no external network with an IPv4 subnet: the balancer is internal"
            yield Notice(Severity.WARNING, "LoadBalancerForcedInternal", text)


def _path(name: str) -> str:
    return f"metadata.annotations[loadbalancer.openstack.org/{name}]"
