"""What one step costs in calls, and in which order they are made. Pure.

A forwarding rule changes hardly at all in place: it is deleted and inserted again. Then its address is first held as a
reserved one and released after the new rule was read back with it, unless the address itself has to change.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from lbctl.driver import Refs, World
from lbctl.model.resource import Desired, Key, Observed, Resource, Seen
from lbctl.plan.actions import Action, Hazard, Plan, Step, Verb
from lbctl.plan.diff import diff
from lbctl.plan.order import build_plan
from lbctl_gce.kinds import (
    ADDRESS,
    BACKEND,
    ENDPOINTS,
    FIREWALL,
    MEMBERS,
    POOL,
    POOL_MEMBERS,
    RULE,
    home_of,
)
from lbctl_gce.names import balancer_name
from lbctl_gce.rules import CUTS, LOGGING, MOVES, RULES
from lbctl_gce.shapes import same_ip

MOST_PER_CHANGE = 1000
MOST_IN_POOL_INSERT = 200
MEMBERSHIP = {
    MEMBERS: ("instances", "addInstances", "removeInstances"),
    POOL_MEMBERS: ("instances", "addInstance", "removeInstance"),
    ENDPOINTS: ("endpoints", "attachNetworkEndpoints", "detachNetworkEndpoints"),
}


def build_actions(desired: Desired, observed: Observed, world: World) -> Plan:
    """The plan for one scope; raises `OwnedByOther` as the differ does."""
    steps = list(diff(desired, observed, rules=RULES, resolve=Refs(observed, world).find))
    steps = [*_with_pointers(steps, desired, observed)]
    moves = list(_moves(steps, desired, observed))
    steps = [*(_with_hazard(step, moves, world) for step in steps)]
    actions = [*_holds(moves, observed), *_calls(steps, desired), *_releases(moves, observed)]
    return build_plan(desired.scope, _linked(actions, steps, moves))


def _with_pointers(steps: list[Step], desired: Desired, observed: Observed) -> Iterator[Step]:
    """The steps, and with a replaced pool or backend service also its forwarding rules: what is used cannot go."""
    replaced = {step.key for step in steps if step.verb is Verb.REPLACE and step.key.kind in (POOL, BACKEND)}
    pointing = {
        key: resource
        for key, resource in desired.resources.items()
        if key.kind == RULE and resource.needs & replaced and observed.get(key) is not None
    }
    for step in steps:
        if step.key not in pointing or step.verb is Verb.REPLACE:
            yield step
    present = {step.key for step in steps if step.verb is Verb.REPLACE}
    for key, resource in pointing.items():
        if key not in present:
            why = "what it points at cannot be changed while it is used"
            yield Step(Verb.REPLACE, key, key.id, (), CUTS, CUTS, why, resource.owners, resource, observed[key])


@dataclass(frozen=True, slots=True)
class Move:
    """A forwarding rule that goes and the one that takes its place; `kept` when the address stays."""

    old: Seen
    new: Resource

    @property
    def kept(self) -> bool:
        """True when the new rule asks for the old one's address."""
        return same_ip(self.old.outputs.get("address"), self.new.fields["address"])

    @property
    def needs_hold(self) -> bool:
        """True when the address has to be reserved meanwhile: it is kept, and nobody else reserves it."""
        return self.kept and not self.new.fields["static"]

    @property
    def holder(self) -> Key:
        """Key of the held address: its rule's name, or the balancer's for external IPv4, whatever its rules' names."""
        fields = self.new.fields
        if fields["scheme"] == "INTERNAL" or fields["family"] == "IPv6":
            return Key(ADDRESS, self.new.key.id)
        (owner,) = self.new.owners
        return Key(ADDRESS, balancer_name(owner.uid))


def _moves(steps: Iterable[Step], desired: Desired, observed: Observed) -> Iterator[Move]:
    """Replaced forwarding rules, and those that go while another of their family comes."""
    wanted = [resource for resource in desired.resources.values() if resource.key.kind == RULE]
    for step in steps:
        if step.key.kind != RULE or step.seen is None or step.verb not in (Verb.REPLACE, Verb.DELETE):
            continue
        family = step.seen.resource.fields["family"]
        new = step.desired or next(
            (r for r in wanted if r.fields["family"] == family and observed.get(r.key) is None), None
        )
        if new is not None:
            yield Move(step.seen, new)


def _with_hazard(step: Step, moves: list[Move], world: World) -> Step:
    """What becomes of the address decides the hazard of a forwarding rule's step, and whether the Service asked."""
    if step.key.kind != RULE or step.seen is None or step.verb not in (Verb.REPLACE, Verb.DELETE):
        return step
    move = next((move for move in moves if move.old.key == step.key), None)
    if move is None:
        asked = not step.owners.isdisjoint(world.intents)
        return replace(step, unasked=Hazard.NONE) if asked else step
    if move.kept:
        return replace(step, hazard=CUTS, unasked=CUTS, why=f"{_reason(step)}: recreated, address kept")
    asked = move.old.resource.fields["scheme"] != move.new.fields["scheme"]
    unasked = Hazard.NONE if asked else max(step.unasked if step.verb is Verb.REPLACE else MOVES, Hazard.NONE)
    return replace(step, hazard=MOVES, unasked=unasked, why=f"{_reason(step)}: recreated, ADDRESS CHANGES")


def _reason(step: Step) -> str:
    return step.why if step.verb is Verb.REPLACE else "another rule takes its place"


def _holds(moves: list[Move], observed: Observed) -> Iterator[Action]:
    for key, (move, *_) in _holders(moves).items():
        held = observed.get(key)
        if held is None or not same_ip(held.resource.fields["address"], move.new.fields["address"]):
            yield _hold(key, move)


def _releases(moves: list[Move], observed: Observed) -> Iterator[Action]:
    return (_release(key, moved) for key, moved in _holders(moves).items() if observed.get(key) is None)


def _holders(moves: list[Move]) -> dict[Key, list[Move]]:
    """Moves by the address that is held for them: two rules may have one."""
    held: dict[Key, list[Move]] = {}
    for move in sorted((move for move in moves if move.needs_hold), key=lambda move: (move.holder, move.new.key)):
        held.setdefault(move.holder, []).append(move)
    return held


def _calls(steps: Iterable[Step], desired: Desired) -> Iterator[Action]:
    listed = list(steps)
    new_pools = {s.key.id for s in listed if s.key.kind == POOL and s.verb in (Verb.CREATE, Verb.REPLACE)}
    for step in listed:
        if step.key.kind == POOL and step.key.id in new_pools:
            yield from _pool(step, desired)
        elif step.key.kind == POOL and step.verb is Verb.UPDATE:
            yield from _other_check(step)
        elif step.key.kind == POOL_MEMBERS and step.key.id in new_pools:
            continue
        elif step.verb is Verb.REPLACE:
            yield from _replacement(step)
        elif step.key.kind in MEMBERSHIP:
            yield from _membership(step)
        else:
            yield _single(step)


def _pool(step: Step, desired: Desired) -> Iterator[Action]:
    """A new pool is made with its first 200 instances; the others join it before anything points at it."""
    members = desired.resources[Key(POOL_MEMBERS, step.key.id)]
    wanted = members.fields["instances"] or frozenset()
    assert isinstance(wanted, frozenset)
    first = tuple(sorted(wanted)[:MOST_IN_POOL_INSERT])
    for action in _replacement(step) if step.verb is Verb.REPLACE else (_single(step),):
        yield replace(action, payload=first) if action.call.endswith(".insert") else action
    present = Seen(Resource(members.key, members.name, {"instances": frozenset(first)}, members.owners))
    if len(first) < len(wanted):
        why = f"a pool is made with {MOST_IN_POOL_INSERT} instances at most"
        yield from _membership(Step(Verb.CREATE, members.key, members.name, why=why, desired=members, seen=present))


def _other_check(step: Step) -> Iterator[Action]:
    """A pool takes one check: the old one goes first, and until the new one is there all instances count as healthy."""
    after: frozenset[str] = frozenset()
    old = step.seen.resource.fields["check"] if step.seen else ""
    if old:
        yield Action(f"unlink {step.key}", "targetPools.removeHealthCheck", (step,), payload=old)
        after = frozenset({f"unlink {step.key}"})
    yield Action(f"{step.verb} {step.key}", "targetPools.addHealthCheck", (step,), after)


def _hold(key: Key, move: Move) -> Action:
    fields = {name: move.new.fields[name] for name in ("address", "scheme", "tier", "description")}
    owners = move.new.owners
    resource = Resource(key, key.id, {**fields, "subnet": move.new.fields["subnet"]}, owners)
    why = f"holds {fields['address']} while the forwarding rule is recreated"
    step = Step(Verb.CREATE, key, key.id, why=why, owners=owners, desired=resource)
    return Action(f"hold {key}", "addresses.insert", (step,))


def _release(key: Key, moves: list[Move]) -> Action:
    new = moves[0].new
    seen = Seen(Resource(key, key.id, {"address": new.fields["address"]}, new.owners))
    why = "the forwarding rule has the address again"
    step = Step(Verb.DELETE, key, key.id, why=why, owners=new.owners, seen=seen)
    made = frozenset(f"{Verb.CREATE} {move.new.key}" for move in moves)
    return Action(f"release {key}", "addresses.delete", (step,), made)


def _replacement(step: Step) -> Iterator[Action]:
    """Delete, then create: an object whose field cannot change."""
    gone = replace(step, verb=Verb.DELETE, desired=None)
    made = replace(step, verb=Verb.CREATE, seen=None, why="takes the place of the one that goes", changes=())
    yield _single(gone)
    yield replace(_single(made), after=frozenset({f"{Verb.DELETE} {step.key}"}))


def _single(step: Step) -> Action:
    verb = {Verb.CREATE: "insert", Verb.UPDATE: "patch", Verb.DELETE: "delete"}[step.verb]
    if step.key.kind == BACKEND and any(change.field in LOGGING for change in step.changes) and verb == "patch":
        verb = "update"  # a patch could neither empty the list of fields, nor take away what only logging may have
    return Action(f"{step.verb} {step.key}", f"{home_of(step.key).collection}.{verb}", (step,))


def _membership(step: Step) -> Iterator[Action]:
    """Calls of at most a thousand members each; who joins comes before who leaves."""
    if step.verb is Verb.DELETE:
        return
    field, add, remove = MEMBERSHIP[step.key.kind]
    new = step.desired.fields[field] if step.desired else None
    old = step.seen.resource.fields[field] if step.seen else frozenset()
    assert isinstance(old, frozenset)
    if not isinstance(new, frozenset):
        return
    before = ""
    for verb, members in ((add, new - old), (remove, old - new)):
        for number, chunk in enumerate(_chunks(sorted(map(str, members)))):
            action = f"{verb} {step.key} {number}" if number else f"{verb} {step.key}"
            call = f"{home_of(step.key).collection}.{verb}"
            yield Action(action, call, (step,), frozenset({before} - {""}), payload=chunk)
            before = action


def _chunks(members: list[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(members), MOST_PER_CHANGE):
        yield tuple(members[start : start + MOST_PER_CHANGE])


def _linked(actions: list[Action], steps: list[Step], moves: list[Move]) -> Iterator[Action]:
    """The order around forwarding rules, which no need of a resource tells."""
    present = {action.id for action in actions}
    rule_gone = {f"{Verb.DELETE} {step.key}" for step in steps if step.key.kind == RULE and step.seen} & present
    rule_made = {f"{Verb.CREATE} {step.key}" for step in steps if step.key.kind == RULE and step.desired} & present
    holds = {f"hold {move.holder}" for move in moves} & present
    opened = {
        f"{Verb.CREATE} {step.key}" for step in steps if step.key.kind == FIREWALL and step.seen is None
    } & present
    shut = {f"{Verb.DELETE} {step.key}" for step in steps if _stops_denying(step)} & present
    turns = _turns(steps)
    for action in actions:
        step = action.steps[0]
        extra: set[str] = set()
        if action.id in rule_gone:
            extra = holds | _made_before(steps, present) | turns.get(action.id, frozenset())
        elif action.id in holds:
            extra = {f"{Verb.DELETE} {step.key}"} & present
        elif step.key.kind == ADDRESS and f"hold {step.key}" not in holds:
            extra = rule_gone | rule_made
        elif step.key.kind == FIREWALL and step.verb is Verb.DELETE:
            extra = rule_gone | opened
        elif step.key.kind == FIREWALL and step.verb is Verb.UPDATE:
            extra = shut
        elif action.id in rule_made or _waits_for_rules(step):
            extra = rule_gone - {later for later, made in turns.items() if action.id in made}
        yield replace(action, after=action.after | (extra - {action.id}))


def _turns(steps: Iterable[Step]) -> dict[str, frozenset[str]]:
    """Deletions of forwarding rules that wait for the making of their fellows of the same family.

    One of two rules is always there, so that only one protocol is cut off at a time, and so that whoever plans again
    half-way sees that there are two. A backend service that has to go or to take another protocol wants all rules gone.
    """
    listed = list(steps)
    if any(s.key.kind == BACKEND and (s.verb is Verb.REPLACE or _waits_for_rules(s)) for s in listed):
        return {}
    made: dict[Hashable, frozenset[str]] = {}
    turns: dict[str, frozenset[str]] = {}
    rules = (s for s in listed if s.key.kind == RULE and s.verb in (Verb.CREATE, Verb.REPLACE))
    for step in sorted(rules, key=lambda step: (step.verb is Verb.REPLACE, step.key)):
        assert step.desired is not None
        family = step.desired.fields["family"]
        before = made.get(family, frozenset())
        if step.verb is Verb.REPLACE and before:
            turns[f"{Verb.DELETE} {step.key}"] = before
        made[family] = before | {f"{Verb.CREATE} {step.key}"}
    return turns


def _stops_denying(step: Step) -> bool:
    """True when a rule goes that denies: rules that had to win against it may lose their priority only then."""
    return step.key.kind == FIREWALL and step.seen is not None and bool(step.seen.resource.fields.get("denied"))


def _made_before(steps: Iterable[Step], present: set[str]) -> set[str]:
    """What a new forwarding rule points at is there before the old one goes, so that the gap is short."""
    made = {f"{Verb.CREATE} {s.key}" for s in steps if s.verb is Verb.CREATE and s.key.kind in (BACKEND, POOL)}
    return made & present


def _waits_for_rules(step: Step) -> bool:
    """True for a backend service that takes another protocol, which it may only while no rule points at it."""
    changes = step.changes if step.verb is Verb.UPDATE and step.key.kind == BACKEND else ()
    return any(change.field == "protocol" for change in changes)
