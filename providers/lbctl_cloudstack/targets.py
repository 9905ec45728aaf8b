"""Which scopes a Service belongs to, from the Service and from what is observed. Pure.

A Service that names an address belongs to that address. One that names none belongs to its own scope, unless its rules
are served in another: a Service whose author takes the name back keeps the address that it has. The UDP ports of one
that needs two addresses belong to a scope of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbctl.driver import World
from lbctl.model.intent import Intent, Port
from lbctl.model.objects import Service
from lbctl.model.resource import Identity, Observed, Scope, Seen, State
from lbctl_cloudstack.names import named_scope, own_scope, part_key, udp_scope
from lbctl_cloudstack.parse import is_split, named_address


def scopes_of(intent: Intent, world: World) -> tuple[Scope, ...]:
    """The scopes in which a Service should be served, that of its TCP ports first."""
    first = target_of(intent.identity, world)
    return (first, udp_scope(intent.identity.uid)) if is_split(intent) else (first,)


def ports_in(scope: Scope, intent: Intent, world: World) -> tuple[Port, ...]:
    """The ports of a Service that a scope should serve."""
    scopes = scopes_of(intent, world)
    if scope not in scopes:
        return ()
    if len(scopes) == 1:
        return intent.ports
    protocol = "TCP" if scope == scopes[0] else "UDP"
    return tuple(port for port in intent.ports if port.protocol == protocol)


def target_of(identity: Identity, world: World) -> Scope:
    """The scope of a Service's first address."""
    service = world.services.get(identity)
    named = named_address(service) if service is not None else ""
    if named:
        return named_scope(named)
    own = own_scope(identity.uid)
    if service is None or _holds_rules(world.observed.get(own), identity):
        return own
    former = (named_scope(entry.ip) for entry in service.status.load_balancer.ingress if entry.ip)
    return next((scope for scope in former if _holds_rules(world.observed.get(scope), identity)), own)


def staying(scope: Scope, world: World) -> tuple[Intent, ...]:
    """The Services that should be served in the scope, the oldest first: it keeps a port that two ask for."""
    here = [intent for intent in world.intents.values() if scope in scopes_of(intent, world)]
    return tuple(sorted(here, key=lambda intent: _seniority(intent, world.services.get(intent.identity))))


def moving_away(scope: Scope, world: World) -> frozenset[Identity]:
    """Services that belong elsewhere and are not served there yet, so that what they have here has to stay."""
    away = (intent for intent in world.intents.values() if scope not in scopes_of(intent, world))
    return frozenset(intent.identity for intent in away if not is_served(intent, world))


def nodes_with_endpoints(intent: Intent, world: World) -> frozenset[str] | None:
    """The nodes with a ready endpoint of a Service whose targets they alone shall be; None for every other Service."""
    if not (intent.options or {}).get("local_endpoints"):
        return None
    return frozenset(
        endpoint.node_name
        for piece in world.slices.get(intent.identity, ())
        for endpoint in piece.endpoints or ()
        if endpoint.node_name and endpoint.conditions.ready is not False
    )


def rules_of(identity: Identity, observed: Observed | None) -> Iterator[Seen]:
    """The rules of a Service in a scope."""
    if observed is not None:
        yield from (s for s in observed.of_kind("rule") if s.ours and identity in s.resource.owners)


def is_served(intent: Intent, world: World) -> bool:
    """True when every port has a rule with members, in the scope where it belongs."""
    return all(_is_served_in(scope, intent, world) for scope in scopes_of(intent, world))


def _is_served_in(scope: Scope, intent: Intent, world: World) -> bool:
    observed = world.observed.get(scope)
    if observed is None:
        return False
    ready = {
        seen.resource.fields["port"]
        for seen in rules_of(intent.identity, observed)
        if (members := observed.get(part_key("members", seen.key))) is not None and members.state is State.ACTIVE
    }
    return {port.port for port in ports_in(scope, intent, world)} <= ready


def _holds_rules(observed: Observed | None, identity: Identity) -> bool:
    return next(rules_of(identity, observed), None) is not None


def _seniority(intent: Intent, service: Service | None) -> tuple[str, Identity]:
    created = service.metadata.creation_timestamp if service is not None else None
    return created or "", intent.identity
