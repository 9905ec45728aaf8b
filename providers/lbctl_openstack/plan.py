"""Rules for the differ, which steps share a call, and their order. Pure.

Octavia takes one write at a time for each balancer, so all its actions form one chain. Pool, members and monitor come
before the listener that points to them; a listener that makes room goes before the one that takes its port; pools go
last. A new balancer is one call, and so is its end.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lbctl.driver import World
from lbctl.model.resource import Desired, Identity, Observed, Resource, Seen, State
from lbctl.naming import default_balancer_name
from lbctl.plan.actions import Action, Hazard, Plan, Step, Verb, Wait
from lbctl.plan.diff import diff
from lbctl.plan.order import build_plan
from lbctl.plan.rules import FieldRule, KindRule, Rules
from lbctl_openstack import groups, names
from lbctl_openstack.annotations import ADDRESS, BALANCER_ID, KEEP_FLOATING
from lbctl_openstack.fields import Member


def _whatever(_old: Hashable, _new: Hashable) -> bool:
    return True


def _as_many(old: Hashable, new: Hashable) -> bool:
    return isinstance(old, frozenset) and isinstance(new, frozenset) and len(old) == len(new)


def _holds(old: Hashable, new: Hashable) -> bool:
    return isinstance(old, frozenset) and isinstance(new, frozenset) and new <= old


def _same_balancer(old: Hashable, new: Hashable) -> bool:
    """Children are renamed with their balancer only; a changed index or a name of the user's stays."""
    return names.balancer_part(str(old)) in {"", names.balancer_part(str(new))}


def _no_rename(old: Hashable, new: Hashable) -> bool:
    """A balancer is renamed only from one cluster name to another; a legacy name stays."""
    return old == new or not str(old).startswith(names.SERVICE_PREFIX)


CHILD_NAME = FieldRule(equal=_same_balancer)
AT_CREATION = FieldRule(equal=_whatever)
MOVES = FieldRule(hazard=Hazard.MOVES_ADDRESS, replaces=True)
ASKED = FieldRule(hazard=Hazard.MOVES_ADDRESS, replaces=True, asked=True)

RULES = Rules(
    {
        "balancer": KindRule(
            "balancer",
            {
                "name": FieldRule(equal=_no_rename),
                "uids": AT_CREATION,
                "provider": AT_CREATION,
                "chosen_subnet": AT_CREATION,
                "subnet": MOVES,
                "network": MOVES,
                "port": MOVES,
                "flavor": MOVES,
                "zone": MOVES,
                "address": ASKED,
                "more_subnets": FieldRule(hazard=Hazard.MOVES_ADDRESS, replaces=True, asked=True, equal=_as_many),
            },
            on_delete=Hazard.LOSES_ADDRESS,
        ),
        "listener": KindRule(
            "listener", {"tags": FieldRule(equal=_holds), "name": CHILD_NAME}, on_delete=Hazard.INTERRUPTS
        ),
        "pool": KindRule("pool", {"name": CHILD_NAME}),
        "members": KindRule("members of the pool"),
        "monitor": KindRule("health monitor", {"type": FieldRule(replaces=True), "name": CHILD_NAME}),
        "floating": KindRule(
            "floating IP",
            {"network": AT_CREATION, "subnets": AT_CREATION, "address": ASKED},
            on_delete=Hazard.LOSES_ADDRESS,
        ),
    }
)

CREATE, UPDATE, DELETE = "loadbalancers.create", "loadbalancers.update", "loadbalancers.delete"
REPLACE = "loadbalancers.replace"
ATTACH, KEEP, GIVE_UP = "floatingips.attach", "floatingips.keep", "floatingips.give-up"
ANNOTATE = "service.annotate"
RELEASE = "loadbalancers.release"
ADD_MEMBER, DROP_MEMBER = "members.create", "members.delete"
NEUTRON_KINDS = frozenset({"floating"}) | groups.KINDS
MAKE_GROUP, DROP_GROUP = "security-groups.create", "security-groups.delete"
ADD_RULES, DROP_RULE = "security-group-rules.create", "security-group-rules.delete"
PLACE = "ports.security-groups"

POLL_SECONDS = 2.0
STUCK_SECONDS = 600.0
STUCK_POLL_SECONDS = 60.0
# As often as anything is tried again that waits for a person.
FAILED_POLL_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How this account's Octavia is to be treated, and whether a failed creation may be tried again."""

    cascade: bool = True
    serial: bool = False
    may_recreate: bool = True


def build_actions(desired: Desired, observed: Observed, world: World, manner: Manner) -> Plan:
    """The plan for one scope; raises `OwnedByOther` as the differ does."""
    steps = [_asked(step) for step in diff(desired, observed, rules=RULES)]
    balancing = [step for step in steps if step.key.kind not in NEUTRON_KINDS]
    network = [step for step in steps if step.key.kind in NEUTRON_KINDS]
    seen = observed.get(names.BALANCER_KEY)
    chain = list(_linked(_balancing(balancing, seen, desired, observed, manner)))
    guards = list(_guards([step for step in network if step.key.kind in groups.KINDS]))
    moves = [step for step in network if step.key.kind == "floating"] if _may_have_address(seen) else []
    floating = [action for step in moves for action in _floating(step, world)]
    notes = list(_notes(desired, observed, world))
    leaving = names.BALANCER_KEY not in desired.resources
    waits = [wait] if (wait := _wait(seen, world, leaving=leaving, acts=bool(chain))) else []
    return build_plan(desired.scope, [*guards, *chain, *floating, *notes], waits=waits)


def release_actions(identity: Identity, observed: Observed) -> tuple[Action, ...]:
    """Take our uid tag off and let go of everything that is the Service's; names and descriptions stay upstream's."""
    steps = tuple(
        Step(Verb.RELEASE, key, seen.resource.name, why="it stays without us", owners=seen.resource.owners, seen=seen)
        for key, seen in sorted(observed.resources.items())
        if seen.ours and identity in seen.resource.owners
    )
    return (Action(RELEASE, RELEASE, steps),) if steps else ()


def is_busy(seen: Seen | None) -> bool:
    """True while Octavia accepts no write for the balancer."""
    return seen is not None and seen.state in {State.PENDING, State.DELETING}


def age(seen: Seen, now: datetime) -> float:
    """Seconds since the balancer was last written, as Octavia's clock says."""
    since = seen.outputs.get("since")
    return (now - datetime.fromisoformat(since).replace(tzinfo=UTC)).total_seconds() if since else 0.0


def _may_have_address(seen: Seen | None) -> bool:
    """False for a balancer that failed: its VIP port may not exist."""
    return seen is None or seen.state is not State.FAILED


def _wait(seen: Seen | None, world: World, *, leaving: bool, acts: bool) -> Wait | None:
    """Somebody else's operation, or one of an earlier process, or the operator; our own operations are polled for."""
    if seen is None or not seen.ours:
        return None
    if seen.state is State.FAILED and not (leaving or acts):
        condition = f"balancer {seen.outputs['id']} is in ERROR, which only the operator of OpenStack can mend"
        return Wait(condition, FAILED_POLL_SECONDS)
    if not is_busy(seen) or "flight" in seen.outputs:
        return None
    stuck = age(seen, world.now) > STUCK_SECONDS
    state = seen.outputs["status"]
    return Wait(f"balancer {seen.outputs['id']} is {state}", STUCK_POLL_SECONDS if stuck else POLL_SECONDS)


def _asked(step: Step) -> Step:
    """Floating IPs go only when the Service goes or asks to be internal; a double has never been published."""
    if step.verb is not Verb.DELETE:
        return step
    if step.key.kind == "floating":
        return replace(step, unasked=Hazard.NONE)
    if step.key.kind == names.BALANCER and step.key != names.BALANCER_KEY:
        return replace(step, hazard=Hazard.NONE, unasked=Hazard.NONE, why="another one with our tag is in use")
    return step


# -- Octavia --------------------------------------------------------------------------------------------------------


def _balancing(
    steps: list[Step], seen: Seen | None, desired: Desired, observed: Observed, manner: Manner
) -> Iterator[Action]:
    yield from (_action(DELETE, (step,)) for step in steps if _is_double(step))
    steps = [step for step in steps if not _is_double(step)]
    if is_busy(seen):
        return
    if seen is None:
        yield from _creation(steps, manner)
    elif names.BALANCER_KEY not in desired.resources and seen.ours:
        yield from _end(steps, seen, manner)
    elif seen.state is State.FAILED:
        yield from _second_try(seen, observed, manner)
    else:
        yield from _changes(steps, serial=manner.serial)


def _is_double(step: Step) -> bool:
    return step.key.kind == names.BALANCER and step.key != names.BALANCER_KEY


def _creation(steps: list[Step], manner: Manner) -> Iterator[Action]:
    if not steps:
        return
    if manner.serial:
        yield from (_action(CREATE, (step,)) for step in steps if step.key == names.BALANCER_KEY)
        yield from _changes([step for step in steps if step.key != names.BALANCER_KEY], serial=True)
    elif any(step.key == names.BALANCER_KEY for step in steps):
        yield _action(CREATE, tuple(steps))


def _end(steps: list[Step], seen: Seen, manner: Manner) -> Iterator[Action]:
    whole = _is_ours_alone(seen)
    if whole and (manner.cascade or seen.state is State.FAILED) and not manner.serial:
        yield _action(DELETE, tuple(steps))
        return
    own = tuple(step for step in steps if step.key == names.BALANCER_KEY)
    children = [step for step in steps if step.key != names.BALANCER_KEY]
    yield from _one_after_the_other(children) if whole else _changes(children)
    yield _action(DELETE if whole else UPDATE, own)


def _one_after_the_other(steps: list[Step]) -> Iterator[Action]:
    """Everything of a balancer that goes without a cascade, in upstream's order, which its providers are known to bear.

    Members go with their pool. The order is not that of the needs, so these are left out.
    """
    members = {step.key.id: step for step in steps if step.key.kind == "members"}
    for kind in ("monitor", "pool", "listener"):
        for step in (step for step in steps if step.key.kind == kind):
            extra = (members[step.key.id],) if kind == "pool" and step.key.id in members else ()
            yield _action(f"{PATHS[kind]}.delete", tuple(map(_needless, (step, *extra))))


def _needless(step: Step) -> Step:
    if step.seen is None:
        return step
    bare = replace(step.seen.resource, needs=frozenset())
    return replace(step, seen=replace(step.seen, resource=bare))


def _is_ours_alone(seen: Seen) -> bool:
    """True when the balancer was made for a Service and no other Service, of any cluster, is tagged on it."""
    owners = seen.resource.owners
    tags = {tag for tag in json.loads(seen.outputs["tags"]) if tag.startswith(names.SERVICE_PREFIX)}
    known = seen.resource.fields["tags"]
    assert isinstance(known, frozenset)
    legacy = any(seen.resource.name == default_balancer_name(owner.uid) for owner in owners)
    return (seen.resource.name.startswith(names.SERVICE_PREFIX) or legacy) and tags <= known | {seen.resource.name}


def _second_try(seen: Seen, observed: Observed, manner: Manner) -> Iterator[Action]:
    """A balancer that never was active is made anew; any other one is for the operator to mend."""
    if not (seen.outputs.get("never_active") and manner.may_recreate):
        return
    steps = tuple(
        Step(Verb.DELETE, key, it.resource.name, why="it failed while it was made", owners=it.resource.owners, seen=it)
        for key, it in sorted(observed.resources.items())
        if it.ours and key.kind not in NEUTRON_KINDS
    )
    yield _action(REPLACE, steps)


RANKS = {
    ("balancer", Verb.UPDATE): 0,
    ("pool", Verb.CREATE): 10,
    ("members", Verb.CREATE): 20,
    ("members", Verb.UPDATE): 20,
    ("monitor", Verb.CREATE): 30,
    ("monitor", Verb.REPLACE): 30,
    ("pool", Verb.UPDATE): 40,
    ("monitor", Verb.UPDATE): 40,
    ("monitor", Verb.DELETE): 40,
    ("listener", Verb.DELETE): 50,
    ("listener", Verb.CREATE): 60,
    ("listener", Verb.UPDATE): 60,
    ("pool", Verb.DELETE): 70,
    ("balancer", Verb.REPLACE): 80,
}
RENAMES = {"monitor": 75, "pool": 76, "listener": 77, "balancer": 78}
PATHS = {"listener": "listeners", "pool": "pools", "members": "members", "monitor": "healthmonitors"}


def _changes(steps: list[Step], *, serial: bool = False) -> Iterator[Action]:
    """Changes of a living balancer, in an order in which each prefix serves."""
    leaving = {step.key.id for step in steps if step.key.kind == "pool" and step.verb is Verb.DELETE}
    arriving = {step.key.id for step in steps if step.key.kind == "pool" and step.verb is Verb.CREATE}
    with_pool: dict[str, list[Step]] = {}
    alone: list[Step] = []
    for step in steps:
        if _goes_with_pool(step, leaving, arriving):
            with_pool.setdefault(step.key.id, []).append(step)
        else:
            alone.append(step)
    for step in sorted(map(_unbound, alone), key=lambda step: (_rank(step), step.key)):
        extra = with_pool.get(step.key.id, []) if step.key.kind == "pool" else []
        yield from _one_by_one(step) if serial and step.key.kind == "members" else _calls(step, extra)


def _rank(step: Step) -> int:
    """A rename goes from the monitors up to the balancer, so that one that was cut short goes on where it was."""
    return RENAMES[step.key.kind] if _renames(step) else RANKS[step.key.kind, step.verb]


def _renames(step: Step) -> bool:
    return step.verb is Verb.UPDATE and any(change.field == "name" for change in step.changes)


def _unbound(step: Step) -> Step:
    """A rename without its needs: they ask for the opposite order, and all of them exist."""
    if step.desired is None or not _renames(step):
        return step
    return replace(step, desired=replace(step.desired, needs=frozenset()))


def _goes_with_pool(step: Step, leaving: set[str], arriving: set[str]) -> bool:
    if step.key.kind not in {"members", "monitor"}:
        return False
    if step.verb is Verb.DELETE:
        return step.key.id in leaving
    return step.key.id in arriving and step.desired is not None and step.desired.fields.get("members") == frozenset()


def _calls(step: Step, extra: Iterable[Step]) -> Iterator[Action]:
    if step.key.kind == names.BALANCER and step.verb is Verb.REPLACE:
        # The first half of it; what is gone is made by the next plan.
        yield _action(REPLACE, (replace(step, verb=Verb.DELETE, desired=None),))
    elif step.key.kind == names.BALANCER:
        yield _action(UPDATE, (step,))
    elif step.verb is Verb.REPLACE:
        yield _action(f"{PATHS[step.key.kind]}.delete", (step,))
        yield _action(f"{PATHS[step.key.kind]}.create", (step,))
    elif step.key.kind == "members":
        yield _action("members.put", (step,))
    else:
        yield _action(f"{PATHS[step.key.kind]}.{step.verb}", (step, *extra))


def _one_by_one(step: Step) -> Iterator[Action]:
    """Members for a provider that takes no batch: what goes or changes first, then what comes."""
    old = _members(step.seen.resource if step.seen is not None else None)
    new = _members(step.desired)
    for member in sorted(old - new):
        yield Action(f"{DROP_MEMBER} {step.key.id} {member.place}", DROP_MEMBER, (step,), payload=member)
    for member in sorted(new - old):
        yield Action(f"{ADD_MEMBER} {step.key.id} {member.place}", ADD_MEMBER, (step,), payload=member)


def _members(resource: Resource | None) -> frozenset[Member]:
    members = resource.fields["members"] if resource is not None else frozenset()
    assert isinstance(members, frozenset)
    return members


def _action(call: str, steps: tuple[Step, ...]) -> Action:
    key = steps[0].key.id if steps and steps[0].key.kind != names.BALANCER else ""
    double = steps[0].key.id if steps and _is_double(steps[0]) else ""
    return Action(f"{call} {key or double}".strip(), call, steps)


def _linked(actions: Iterable[Action]) -> Iterator[Action]:
    """Each action after the one before: the balancer takes one write at a time."""
    last = ""
    for action in actions:
        yield replace(action, after=frozenset({last} if last else ()))
        last = action.id


# -- node security groups -------------------------------------------------------------------------------------------


def _guards(steps: list[Step]) -> Iterator[Action]:
    """All new rules of a group are one call; a group that goes takes its rules along."""
    leaving = {step.key.id for step in steps if step.key.kind == groups.GROUP and step.verb is Verb.DELETE}
    for step in steps:
        if step.key.kind == groups.GROUP and step.verb is Verb.DELETE:
            with_it = [s for s in steps if s.key.kind == groups.RULE and s.key.id.partition("/")[0] == step.key.id]
            yield Action(f"{DROP_GROUP} {step.key.id}", DROP_GROUP, (step, *with_it))
        elif step.key.kind == groups.GROUP:
            yield Action(f"{MAKE_GROUP} {step.key.id}", MAKE_GROUP, (step,))
        elif step.key.kind == groups.ATTACHMENT:
            yield Action(f"{PLACE} {step.key.id}", PLACE, (step,))
    yield from _rule_actions([s for s in steps if s.key.kind == groups.RULE], leaving)


def _rule_actions(steps: list[Step], leaving: set[str]) -> Iterator[Action]:
    new: dict[str, list[Step]] = {}
    for step in steps:
        group = step.key.id.partition("/")[0]
        if step.verb is not Verb.DELETE:
            new.setdefault(group, []).append(step)
        elif group not in leaving:
            yield Action(f"{DROP_RULE} {step.key.id}", DROP_RULE, (step,))
    for group, members in sorted(new.items()):
        yield Action(f"{ADD_RULES} {group}", ADD_RULES, tuple(members))


# -- floating IPs and annotations -----------------------------------------------------------------------------------


def _floating(step: Step, world: World) -> Iterator[Action]:
    give_up = Action(f"{GIVE_UP} {step.key.id}".strip(), GIVE_UP, (step,))
    if step.verb is Verb.DELETE:
        yield from _farewell(step, give_up, world)
        return
    after: frozenset[str] = frozenset()
    if step.verb is Verb.REPLACE:
        yield give_up
        after = frozenset({give_up.id})
    yield Action(ATTACH, ATTACH, (step,), after)


def _farewell(step: Step, give_up: Action, world: World) -> Iterator[Action]:
    """A floating IP that is to be kept is marked first, so that nobody takes it for a leftover."""
    if not is_kept(step, world):
        yield give_up
        return
    keep = Action(f"{KEEP} {step.key.id}".strip(), KEEP, (step,))
    yield keep
    yield replace(give_up, after=frozenset({keep.id}))


def is_kept(step: Step, world: World) -> bool:
    """True when a Service of this floating IP says that it is to stay."""
    services = (world.services.get(owner) for owner in step.owners)
    return any(s is not None and s.metadata.annotations.get(KEEP_FLOATING) == "true" for s in services)


def _notes(desired: Desired, observed: Observed, world: World) -> Iterator[Action]:
    """The balancer's id and address on the Services, where upstream writes them."""
    seen = observed.get(names.BALANCER_KEY)
    wanted = desired.resources.get(names.BALANCER_KEY)
    if seen is None or wanted is None or not seen.ours or seen.state is State.DELETING:
        return
    address = published_address(observed, wants_floating=names.FLOATING_KEY in desired.resources)
    notes = {BALANCER_ID: seen.outputs["id"], ADDRESS: address}
    changes: dict[Identity, Mapping[str, str | None]] = {}
    for owner in sorted(wanted.owners):
        service = world.services.get(owner)
        if service is not None and any(service.metadata.annotations.get(k) != v for k, v in notes.items()):
            changes[owner] = notes
    if changes:
        yield Action(ANNOTATE, ANNOTATE, (), annotations=changes)


def published_address(observed: Observed, *, wants_floating: bool) -> str:
    """The address that clients use: the floating IP where one is wanted, else the VIP."""
    seen = observed.get(names.BALANCER_KEY)
    floating = observed.get(names.FLOATING_KEY)
    if floating is not None:
        attached = seen is not None and floating.resource.fields["port"] == seen.outputs["vip_port_id"]
        return floating.outputs["address"] if attached else ""
    return "" if wants_floating or seen is None else seen.outputs["address"]
