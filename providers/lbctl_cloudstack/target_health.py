"""How many targets of single Services the network's balancer finds healthy; read when somebody asks, never cached.

A provider with health check policies reports each member's state with or without a policy; virtual routers report none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lbctl.driver import Health, World
from lbctl.errors import Conflict
from lbctl.model.resource import Identity
from lbctl_cloudstack.client import Api
from lbctl_cloudstack.facts import FactReader
from lbctl_cloudstack.targets import rules_of

HEALTHY = "UP"


def read_health(api: Api, facts: FactReader, identities: Iterable[Identity], world: World) -> dict[Identity, Health]:
    """The health of those Services whose network's provider tells it; one call a rule."""
    found: dict[Identity, Health] = {}
    for identity in identities:
        states = [state for rule_id in _rules(identity, facts, world) for state in _states(api, rule_id)]
        # The server asks the provider once in a while: before that, no member has a state.
        if any(states):
            found[identity] = Health(states.count(HEALTHY), len(states))
    return found


def _rules(identity: Identity, facts: FactReader, world: World) -> Iterator[str]:
    telling = {network.id for network in facts.networks().values() if network.has_health_checks}
    for observed in world.observed.values():
        for rule in rules_of(identity, observed):
            if rule.resource.fields["network"] in telling:
                yield rule.outputs["id"]


def _states(api: Api, rule_id: str) -> list[str]:
    try:
        rows = api.rows("listLoadBalancerRuleInstances", "loadbalancerruleinstance", id=rule_id)
    except Conflict:  # the rule is gone since it was seen
        return []
    return [str(row.get("servicestate") or "").upper() for row in rows]
