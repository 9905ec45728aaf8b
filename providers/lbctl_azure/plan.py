"""Steps folded into calls: which of them share one, and which have to wait. Pure.

A load balancer and a security group are each written whole, so all steps of all Services share one PUT; public
addresses and private link services are objects of their own. A frontend enters the balancer's document only when its
address is there, so one address that fails holds nobody else back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from lbctl.driver import World
from lbctl.model.resource import Desired, Key, Observed, Scope, Seen, State
from lbctl.plan.actions import Action, Hazard, Plan, Step, Verb, Wait
from lbctl.plan.diff import diff
from lbctl.plan.order import build_plan
from lbctl_azure.account import BALANCER_SCOPE, MEMBERSHIP_SCOPE, PUBLIC_IP, SECURITY_SCOPE, Account
from lbctl_azure.addresses import addresses_of
from lbctl_azure.body import foreign_elements
from lbctl_azure.differences import MUTABLE_TAGS, RULES, gentle
from lbctl_azure.elements import BALANCER, COLLECTIONS, FRONTEND, POOL, PROBE, RULE
from lbctl_azure.groups import GROUP
from lbctl_azure.holding import held_parts, with_moves
from lbctl_azure.links import LINK
from lbctl_azure.membership import plan_members
from lbctl_azure.moving import keeps_address, still_elsewhere, with_arrivals
from lbctl_azure.placement import scope_of
from lbctl_azure.seats import Missing
from lbctl_azure.security import OPENING
from lbctl_azure.wish import Wish

BUSY_SECONDS = 2.0
MOVE_SECONDS = 15.0
MISSING_SECONDS = 60.0
FOR_EVER = float("inf")


def make_plan(desired: Desired, observed: Observed, world: World, account: Account) -> Plan:
    """The plan of one scope."""
    observed = with_arrivals(observed, world, account)
    rules = MUTABLE_TAGS if account.config.mutable_ip_tags else RULES
    steps = tuple(gentle(step) for step in diff(desired, observed, rules=rules))
    plan = FOLDS[desired.scope.kind](steps, observed, world, account)
    missing = {
        problem.message
        for problems in desired.rejected.values()
        for problem in problems
        if isinstance(problem, Missing)
    }
    waits = tuple(Wait(message, MISSING_SECONDS, give_up_after=FOR_EVER) for message in sorted(missing))
    return replace(plan, waits=(*plan.waits, *waits))


# -- the load balancer -------------------------------------------------------------------------------------------------


def _plan_balancer(steps: Iterable[Step], observed: Observed, world: World, account: Account) -> Plan:
    elsewhere = still_elsewhere(observed.scope, world, account)
    steps = with_moves(tuple(steps))
    asked = tuple(_judged(step, world) for step in steps if not _travels(step, observed.scope, world, account))
    moving = [step for step in asked if _is_moving(step, observed.scope, world, account)]
    moving += [step for step in asked if step.key in elsewhere]
    every = _without_shell_deletes(tuple(step for step in asked if step not in moving), observed)
    shell = observed.get(Key(BALANCER, ""))
    waits = (*_waits(observed), *_moves(moving, BUSY_SECONDS if elsewhere else MOVE_SECONDS))
    actions = [*_address_actions(every, observed), *_link_actions(every)]
    if not _is_busy(shell):
        actions += _balancer_actions(every, observed, account, elsewhere)
    return build_plan(observed.scope, actions, waits=waits)


def _judged(step: Step, world: World) -> Step:
    """What the Service itself asks for needs no approval, and an address without a frontend has no traffic to lose."""
    if step.key.kind != PUBLIC_IP or step.seen is None:
        return step
    if step.verb is Verb.REPLACE and not step.seen.outputs.get("attached"):
        return replace(step, hazard=Hazard.NONE, unasked=Hazard.NONE)
    if step.verb is Verb.DELETE and step.owners and all(owner in world.intents for owner in step.owners):
        # Nothing but a change of its own (scheme, address, prefix, group) makes a Service give up its address.
        return replace(step, unasked=Hazard.NONE)
    return step


def _is_moving(step: Step, scope: Scope, world: World, account: Account) -> bool:
    """True for what a Service leaves behind here while it has no address yet on the balancer that it moves to."""
    if step.verb is not Verb.DELETE:
        return False
    wishes = [wish for owner in step.owners if isinstance(wish := world.intents.get(owner), Wish)]
    moved = [wish for wish in wishes if scope_of(wish, world, account) != scope and not keeps_address(wish, scope)]
    return any(len(addresses_of(wish, world, account)) < len(wish.fronts) for wish in moved) or any(
        not found for wish in moved for found in addresses_of(wish, world, account).values()
    )


def _travels(step: Step, scope: Scope, world: World, account: Account) -> bool:
    """True for the removal of an address whose Services took it along to another load balancer."""
    if step.verb is not Verb.DELETE or step.key.kind != PUBLIC_IP or not step.owners:
        return False
    wishes = [world.intents.get(owner) for owner in step.owners]
    return all(
        isinstance(wish, Wish) and keeps_address(wish, scope) and scope_of(wish, world, account) != scope
        for wish in wishes
    )


def _moves(steps: Iterable[Step], seconds: float) -> tuple[Wait, ...]:
    owners = sorted({str(owner) for step in steps for owner in step.owners})
    return (Wait(f"{', '.join(owners)} moves to another load balancer", seconds),) if owners else ()


def _without_shell_deletes(steps: tuple[Step, ...], observed: Observed) -> tuple[Step, ...]:
    """The balancer and its pools stay while anything in it does."""
    deletes = {step.key for step in steps if step.verb is Verb.DELETE}
    if Key(BALANCER, "") not in deletes:
        return steps
    ours = ((COLLECTIONS[key.kind], key.id) for key in deletes if key.kind in COLLECTIONS)
    body = observed.body
    if not foreign_elements(body if isinstance(body, dict) else None, ours):
        return steps
    return tuple(step for step in steps if not (step.verb is Verb.DELETE and step.key.kind in (BALANCER, POOL)))


def _is_busy(seen: Seen | None) -> bool:
    return seen is not None and seen.state in (State.PENDING, State.DELETING)


def _waits(observed: Observed) -> tuple[Wait, ...]:
    """What the cloud still works on, by somebody's earlier request."""
    busy = [seen for seen in observed.resources.values() if seen.ours and _is_busy(seen)]
    return tuple(
        Wait(f"{seen.resource.name} is {seen.state}", BUSY_SECONDS, keys=frozenset({seen.key})) for seen in busy
    )


def _address_actions(steps: tuple[Step, ...], observed: Observed) -> list[Action]:
    actions = []
    for step in steps:
        if step.key.kind != PUBLIC_IP or _is_busy(observed.get(step.key)):
            continue
        if step.verb is Verb.REPLACE:
            actions.append(_replaced_address(step))
        else:
            call = "publicIPAddresses/delete" if step.verb is Verb.DELETE else "publicIPAddresses/write"
            actions.append(Action(f"{step.verb} {step.key.id}", call, (step,)))
    return actions


def _replaced_address(step: Step) -> Action:
    """An address cannot be changed in place: it goes, and comes back with the next plan."""
    detach = frozenset({f"detach {step.key.id}"}) if step.seen and step.seen.outputs.get("attached") else frozenset()
    return Action(f"replace {step.key.id}", "publicIPAddresses/delete", (step,), after=detach)


def _link_actions(steps: tuple[Step, ...]) -> list[Action]:
    return [
        Action(
            f"{step.verb} link {step.key.id}",
            "privateLinkServices/delete" if step.verb is Verb.DELETE else "privateLinkServices/write",
            (step,),
        )
        for step in steps
        if step.key.kind == LINK
    ]


def _balancer_actions(
    steps: tuple[Step, ...], observed: Observed, account: Account, elsewhere: frozenset[Key]
) -> list[Action]:
    parts = [step for step in steps if step.key.kind == BALANCER or step.key.kind in COLLECTIONS]
    if any(step.key.kind == BALANCER and step.verb is Verb.DELETE for step in parts):
        return [Action("delete balancer", "loadBalancers/delete", tuple(parts))]
    held = held_parts(parts, steps)
    actions = _calm_actions([step for step in parts if step.key not in held], steps, observed, account, elsewhere)
    if held:
        # Apart from everybody else's changes, which must not wait for an approval.
        moves = [step for step in parts if step.key in held]
        actions.append(_put(moves, observed, account, id="move", after=frozenset(action.id for action in actions)))
    return actions


def _calm_actions(
    parts: list[Step], steps: tuple[Step, ...], observed: Observed, account: Account, elsewhere: frozenset[Key]
) -> list[Action]:
    replaced = {step.key for step in steps if step.key.kind == PUBLIC_IP and step.verb is Verb.REPLACE}
    ready, waiting = _by_readiness(parts, observed, elsewhere | replaced)
    actions = _writes(ready, observed, account)
    last = _last_frontends(ready, observed)
    if last and actions:
        # A balancer cannot be without frontends: it goes with the last of them, also where Services wait to come.
        return [_delete_with(last, parts, observed)]
    if waiting and _has_frontend(waiting, observed):
        name = "add to balancer" if actions else "write balancer"
        actions.append(_put(waiting, observed, account, id=name, after=frozenset(action.id for action in actions)))
    earlier = frozenset(action.id for action in actions)
    detaching = (_detach(step, observed, account, after=earlier) for step in steps if step.key in replaced)
    return [*actions, *(action for action in detaching if action is not None)]


def _last_frontends(steps: Iterable[Step], observed: Observed) -> list[Step]:
    """The removals of frontends after which none would be left; nothing where one stays or comes."""
    every = list(steps)
    if _has_frontend(every, observed):
        return []
    return [step for step in every if step.key.kind == FRONTEND]


def _has_frontend(steps: Iterable[Step], observed: Observed) -> bool:
    """True when the balancer has a frontend once these steps are done."""
    keys = {seen.key for seen in observed.of_kind(FRONTEND)}
    for step in steps:
        if step.key.kind == FRONTEND:
            (keys.discard if step.verb is Verb.DELETE else keys.add)(step.key)
    return bool(keys)


def _delete_with(last: list[Step], steps: Iterable[Step], observed: Observed) -> Action:
    owners = frozenset(owner for step in last for owner in step.owners)
    removals = [step for step in steps if step.verb is Verb.DELETE]
    named = {step.key for step in removals}
    rest = (seen for seen in observed.resources.values() if seen.key.kind in (BALANCER, POOL) and seen.key not in named)
    why = "it goes with its last frontend"
    shell = (Step(Verb.DELETE, seen.key, seen.resource.name, why=why, owners=owners, seen=seen) for seen in rest)
    return Action("delete balancer", "loadBalancers/delete", (*removals, *shell))


def _writes(steps: list[Step], observed: Observed, account: Account) -> list[Action]:
    """One PUT of the balancer, or of each pool when nothing but members differs."""
    if not steps:
        return []
    if all(_is_membership(step) for step in steps):
        actions: list[Action] = []
        for step in steps:
            # Pools share the balancer's ETag: the second write needs the first one's.
            after = frozenset({actions[-1].id} if actions else ())
            both = (step, _carrier(observed, account))
            actions.append(Action(f"members {step.key.id}", "backendAddressPools/write", both, after))
        return actions
    return [_put(steps, observed, account)]


def _is_membership(step: Step) -> bool:
    return step.key.kind == POOL and step.verb is Verb.UPDATE and {c.field for c in step.changes} == {"addresses"}


def _put(
    steps: list[Step],
    observed: Observed,
    account: Account,
    *,
    id: str = "write balancer",  # noqa: A002 - what an action calls it
    after: frozenset[str] = frozenset(),
) -> Action:
    carried = any(step.key.kind == BALANCER for step in steps)
    every = tuple(steps) if carried else (*steps, _carrier(observed, account))
    return Action(id, "loadBalancers/write", every, after)


def _carrier(observed: Observed, account: Account) -> Step:
    """The balancer itself takes part in every write of it, so that no two writes are under way at once."""
    seen = observed.get(Key(BALANCER, ""))
    name = account.balancer_name(observed.scope)
    return Step(Verb.UPDATE, Key(BALANCER, ""), name, why="its parts change", seen=seen)


def _by_readiness(steps: list[Step], observed: Observed, taken: frozenset[Key]) -> tuple[list[Step], list[Step]]:
    """Steps that can be written now, and those that can once this plan has made their addresses.

    What needs an address that somebody else has to let go of, or that the cloud still works on, is in neither.
    """
    late = _with_dependents(steps, lambda need: need in taken or not _is_usable(observed.get(need)))
    stuck = _with_dependents(steps, lambda need: need in taken or _is_busy(observed.get(need)))
    ready = [step for step in steps if step.key not in late]
    if not observed.body and not any(step.key.kind == FRONTEND for step in ready):
        return [], [step for step in steps if step.key not in stuck]  # A balancer is born with its first frontend.
    return ready, [step for step in steps if step.key in late - stuck]


def _with_dependents(steps: list[Step], lacks: Callable[[Key], bool]) -> set[Key]:
    """Frontends that lack their public address, with the rules on them and what only those rules need."""
    late = {step.key for step in steps if _is_without_address(step, lacks)}
    late |= {step.key for step in steps if step.desired is not None and not late.isdisjoint(step.desired.needs)}
    return late | _unused_yet(steps, late)


def _is_without_address(step: Step, lacks: Callable[[Key], bool]) -> bool:
    if step.key.kind != FRONTEND or step.desired is None:
        return False
    return any(lacks(need) for need in step.desired.needs if need.kind == PUBLIC_IP)


def _unused_yet(steps: list[Step], late: set[Key]) -> set[Key]:
    """New probes and pools that only rules need which have to wait themselves."""
    rules = [step for step in steps if step.key.kind == RULE and step.desired is not None]
    of_late = {need for rule in rules if rule.key in late and rule.desired for need in rule.desired.needs}
    of_ready = {need for rule in rules if rule.key not in late and rule.desired for need in rule.desired.needs}
    born = {step.key for step in steps if step.verb is Verb.CREATE and step.key.kind in (PROBE, POOL)}
    return born & (of_late - of_ready)


def _is_usable(seen: Seen | None) -> bool:
    return seen is not None and seen.state is State.ACTIVE


def _detach(step: Step, observed: Observed, account: Account, *, after: frozenset[str]) -> Action | None:
    """Takes the frontend of a public address that is to be replaced out of the balancer, with all its rules."""
    leaving = {seen.key for seen in observed.of_kind(FRONTEND) if step.key in seen.resource.needs}
    if not leaving:
        return None
    if all(seen.key in leaving for seen in observed.of_kind(FRONTEND)):
        # A balancer cannot be without frontends: it goes too, and comes back with the new address.
        every = [seen for seen in observed.resources.values() if seen.key.kind in COLLECTIONS]
        shell = (_left(seen, step) for seen in (*every, observed[Key(BALANCER, "")]))
        return Action(f"detach {step.key.id}", "loadBalancers/delete", tuple(shell), after)
    parts = [seen for seen in observed.of_kind(RULE) if not leaving.isdisjoint(seen.resource.needs)]
    parts += [seen for seen in observed.of_kind(FRONTEND) if seen.key in leaving]
    steps = (*(_left(seen, step) for seen in parts), _carrier(observed, account))
    return Action(f"detach {step.key.id}", "loadBalancers/write", steps, after)


def _left(seen: Seen, cause: Step) -> Step:
    return Step(
        Verb.DELETE,
        seen.key,
        seen.resource.name,
        hazard=cause.hazard,
        unasked=cause.unasked,
        why="its public address is replaced",
        owners=seen.resource.owners,
        seen=seen,
    )


# -- the security group ------------------------------------------------------------------------------------------------


def _plan_security(steps: Iterable[Step], observed: Observed, _world: World, _account: Account) -> Plan:
    every = _without_shells_in_use(tuple(steps), observed)
    seen = observed.get(Key(GROUP, ""))
    if _is_busy(seen):
        name = seen.resource.name if seen else ""
        return build_plan(observed.scope, (), waits=(Wait(f"security group {name} is being changed", BUSY_SECONDS),))
    if not every:
        return build_plan(observed.scope, ())
    name = seen.resource.name if seen else observed.scope.name
    carrier = Step(Verb.UPDATE, Key(GROUP, ""), name, why="its rules change", seen=seen)
    return build_plan(observed.scope, [Action("write group", "networkSecurityGroups/write", (*every, carrier))])


def _without_shells_in_use(steps: tuple[Step, ...], observed: Observed) -> tuple[Step, ...]:
    """A rule goes with its last opening: those of frozen Services and of strangers keep it."""
    gone = {step.key for step in steps if step.verb is Verb.DELETE}
    used = {need for seen in observed.of_kind(OPENING) if seen.key not in gone for need in seen.resource.needs}
    return tuple(step for step in steps if not (step.verb is Verb.DELETE and step.key in used))


Fold = Callable[[Iterable[Step], Observed, World, Account], Plan]
FOLDS: dict[str, Fold] = {
    BALANCER_SCOPE: _plan_balancer,
    SECURITY_SCOPE: _plan_security,
    MEMBERSHIP_SCOPE: plan_members,
}
