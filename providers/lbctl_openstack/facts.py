"""What modelling needs of the cloud beyond our own objects: API version, subnets of nodes, external networks.

Reads, each kept for ten minutes; a Service whose configuration names everything costs none after the version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from lbctl.clock import Clock
from lbctl.errors import MissingFact
from lbctl.model.intent import Intent
from lbctl.model.node import NodeSet
from lbctl.model.objects import Node
from lbctl.model.resource import nothing
from lbctl_openstack.capabilities import Version
from lbctl_openstack.client import BALANCING, NETWORK, SECRETS, Client, Json
from lbctl_openstack.cloudconf import Balancing
from lbctl_openstack.groups import NodePort, node_ports
from lbctl_openstack.part import Facts
from lbctl_openstack.selecting import device_of, matches, secret_path, tag_query
from lbctl_openstack.wish import Wish, needs_floating, needs_node_subnets, wish_of

KEEP_SECONDS = 600.0
DEVICES_A_CALL = 100

T = TypeVar("T")


class Cache:
    """Answers with an age."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[object, tuple[float, Any]] = {}

    def get(self, key: object, read: Callable[[], T]) -> T:
        """The kept answer, or a new one when there is none or it is too old."""
        now = self._clock.monotonic()
        if key in self._kept and now - self._kept[key][0] < KEEP_SECONDS:
            kept: T = self._kept[key][1]
            return kept
        value = read()
        self._kept[key] = (now, value)
        return value


class FactReader:
    """Finds facts out for one account."""

    def __init__(self, client: Client, clock: Clock, balancing: Balancing) -> None:
        self._client = client
        self._managed = balancing.manage_security_groups
        self._has_barbican = balancing.container_store == "barbican"
        self._cache = Cache(clock)
        self._version: Version | None = None

    @property
    def version(self) -> Version:
        """The newest API version of Octavia; asked once in the life of the process."""
        if self._version is None:
            self._version = newest(self._client.root(BALANCING))
        return self._version

    def read(self, intents: Iterable[Intent], nodes: NodeSet, *, floating_exists: bool) -> Facts:
        """The facts that these Services need; `floating_exists` spares the search for an external network."""
        wishes = [(intent, wish_of(intent)) for intent in intents]
        needs_subnets = self._managed or any(needs_node_subnets(intent, wish) for intent, wish in wishes)
        external = ""
        subnets: tuple[str, ...] = ()
        for intent, wish in wishes:
            if not floating_exists and needs_floating(intent, wish):
                external = wish.floating_network_id or self.external_network()
                subnets = self._floating_subnets(external, wish) if external else ()
        ports = node_ports(self._ports(nodes)) if needs_subnets else ()
        return Facts(
            version=self.version,
            subnets={port.address: port.subnet for port in ports},
            ports=ports if self._managed else (),
            cidrs=self._cidrs(ports, wishes) if self._managed else nothing(),
            external=external,
            external_subnets=subnets,
            missing={w.tls_ref: text for _, w in wishes if w.tls_ref and (text := self._missing_secret(w.tls_ref))},
        )

    def external_network(self) -> str:
        """The first external network with an IPv4 subnet; empty when there is none."""
        return self._cache.get("external", self._find_external)

    def subnet(self, subnet_id: str) -> Json:
        """A subnet."""
        path = f"/subnets/{subnet_id}"
        body: Json = self._cache.get(path, lambda: self._client.get(NETWORK, path))["subnet"]
        return body

    def _find_external(self) -> str:
        query = {"router:external": "true"}
        for network in self._client.list(NETWORK, "/networks", "networks", **query):
            found = self._client.list(NETWORK, "/subnets", "subnets", network_id=network["id"], ip_version=4)
            if found:
                return str(network["id"])
        return ""

    def _list_ports(self, devices: list[str]) -> list[Json]:
        ports: list[Json] = []
        for start in range(0, len(devices), DEVICES_A_CALL):
            chunk = devices[start : start + DEVICES_A_CALL]
            ports += self._client.list(NETWORK, "/ports", "ports", device_id=chunk)
        return ports

    def _ports(self, nodes: Iterable[Node]) -> list[Json]:
        devices = sorted(device for node in nodes if (device := device_of(node)))
        return self._cache.get(("ports", tuple(devices)), lambda: self._list_ports(devices))

    def _cidrs(self, ports: Iterable[NodePort], wishes: Iterable[tuple[Intent, Wish]]) -> Mapping[str, str]:
        """The range of each subnet that members may be in."""
        named = {wish.member_subnet_id or wish.subnet_id for _, wish in wishes}
        return {subnet: self.subnet(subnet)["cidr"] for subnet in ({port.subnet for port in ports} | named) - {""}}

    def _floating_subnets(self, network: str, wish: Wish) -> tuple[str, ...]:
        if wish.floating_subnet_id:
            return (wish.floating_subnet_id,)
        if not (wish.floating_subnet or wish.floating_subnet_tags):
            return ()
        query = {"network_id": network, **tag_query(wish.floating_subnet_tags)}
        key = ("subnets", *sorted(query.items()))
        subnets = self._cache.get(key, lambda: self._client.list(NETWORK, "/subnets", "subnets", **query))
        matching = tuple(s["id"] for s in subnets if matches(wish.floating_subnet, s["name"]))
        if not matching:
            wanted = wish.floating_subnet or wish.floating_subnet_tags
            raise MissingFact(f"no floating subnet of network {network} matches {wanted!r}", hint="name another")
        return matching

    def _missing_secret(self, ref: str) -> str:
        path = secret_path(ref) if self._has_barbican else ""
        if not path:
            return ""
        return self._cache.get(path, lambda: "" if self._client.find(SECRETS, path) else f"{ref} does not exist")


def newest(root: Json) -> Version:
    """The newest version of a versions document."""
    found = (re.fullmatch(r"v(\d+)\.(\d+)", entry["id"]) for entry in root.get("versions", ()))
    return max(((int(match[1]), int(match[2])) for match in found if match), default=(2, 0))
