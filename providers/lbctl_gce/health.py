"""How many of a Service's targets Google's health checks find healthy: reads, for `lbctl status --targets`.

The API tells it group by group of a backend service, and instance by instance of a target pool, and in no list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbctl.driver import Health, World
from lbctl.model.resource import Identity, Key, Observed, Scope, Seen
from lbctl_gce.client import Client
from lbctl_gce.errors import ApiError, translated
from lbctl_gce.kinds import (
    BACKEND,
    CLUSTER,
    ENDPOINTS,
    MEMBERS,
    POOL,
    POOL_MEMBERS,
    RULE,
    balancer_scope,
    path_of,
)
from lbctl_gce.observe import group_of
from lbctl_gce.shapes import Json, Links

HEALTHY = "HEALTHY"


@dataclass(frozen=True, slots=True)
class Pulse:
    """Asks for the health of targets of Services that were observed."""

    client: Client
    links: Links
    world: World

    def read(self, identities: Iterable[Identity]) -> dict[Identity, Health]:
        """Services with a balancer; one call for each group of a backend service and for each instance of a pool.

        An instance counts once for each port of the Service, and one that is not checked yet is not healthy.
        """
        found = ((identity, self._of(identity)) for identity in identities)
        return {identity: health for identity, health in found if health is not None}

    def _of(self, identity: Identity) -> Health | None:
        intent = self.world.intents.get(identity)
        own = self._look(balancer_scope(identity))
        rule = next((seen for seen in own.of_kind(RULE) if seen.ours and identity in seen.resource.owners), None)
        if intent is None or rule is None:
            return None
        try:
            states = dict(self._states(str(rule.resource.fields["backend"]), own))
        except ApiError as error:
            raise translated(error, f"asking for the health of {identity.key}'s targets") from None
        ports = len(intent.ports)
        return Health(ports * sum(states.values()), ports * len(states))

    def _states(self, path: str, own: Observed) -> Iterator[tuple[str, bool]]:
        """Instances by name and whether each is healthy."""
        name = path.rpartition("/")[2]
        if "/targetPools/" in path:
            for instance in _members(own.get(Key(POOL_MEMBERS, name)), "instances"):
                reply = self._ask("targetPools.getHealth", Key(POOL, name), {"instance": self.links.full(instance)})
                yield instance.rpartition("/")[2], _reported(reply).get(instance.rpartition("/")[2], False)
            return
        backend = own.get(Key(BACKEND, name)) or self._look(CLUSTER).get(Key(BACKEND, name))
        for group in _members(backend, "backends"):
            yield from dict.fromkeys(self._joined(group, own), False).items()
            reply = self._ask("regionBackendServices.getHealth", Key(BACKEND, name), {"group": self.links.full(group)})
            yield from _reported(reply).items()

    def _joined(self, group: str, own: Observed) -> Iterator[str]:
        """Names of the instances that a group is known to have."""
        key = group_of(group)
        shared = _members(self._look(CLUSTER).get(Key(MEMBERS, key.id)), "instances")
        endpoints = _members(own.get(Key(ENDPOINTS, key.id)), "endpoints")
        return (member.partition(" ")[0].rpartition("/")[2] for member in (*shared, *endpoints))

    def _ask(self, method: str, key: Key, body: Mapping[str, str]) -> Json:
        return self.client.call(method, path_of(key), body=body)

    def _look(self, scope: Scope) -> Observed:
        return self.world.observed.get(scope) or Observed(scope)


def _reported(reply: Json) -> dict[str, bool]:
    """Instances by name; one that is told of more than once is healthy when it is for every rule and family."""
    states: dict[str, bool] = {}
    for entry in reply.get("healthStatus", ()):
        name = entry["instance"].rpartition("/")[2]
        told = {entry[field] for field in ("healthState", "ipv6HealthState") if entry.get(field)}
        states[name] = states.get(name, True) and told == {HEALTHY}
    return states


def _members(seen: Seen | None, field: str) -> list[str]:
    members = seen.resource.fields[field] if seen is not None else frozenset()
    return sorted(map(str, members)) if isinstance(members, frozenset) else []
