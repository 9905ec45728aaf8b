"""The reads behind `snapshot` and `observe`: which lists, in which order, how many.

A snapshot is five lists for the whole project, and one for the members of each pool of this cluster. One scope costs a
list of balancers by name, then the lists that belong to what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from lbctl.clock import Clock
from lbctl.driver import World
from lbctl.model.resource import Identity, Scope
from lbctl.naming import default_balancer_name
from lbctl_openstack import names
from lbctl_openstack.annotations import BALANCER_ID
from lbctl_openstack.client import BALANCING, NETWORK, Client, Json
from lbctl_openstack.groups import GroupReading, ours
from lbctl_openstack.observe import Reading, wanted_balancers

Bodies = tuple[Json, ...]


class Reader:
    """Reads of one account."""

    def __init__(self, client: Client, clock: Clock, *, managed: bool) -> None:
        self._client = client
        self._clock = clock
        self._managed = managed
        self._may_have_groups = True

    def everything(self, world: World) -> Reading:
        """What concerns this cluster in the whole project."""
        started = self._clock.monotonic()
        balancers = tuple(wanted_balancers(self._list("loadbalancers"), world))
        if not balancers:
            return Reading(floating=self._floating(), groups=self._groups(world), read_at=started)
        pools = self._list("pools")
        return Reading(
            balancers=balancers,
            listeners=self._list("listeners"),
            pools=pools,
            monitors=self._list("healthmonitors"),
            members=self._members(pools, balancers),
            floating=self._floating(),
            lost_ports=self._lost_ports(balancers),
            groups=self._groups(world),
            read_at=started,
        )

    def one(self, scope: Scope, world: World) -> Reading:
        """What concerns one scope."""
        started = self._clock.monotonic()
        owners = sorted(i for i in world.services if names.balancer_scope(world.cluster.name, i) == scope)
        balancers = tuple(wanted_balancers(self._candidates(scope, owners, world), world))
        pools = self._of(balancers, "pools")
        return Reading(
            balancers=balancers,
            listeners=self._of(balancers, "listeners"),
            pools=pools,
            monitors=tuple(m for pool in pools if pool.get("healthmonitor_id") for m in self._monitors(pool)),
            members=self._members(pools, balancers),
            floating=self._floating_of(balancers, owners, world),
            lost_ports=self._lost_ports(balancers),
            groups=self._groups(world),
            read_at=started,
        )

    def _candidates(self, scope: Scope, owners: Iterable[Identity], world: World) -> Bodies:
        """Balancers that may be the scope's: by name, by the legacy name, by the id on a Service."""
        found = {body["id"]: body for body in self._list("loadbalancers", name=scope.name)}
        for balancer_id in self._annotated(scope, owners, world):
            if balancer_id not in found:
                reply = self._client.find(BALANCING, f"/lbaas/loadbalancers/{balancer_id}")
                found |= {balancer_id: reply["loadbalancer"]} if reply else {}
        for owner in owners if not found else ():
            legacy = self._list("loadbalancers", name=default_balancer_name(owner.uid))
            found |= {body["id"]: body for body in legacy}
        return tuple(found.values())

    def _annotated(self, scope: Scope, owners: Iterable[Identity], world: World) -> Iterable[str]:
        known = world.observed.get(scope)
        users = {*owners, *(known.owners() if known is not None else ())}
        services = (world.services.get(user) for user in sorted(users))
        ids = (s.metadata.annotations.get(BALANCER_ID, "") for s in services if s is not None)
        return dict.fromkeys(i for i in ids if i)

    def _list(self, kind: str, **params: object) -> Bodies:
        return tuple(self._client.list(BALANCING, f"/lbaas/{kind}", kind, **params))

    def _of(self, balancers: Bodies, kind: str) -> Bodies:
        return tuple(chain.from_iterable(self._list(kind, loadbalancer_id=body["id"]) for body in balancers))

    def _monitors(self, pool: Json) -> Bodies:
        return self._list("healthmonitors", pool_id=pool["id"])

    def _members(self, pools: Bodies, balancers: Bodies) -> Mapping[str, Bodies]:
        ours = {body["id"] for body in balancers}
        return {
            pool["id"]: self._members_of(pool)
            for pool in pools
            if any(parent["id"] in ours for parent in pool.get("loadbalancers") or ())
        }

    def _members_of(self, pool: Json) -> Bodies:
        if not pool.get("members"):
            return ()
        # A pool may go between the two reads, together with its balancer.
        return tuple(self._client.list_children(BALANCING, f"/lbaas/pools/{pool['id']}/members", "members"))

    def _floating(self) -> Bodies:
        return tuple(self._client.list(NETWORK, "/floatingips", "floatingips"))

    def _floating_of(self, balancers: Bodies, owners: Iterable[Identity], world: World) -> Bodies:
        """Those on the VIP ports, and those that name one of the Services, wherever they are."""
        found: dict[str, Json] = {}
        queries: list[dict[str, object]] = [{"port_id": b["vip_port_id"]} for b in balancers if b.get("vip_port_id")]
        queries += [{"description": names.floating_description(world.cluster.name, owner)} for owner in owners]
        for query in queries:
            listed = self._client.list(NETWORK, "/floatingips", "floatingips", **query)
            found |= {body["id"]: body for body in listed}
        return tuple(found.values())

    def _groups(self, world: World) -> GroupReading:
        """Security groups of this cluster; without the setting, only until none is left of earlier times."""
        if not (self._managed or self._may_have_groups):
            return GroupReading()
        groups = ours(self._client.list(NETWORK, "/security-groups", "security_groups"), cluster=world.cluster.name)
        self._may_have_groups = bool(groups)
        ids = [body["id"] for body in groups]
        ports = self._client.list(NETWORK, "/ports", "ports", security_groups=ids) if ids else []
        return GroupReading(groups, tuple(ports))

    def _lost_ports(self, balancers: Bodies) -> frozenset[str]:
        """VIP ports of failed balancers that do not exist: proof that the balancer never was active."""
        failed = (body["vip_port_id"] for body in balancers if body["provisioning_status"] == "ERROR")
        return frozenset(port for port in failed if not (port and self._client.find(NETWORK, f"/ports/{port}")))
