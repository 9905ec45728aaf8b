"""From what is known to a plan for one scope: who is frozen, facts, model, differ, policy.

Reads through the driver's `facts` only; the controller's dry run, `lbctl plan` and every real pass share this path.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from lbctl.annotations import APPROVE
from lbctl.driver import Cluster, World
from lbctl.engine.account import Account
from lbctl.engine.claim import Standing
from lbctl.engine.tracked import Tracked
from lbctl.model.resource import Desired, Identity, Observed, Scope
from lbctl.plan.actions import Plan
from lbctl.plan.policy import Policy, allow


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan together with what it was made from; `full` still holds what the policy held back in its actions."""

    plan: Plan
    full: Plan
    desired: Desired
    observed: Observed
    frozen: frozenset[Identity]


@dataclass(frozen=True, slots=True)
class Approval:
    """Says whether somebody who may edit one of the Services has approved exactly what is held."""

    digests: frozenset[str]

    def __call__(self, plan: Plan) -> bool:
        """True when the digest of the held actions was approved."""
        return plan.held_digest in self.digests


def build_world(account: Account, members: Iterable[Tracked], *, cluster: Cluster, now: datetime) -> World:
    """What the pure stages may look at for these Services."""
    listed = tuple(members)
    return World(
        cluster=cluster,
        now=now,
        nodes=account.nodes.current,
        intents=account.intents(listed),
        services={tracked.identity: tracked.service for tracked in listed},
        slices=account.slices_of(listed),
        pods=dict(account.pods),
        referred=account.references.of(tracked.identity for tracked in listed),
        observed=dict(account.observed),
    )


def plan_scope(
    account: Account,
    scope: Scope,
    *,
    cluster: Cluster,
    policy: Policy,
    now: datetime,
    extra_frozen: frozenset[Identity] = frozenset(),
    approved: frozenset[str] = frozenset(),
) -> Planned:
    """The plan for a scope as it is known now; may read facts. Raises any error of the driver's stages.

    `approved` are digests of held plans that may run besides those that Services name.
    """
    members = account.members(scope)
    observed = account.look(scope)
    frozen = frozen_members(account, scope, members) | extra_frozen
    world = build_world(account, (m for m in members if m.identity not in frozen), cluster=cluster, now=now)
    facts = account.driver.facts(scope, world)
    desired = account.driver.model(scope, world, facts)
    frozen |= frozenset(desired.rejected)
    wanted = desired.frozen_for(frozen, observed)
    full = account.driver.plan(wanted, observed, world)
    leaving = frozenset(m.identity for m in members if m.standing is Standing.LEAVING)
    allowed = allow(full, policy, leaving=leaving, approved=_approval(members, approved))
    return Planned(allowed, full, desired, observed, frozen)


def frozen_members(account: Account, scope: Scope, members: Iterable[Tracked]) -> frozenset[Identity]:
    """Services whose objects in this scope have to stay as they are for now.

    Invalid ones that were never valid in this process, known culprits of a rejection, suspects that a bisection has
    put aside, leaving ones that still have objects in scopes of higher rank, which must go first, and owners that no
    Service is known for: those are orphans, which only `lbctl gc` removes.
    """
    bisection = account.bisections.get(scope)
    aside = bisection.frozen if bisection is not None else frozenset()
    strangers = frozenset(owner for owner in account.look(scope).owners() if owner not in account.services)
    return aside | strangers | frozenset(m.identity for m in members if _is_frozen(account, scope, m))


def _is_frozen(account: Account, scope: Scope, tracked: Tracked) -> bool:
    if tracked.standing is Standing.LEAVING:
        rank = account.rank(scope)
        return any(account.rank(other) > rank for other in account.scopes_with(tracked.identity))
    if tracked.intent is None:
        return True
    culprit = account.culprits.get((scope, tracked.identity))
    return culprit is not None and culprit[0] == tracked.intent


def _approval(members: tuple[Tracked, ...], approved: frozenset[str]) -> Approval:
    digests = {member.service.metadata.annotations.get(APPROVE, "") for member in members} - {""}
    return Approval(approved | digests)
