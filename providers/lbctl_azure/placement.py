"""Which load balancer a Service sits on. Pure.

With one load balancer the answer is in the Service alone; with several (multi-SLB) it also depends on selectors and on
where the Service sits now, so that nothing moves without being asked to.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbctl.driver import World
from lbctl.model.resource import Identity, Observed, Scope
from lbctl_azure.account import Account
from lbctl_azure.elements import RULE
from lbctl_azure.settings import NAMESPACE_NAME, BalancerConfig
from lbctl_azure.wish import Wish


def scope_of(wish: Wish, world: World, account: Account) -> Scope:
    """Scope of the load balancer that the Service sits on, or should."""
    bases = account.bases
    base = bases[0] if len(bases) == 1 else _choose(wish, world, account)
    return account.scope_of(base, internal=wish.internal)


def _choose(wish: Wish, world: World, account: Account) -> str:
    candidates = _eligible(wish, world, account)
    scopes = {account.scope_of(base, internal=wish.internal): base for base in candidates}
    pinned = _balancer_of_pin(wish, world, account)
    if pinned is not None:
        return pinned
    for scope, base in scopes.items():
        observed = world.observed.get(scope)
        if observed is not None and observed.owned_by(wish.identity):
            return base
    known = account.placements.of(wish)
    if known in scopes:
        return scopes[known]
    chosen = min(scopes, key=lambda scope: (*_load(scope, world, account), scopes[scope].lower()))
    account.placements.note(wish, chosen)
    return scopes[chosen]


def _load(scope: Scope, world: World, account: Account) -> tuple[int, int]:
    """Sorts an existing empty balancer first, then one that does not exist, then the one with the fewest rules.

    Rules of Services that were placed there and are not written yet count, as if one had come after the other.
    """
    observed = world.observed.get(scope, Observed(scope))
    rules = sum(1 for _ in observed.of_kind(RULE)) + account.placements.coming(scope, observed.owners())
    if rules:
        return (2, rules)
    return (0, 0) if observed.body else (1, 0)


def _eligible(wish: Wish, world: World, account: Account) -> list[str]:
    entries = [entry for entry in account.config.balancers if _is_listed(entry, wish)]
    used = {entry.name for entry in entries if _sits_on(entry, wish, world, account)}
    entries = [entry for entry in entries if entry.placement or entry.name in used]
    of_namespace = {NAMESPACE_NAME: wish.identity.namespace}
    chosen = [
        entry
        for entry in entries
        if entry.is_selective and entry.services.matches(wish.labels) and entry.namespaces.matches(of_namespace)
    ]
    plain = [entry for entry in entries if not entry.is_selective]
    return [entry.name for entry in (chosen or plain or entries)] or [account.primary]


def _is_listed(entry: BalancerConfig, wish: Wish) -> bool:
    return not wish.configurations or entry.name.lower() in wish.configurations


def _sits_on(entry: BalancerConfig, wish: Wish, world: World, account: Account) -> bool:
    observed = world.observed.get(account.scope_of(entry.name, internal=wish.internal))
    return observed is not None and observed.owned_by(wish.identity)


def _balancer_of_pin(wish: Wish, world: World, account: Account) -> str | None:
    pins = {value.lower() for front in wish.fronts for value in (front.address, front.public_ip) if value}
    for base in account.bases if pins else ():
        observed = world.observed.get(account.scope_of(base, internal=wish.internal))
        if observed is not None and not pins.isdisjoint(_occupied(observed)):
            return base
    return None


def _occupied(observed: Observed) -> Iterable[str]:
    for seen in observed.resources.values():
        yield seen.resource.name.lower()
        yield seen.outputs.get("address", "").lower()


def owner_scope(identity: Identity, world: World, account: Account) -> Scope:
    """Where an unattached address of this Service belongs; the primary public balancer when it asks for none."""
    wish = world.intents.get(identity)
    if isinstance(wish, Wish) and not wish.internal:
        return scope_of(wish, world, account)
    return account.scope_of(account.primary, internal=False)
