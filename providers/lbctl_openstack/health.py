"""How many members Octavia's health monitors find up. Reads: one status tree a balancer, whatever its pools."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from lbctl.driver import Health, World
from lbctl.model.resource import Identity, Key, Observed
from lbctl_openstack import names
from lbctl_openstack.client import BALANCING, Client, Json

# Octavia's operating status of a member; NO_MONITOR and what is new are not known.
WORDS = {
    "ONLINE": "healthy",
    "DEGRADED": "unhealthy",
    "ERROR": "unhealthy",
    "OFFLINE": "unhealthy",
    "DRAINING": "draining",
}
UNKNOWN = "unknown"


def word_of(member: Json) -> str:
    """Our word for a member's operating status."""
    return WORDS.get(str(member.get("operating_status", "")), UNKNOWN)


def read_health(client: Client, identities: Iterable[Identity], world: World) -> Mapping[Identity, Health]:
    """The members of each Service whose pools have monitors; without one Octavia knows nothing, and so do we.

    One call for each balancer that one of the Services uses.
    """
    asked = set(identities)
    told: dict[Identity, Health] = {}
    for observed in world.observed.values():
        pools = {owner: ids for owner, ids in _monitored_pools(observed).items() if owner in asked}
        if pools:
            members = _members(client, observed[names.BALANCER_KEY].outputs["id"])
            told |= {
                owner: _health(word for pool in ids for word in members.get(pool, ())) for owner, ids in pools.items()
            }
    return told


def _monitored_pools(observed: Observed) -> Mapping[Identity, list[str]]:
    """Ids of the pools with a monitor, by the Service that they belong to."""
    pools: dict[Identity, list[str]] = defaultdict(list)
    for seen in observed.of_kind("pool"):
        if Key("monitor", seen.key.id) in observed.resources:
            for owner in seen.resource.owners:
                pools[owner].append(seen.outputs["id"])
    return pools


def _members(client: Client, balancer: str) -> Mapping[str, list[str]]:
    """Our words for the members of each pool of a balancer; nothing for a balancer that went meanwhile."""
    reply = client.find(BALANCING, f"/lbaas/loadbalancers/{balancer}/status")
    listeners = reply["statuses"]["loadbalancer"].get("listeners", ()) if reply else ()
    pools = (pool for listener in listeners for pool in listener.get("pools", ()))
    return {pool["id"]: [word_of(member) for member in pool.get("members", ())] for pool in pools}


def _health(words: Iterable[str]) -> Health:
    counted = [word for word in words if word != "draining"]
    return Health(counted.count("healthy"), len(counted))
