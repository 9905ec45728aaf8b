"""Node security groups: which rules a Service needs, on which ports, and what the cloud has of them. Pure.

One group a Service, found by its name; rules open the node ports to the balancer's subnet, or to the clients where the
provider keeps their addresses. Only ingress rules are looked at: what Neutron seeds a group with is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import NamedTuple

from lbctl.model.intent import Intent
from lbctl.model.ranges import normalise_cidr
from lbctl.model.resource import Identity, Key, Resource, Scope, Seen
from lbctl_openstack import names
from lbctl_openstack.fields import Json

GROUP, RULE, ATTACHMENT = "group", "rule", "attachment"
KINDS = frozenset({GROUP, RULE, ATTACHMENT})


class NodePort(NamedTuple):
    """A Neutron port of a node, at one of its addresses."""

    id: str
    address: str
    subnet: str


class Rule(NamedTuple):
    """What may come in: `protocol` in Neutron's words, one port, one range."""

    protocol: str
    port: int
    cidr: str

    def __str__(self) -> str:
        return f"{self.protocol} {self.port} from {self.cidr}"

    @property
    def id(self) -> str:
        """Identity of the rule inside its group."""
        return f"{self.protocol}/{self.port}/{self.cidr}"


def node_ports(bodies: Iterable[Json]) -> tuple[NodePort, ...]:
    """Every address of the ports that can have security groups at all."""
    return tuple(
        NodePort(body["id"], fixed["ip_address"], fixed["subnet_id"])
        for body in bodies
        if body.get("port_security_enabled", True)
        for fixed in body["fixed_ips"]
    )


def wanted_rules(intent: Intent, clients: Iterable[str], balancers: Iterable[str]) -> frozenset[Rule]:
    """Node ports open to the ranges that clients are seen to come from, the health port to the balancers' ranges."""
    rules = {Rule(port.protocol.lower(), port.node_port, cidr) for cidr in clients for port in intent.ports}
    rules |= {Rule("tcp", intent.health_port, cidr) for cidr in balancers if intent.health_port}
    return frozenset(rules)


def group_resources(identity: Identity, rules: Iterable[Rule], ports: Iterable[NodePort]) -> Iterator[Resource]:
    """The Service's group, its rules, and its place on the ports of the members."""
    owners = frozenset({identity})
    group = Key(GROUP, identity.uid)
    needs = frozenset({group})
    yield Resource(group, names.group_name(identity), {}, owners)
    for rule in sorted(rules):
        yield Resource(Key(RULE, f"{identity.uid}/{rule.id}"), rule.id, {"rule": rule}, owners, needs)
    for port_id in sorted({port.id for port in ports}):
        yield Resource(attachment_key(identity, port_id), port_id, {"port": port_id}, owners, needs)


def attachment_key(identity: Identity, port_id: str) -> Key:
    """Key of the group's place on a port."""
    return Key(ATTACHMENT, f"{identity.uid}/{port_id}")


def rule_body(rule: Rule, group_id: str) -> Json:
    """A rule as Neutron wants it."""
    return {
        "security_group_id": group_id,
        "direction": "ingress",
        "ethertype": f"IPv{ip_network(rule.cidr).version}",
        "protocol": rule.protocol,
        "port_range_min": rule.port,
        "port_range_max": rule.port,
        "remote_ip_prefix": rule.cidr,
    }


@dataclass(frozen=True, slots=True)
class GroupReading:
    """Security groups of the project, and the ports that have one of ours."""

    groups: tuple[Json, ...] = ()
    ports: tuple[Json, ...] = ()


def ours(groups: Iterable[Json], *, cluster: str) -> tuple[Json, ...]:
    """Groups that bear our kind of name and describe themselves as this cluster's."""
    return tuple(
        body
        for body in groups
        if names.GROUP_NAME.match(body["name"])
        and names.service_of(names.GROUP_TEXT, body.get("description", ""), cluster=cluster)
    )


def observe_groups(
    reading: GroupReading,
    known: Mapping[tuple[str, str], Identity],
    scope_of: Callable[[Identity], Scope],
    *,
    cluster: str,
) -> Iterator[tuple[Scope, Seen]]:
    """All of a cluster's groups with rules and places; a group of a former uid belongs to the Service of today."""
    taken: set[str] = set()
    for body in ours(reading.groups, cluster=cluster):
        named = names.service_of(names.GROUP_TEXT, body["description"], cluster=cluster)
        found = names.GROUP_NAME.match(body["name"])
        assert named is not None
        assert found is not None
        owner = known.get(named, Identity(*named, found["uid"]))
        part = found["uid"] if found["uid"] not in taken else body["id"]
        taken.add(part)
        for seen in _group(body, owner, part, reading.ports):
            yield scope_of(owner), seen


def _group(body: Json, owner: Identity, part: str, ports: Iterable[Json]) -> Iterator[Seen]:
    owners = frozenset({owner})
    group = Key(GROUP, part)
    needs = frozenset({group})
    made = {"created": body.get("created_at") or ""}
    yield Seen(Resource(group, body["name"], {}, owners), {"id": body["id"], **made})
    for rule in body.get("security_group_rules") or ():
        if rule["direction"] == "ingress":
            value = _rule(rule)
            key = Key(RULE, f"{part}/{value.id if value else rule['id']}")
            yield Seen(Resource(key, key.id, {"rule": value}, owners, needs), {"id": rule["id"], **made})
    for port in ports:
        if body["id"] in port["security_groups"]:
            key = Key(ATTACHMENT, f"{part}/{port['id']}")
            outputs = {"id": port["id"], "groups": json.dumps(port["security_groups"]), **made}
            yield Seen(Resource(key, port["id"], {"port": port["id"]}, owners, needs), outputs)


def _rule(body: Json) -> Rule | None:
    """The rule as a value; None when it is none that we would make."""
    prefix, port = body.get("remote_ip_prefix"), body.get("port_range_min")
    if not prefix or port is None or port != body.get("port_range_max"):
        return None
    return Rule(str(body.get("protocol")), port, normalise_cidr(prefix))
