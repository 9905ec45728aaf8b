"""The cloud's objects -> `Observed`: one bulk snapshot of the cluster, or one scope alone. Reads only.

Cost: one list of load balancers, one list of public addresses a group, one GET of the security group, whatever the
number of Services; with interface pools, one list of scale sets and one of interfaces more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from lbctl.clock import Clock
from lbctl.driver import World
from lbctl.errors import MissingFact
from lbctl.model.resource import Key, Observed, Scope, Seen
from lbctl_azure.account import BALANCER_SCOPE, SECURITY_SCOPE, Account
from lbctl_azure.elements import FRONTEND, RULE
from lbctl_azure.facts import Reads, read_machines
from lbctl_azure.groups import Evidence, read_group
from lbctl_azure.ids import parent_of
from lbctl_azure.links import LINK
from lbctl_azure.membership import read_members
from lbctl_azure.names import uid_name_in
from lbctl_azure.owners import Owners
from lbctl_azure.placement import owner_scope
from lbctl_azure.private_links import read_link
from lbctl_azure.reading import Document, read_balancer, read_public_ip
from lbctl_azure.wish import wishes


class Observer:
    """Reads one account."""

    def __init__(
        self, account: Account, reads: Reads, clock: Clock, node_ranges: Callable[[], tuple[str, ...]]
    ) -> None:
        self._account = account
        self._reads = reads
        self._clock = clock
        self._node_ranges = node_ranges

    def snapshot(self, world: World) -> dict[Scope, Observed]:
        """Everything of the cluster."""
        started = self._clock.monotonic()
        documents = {
            self._account.scope_named(document["name"]): document
            for document in self._reads.list(self._account.config.balancers_group.network("loadBalancers"))
            if self._account.is_ours(document["name"])
        }
        addresses = self._addresses(world)
        seen = self._balancers(documents, addresses, world, started)
        world = replace(world, observed=seen)
        security = self._security(world, started)
        return seen | ({self._account.security: security} if security else {}) | self._members(seen, started)

    def observe(self, scope: Scope, world: World) -> Observed:
        """One scope alone; the security group and the members take what is known of the balancers."""
        started = self._clock.monotonic()
        if scope.kind == SECURITY_SCOPE:
            return self._security(world, started) or Observed(scope, read_at=started)
        if scope.kind == BALANCER_SCOPE:
            document = self._reads.find(self._account.balancer_id(scope))
            documents = {scope: document} if document else {}
            every = self._balancers(documents, self._addresses(world), world, started)
            return every.get(scope, Observed(scope, read_at=started))
        balancers = self.snapshot(world)
        return balancers.get(scope, Observed(scope, read_at=started))

    # -- balancers and addresses ------------------------------------------------------------------------------------

    def _addresses(self, world: World) -> list[dict[str, Any]]:
        groups = {wish.address_group.lower() for wish in wishes(world) if not wish.internal} | {""}
        paths = (self._account.address_group(group).network("publicIPAddresses") for group in sorted(groups))
        distinct = {path.lower(): path for path in reversed(list(paths))}
        return [document for _, path in sorted(distinct.items()) for document in self._list_addresses(path)]

    def _list_addresses(self, path: str) -> list[dict[str, Any]]:
        try:
            return self._reads.list(path)
        except MissingFact:
            return []  # A Service names a group that does not exist: it is told when its address is looked up.

    def _balancers(
        self, documents: Mapping[Scope, Document], addresses: Iterable[Document], world: World, started: float
    ) -> dict[Scope, Observed]:
        addresses = list(addresses)
        told = ((document["name"], document.get("tags") or {}) for document in addresses)
        owners = Owners.of(world).with_strangers(told, self._account.cluster)
        found: dict[Scope, dict[Key, Seen]] = {}
        for scope, document in documents.items():
            found[scope] = {seen.key: seen for seen in read_balancer(document, owners, self._account)}
        attached = _attachments(found)
        for document in addresses:
            seen = read_public_ip(document, owners, self._account)
            scope_of_address = attached.get(seen.key) or self._scope_of_free(seen, world)
            if scope_of_address is not None:
                found.setdefault(scope_of_address, {})[seen.key] = seen
        self._add_links(found, world)
        return {
            scope: Observed(scope, resources, read_at=started, body=documents.get(scope))
            for scope, resources in found.items()
        }

    def _scope_of_free(self, seen: Seen, world: World) -> Scope | None:
        """Where an address without frontend belongs: to the balancer that its Service sits on."""
        if not seen.ours:
            return None
        if "/loadbalancers/" in seen.outputs.get("attached", "").lower():
            return self._account.scope_named(parent_of(parent_of(seen.outputs["attached"])).rpartition("/")[2])
        known = [owner for owner in sorted(seen.resource.owners) if owner in world.intents]
        owner = known[0] if known else next(iter(sorted(seen.resource.owners)), None)
        if owner is None:
            return self._account.scope_of(self._account.primary, internal=False) if _is_own(seen) else None
        return owner_scope(owner, world, self._account)

    def _add_links(self, found: dict[Scope, dict[Key, Seen]], world: World) -> None:
        """Private link services, where there can be any: they need pools of interfaces and frontends of ours."""
        if self._account.config.uses_node_ips:
            return
        frontends = {
            seen.outputs["id"].lower(): (scope, seen)
            for scope, resources in found.items()
            for seen in resources.values()
            if seen.key.kind == FRONTEND and seen.ours
        }
        asked = {wish.private_link.group for wish in wishes(world) if wish.private_link}
        might_be = any(_may_be_linked(seen) for resources in found.values() for seen in resources.values())
        for group in sorted({"", *asked}) if asked or might_be else ():
            name = group or self._account.config.private_link_group
            for document in self._reads.list(self._account.address_group(name).network("privateLinkServices")):
                link = read_link(document, Owners.of(world), self._account)
                scope, frontend = frontends.get(link.outputs.get("frontend", "").lower(), (None, None))
                if scope is not None and frontend is not None:
                    found[scope][Key(LINK, link.key.id)] = link

    # -- the security group and the members -------------------------------------------------------------------------

    def _security(self, world: World, started: float) -> Observed | None:
        path = self._account.config.security_group_id
        document = self._reads.find(path) if path else None
        if document is None:
            return None
        evidence = Evidence(world, self._account, self._node_ranges)
        resources = {seen.key: seen for seen in read_group(document, evidence)}
        return Observed(self._account.security, resources, read_at=started, body=document)

    def _members(self, balancers: Mapping[Scope, Observed], started: float) -> dict[Scope, Observed]:
        if self._account.config.uses_node_ips:
            return {}
        scope = self._account.membership
        machines = read_machines(self._reads, self._account)
        seen = read_members(balancers, machines, self._account)
        resources = {item.key: item for item in seen}
        return {scope: Observed(scope, resources, read_at=started, body=dict(machines.interfaces))}


def _attachments(found: Mapping[Scope, Mapping[Key, Seen]]) -> dict[Key, Scope]:
    return {
        need: scope
        for scope, resources in found.items()
        for seen in resources.values()
        if seen.key.kind == FRONTEND
        for need in seen.resource.needs
    }


def _may_be_linked(seen: Seen) -> bool:
    """True for what a private link can stand before: a private frontend of ours, or a rule without floating IP."""
    fields = seen.resource.fields
    is_private = seen.key.kind == FRONTEND and not fields.get("public_ip")
    return seen.ours and (is_private or (seen.key.kind == RULE and not fields.get("floating_ip")))


def _is_own(seen: Seen) -> bool:
    return bool(uid_name_in(seen.resource.name.rpartition("-a")[2]))
