"""Rules for the differ, and which steps share a call. Pure.

Order: the address, then per port rule, filter, members; tags last. What goes: members with their rule, filters before
it, the address last; when the whole address goes, one release takes rules and firewall rules along.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from lbctl.driver import World
from lbctl.model.resource import Desired, Identity, Key, Observed, Resource, Seen, State
from lbctl.plan.actions import Action, Change, Hazard, Plan, Step, Verb, Wait
from lbctl.plan.diff import diff
from lbctl.plan.order import build_plan
from lbctl.plan.rules import FieldRule, KindRule, Rules
from lbctl_cloudstack.names import ADDRESS, ASSOCIATED_ANNOTATION, CHOSEN_ANNOTATION, is_own, part_key
from lbctl_cloudstack.observe import cidrs_of
from lbctl_cloudstack.parse import ALL

RECREATES = FieldRule(hazard=Hazard.INTERRUPTS, replaces=True)
EVERYBODY = frozenset({ALL})
WAIT_SECONDS = 3.0

RULES = Rules(
    {
        "address": KindRule("address", on_delete=Hazard.LOSES_ADDRESS),
        "rule": KindRule(
            "rule",
            {
                "private_port": RECREATES,
                # A changed protocol is stored at once, and served only after the next change of another kind.
                "protocol": RECREATES,
                "network": RECREATES,
                "address": RECREATES,
                "state": RECREATES,
            },
            on_delete=Hazard.INTERRUPTS,
        ),
        "firewall": KindRule("firewall rule", {"protocol": RECREATES}),
        "acl": KindRule("ACL entry", {"protocol": RECREATES, "acl": RECREATES}),
        "stickiness": KindRule("stickiness policy"),
        "health": KindRule("health check policy"),
        "members": KindRule("members", on_delete=Hazard.INTERRUPTS),
    }
)

ASSOCIATE, RELEASE, TAG, UNTAG = "associateIpAddress", "disassociateIpAddress", "createTags", "deleteTags"
CREATE_RULE, UPDATE_RULE, DELETE_RULE = "createLoadBalancerRule", "updateLoadBalancerRule", "deleteLoadBalancerRule"
ASSIGN, REMOVE = "assignToLoadBalancerRule", "removeFromLoadBalancerRule"
OPEN, CLOSE = "createFirewallRule", "deleteFirewallRule"
ALLOW, DISALLOW = "createNetworkACL", "deleteNetworkACL"
POLICIES = {
    "stickiness": ("createLBStickinessPolicy", "deleteLBStickinessPolicy"),
    "health": ("createLBHealthCheckPolicy", "deleteLBHealthCheckPolicy"),
}
REMEMBER, USE, LET_GO = "remember the address", "use the address", "let the address go"


@dataclass(frozen=True, slots=True)
class Part:
    """What a call changes of its step: machines, CIDRs or the id of the object to delete."""

    machines: frozenset[str] = frozenset()
    cidrs: frozenset[str] = frozenset()
    id: str = ""
    opens_firewall: bool = False


def build_actions(
    desired: Desired, observed: Observed, world: World, *, updates_cidrs: bool, tags: bool = True
) -> Plan:
    """The plan for one scope; raises `OwnedByOther` as the differ does."""
    address = observed.get(ADDRESS)
    if address is not None and address.state is State.PENDING:
        return build_plan(desired.scope, (), waits=(Wait(f"{address.outputs['ip']} changes hands", WAIT_SECONDS),))
    steps = tuple(_settled(step, updates_cidrs=updates_cidrs) for step in diff(desired, observed, rules=RULES))
    return build_plan(desired.scope, _Folding(steps, observed, world, tags=tags).actions())


def release_actions(identity: Identity, observed: Observed) -> tuple[Action, ...]:
    """Take our marks off the address and the rules, so that they stay without us."""
    mine = [seen for _, seen in sorted(observed.resources.items()) if identity in seen.resource.owners]
    actions = []
    for seen in (s for s in mine if s.key.kind == "rule"):
        parts = [s for s in mine if s.key.id == seen.key.id]
        actions.append(Action(f"let-go {seen.key.id}", UPDATE_RULE, tuple(map(_letting_go, parts))))
    actions += [Action("let-go", _untag(seen), (_letting_go(seen),)) for seen in mine if seen.key == ADDRESS]
    return tuple(actions)


def _letting_go(seen: Seen) -> Step:
    owners = seen.resource.owners
    return Step(Verb.RELEASE, seen.key, seen.resource.name, why="it stays without us", owners=owners, seen=seen)


def _untag(seen: Seen | None) -> str:
    return UNTAG if seen is not None and seen.outputs.get("tags") else LET_GO


def _settled(step: Step, *, updates_cidrs: bool) -> Step:
    """A step as the server can do it: several sources cannot be changed in place everywhere."""
    if step.key == ADDRESS and step.verb is Verb.DELETE:
        # It goes only when no Service asks for it and nobody else is on it, which its Service's end has asked for.
        return replace(step, unasked=Hazard.NONE)
    change = next((c for c in step.changes if c.field == "cidrs"), None)
    if step.key.kind != "rule" or step.verb is not Verb.UPDATE or change is None:
        return step
    in_place = updates_cidrs and isinstance(change.new, frozenset) and len(change.new) == 1
    if in_place:
        return step
    why = "its sources cannot be changed in place on this server"
    return replace(step, verb=Verb.REPLACE, hazard=Hazard.INTERRUPTS, unasked=Hazard.NONE, why=why)


class _Folding:
    def __init__(self, steps: tuple[Step, ...], observed: Observed, world: World, *, tags: bool) -> None:
        self._tags_wanted = tags
        self._steps = {step.key: step for step in steps}
        self._observed = observed
        self._world = world
        self._scope = observed.scope

    def actions(self) -> Iterator[Action]:
        address = self._steps.get(ADDRESS)
        if address is not None and address.verb is Verb.DELETE:
            yield from self._release(address)
            return
        yield from self._address(address)
        for key in sorted(key for key in self._steps if key.kind == "rule"):
            yield from self._rule(self._steps[key])
        for kind, fold in (("firewall", self._firewall), ("acl", self._acl)):
            for key in self._keys(kind):
                yield from fold(self._steps[key])
        for kind in POLICIES:
            for key in self._keys(kind):
                yield from self._policy(self._steps[key])
        for key in self._keys("members"):
            yield from self._members(self._steps[key])
        yield from self._tags()

    def _keys(self, kind: str) -> list[Key]:
        return sorted(key for key in self._steps if key.kind == kind)

    def _release(self, address: Step) -> Iterator[Action]:
        """One call for everything on the address; entries of an ACL are not on it and go before."""
        rest = [step for key, step in sorted(self._steps.items()) if key.kind not in ("acl", "address")]
        closed = [action for key in self._keys("acl") for action in self._acl(self._steps[key])]
        yield from closed
        away = [step for step in rest if "@" in step.key.id]
        yield from (Action(f"{DELETE_RULE} {s.key.id}", DELETE_RULE, (s,)) for s in away if s.key.kind == "rule")
        steps = (address, *(step for step in rest if "@" not in step.key.id))
        yield Action(RELEASE, RELEASE, steps, after=frozenset(action.id for action in closed))

    def _address(self, step: Step | None) -> Iterator[Action]:
        if step is None:
            yield from self._adopt_address()
        elif step.verb is Verb.CREATE:
            yield from self._associate(step)
        elif any(change.field == "let_go" for change in step.changes):
            yield Action("let-go", _untag(step.seen), (step,))
        elif any(change.field == "tagged" for change in step.changes):
            yield Action(f"{TAG} address", TAG, (step,))

    def _adopt_address(self) -> Iterator[Action]:
        """An adopted address gets its tags before the first rule of upstream's, which proves it ours, is made anew."""
        seen = self._observed.get(ADDRESS)
        if seen is None or not seen.ours or seen.outputs.get("tags") or not self._tags_wanted:
            return
        makes = (s for s in self._steps.values() if s.key.kind == "rule" and s.verb in (Verb.CREATE, Verb.REPLACE))
        if any(makes) and "tagged" in seen.resource.fields:
            change = Change("tagged", old=False, new=True)
            key, owners = part_key("tags", ADDRESS), seen.resource.owners
            step = Step(Verb.UPDATE, key, changes=(change,), why="adopted", owners=owners)
            yield Action(f"{TAG} address", TAG, (step,))

    def _associate(self, step: Step) -> Iterator[Action]:
        """The choice is written to the Service first: after a crash the same address is taken, not a second one."""
        assert step.desired is not None
        fields = step.desired.fields
        step = replace(step, owners=frozenset(self._world.intents))
        if fields["id"]:
            yield Action(USE, USE, (step,))
            return
        key, value = (CHOSEN_ANNOTATION, str(fields["ip"])) if is_own(self._scope) else (ASSOCIATED_ANNOTATION, "true")
        news = {
            identity: {key: value}
            for identity, service in self._world.services.items()
            if value and identity in self._world.intents and service.metadata.annotations.get(key) != value
        }
        if news:
            yield Action(REMEMBER, REMEMBER, (), annotations=news)
        yield Action(ASSOCIATE, ASSOCIATE, (step,), after=frozenset({REMEMBER} if news else ()))
        if self._tags_wanted:
            yield Action(f"{TAG} address", TAG, (_tagging(step),))

    def _rule(self, step: Step) -> Iterator[Action]:
        port = step.key.id
        if step.verb is Verb.REPLACE:
            yield from self._close_all(step)
        if step.verb in (Verb.DELETE, Verb.REPLACE):
            goes = tuple(self._steps[key] for key in self._goes_with(step) if key in self._steps)
            gone = replace(step, verb=Verb.DELETE, desired=None, changes=()) if step.verb is Verb.REPLACE else step
            yield Action(f"{DELETE_RULE} {port}", DELETE_RULE, (gone, *(s for s in goes if s.verb is Verb.DELETE)))
        if step.verb in (Verb.CREATE, Verb.REPLACE):
            yield self._create_rule(step)
        if step.verb is Verb.UPDATE and any(c.field != "tagged" for c in step.changes):
            yield Action(f"{UPDATE_RULE} {port}", UPDATE_RULE, (step,))

    def _close_all(self, rule: Step) -> Iterator[Action]:
        """Firewall rules that may or may not go with their rule go before it, so that none is left unseen."""
        seen = self._observed.get(part_key("firewall", rule.key))
        if seen is None or not seen.outputs:
            return
        step = Step(Verb.DELETE, seen.key, seen.resource.name, owners=seen.resource.owners, why=rule.why, seen=seen)
        yield from _in_turn(
            Action(f"{CLOSE} {rule.key.id} {rule_id}", CLOSE, (step,), payload=Part(id=rule_id))
            for rule_id in sorted(seen.outputs)
        )

    def _create_rule(self, step: Step) -> Action:
        port = step.key.id
        after = frozenset({f"{DELETE_RULE} {port}"}) if step.verb is Verb.REPLACE else frozenset()
        firewall = self._steps.get(part_key("firewall", step.key))
        made = replace(step, verb=Verb.CREATE, seen=None)
        if firewall is not None and _may_open(step, firewall):
            return Action(f"{CREATE_RULE} {port}", CREATE_RULE, (made, firewall), after, Part(opens_firewall=True))
        return Action(f"{CREATE_RULE} {port}", CREATE_RULE, (made,), after, Part())

    def _goes_with(self, step: Step) -> Iterator[Key]:
        """What disappears with a rule without a call of its own."""
        yield part_key("members", step.key)
        yield from (part_key(kind, step.key) for kind in POLICIES)
        firewall = self._observed.get(part_key("firewall", step.key))
        if firewall is not None and not firewall.outputs:
            yield firewall.key

    def _is_with_rule(self, step: Step) -> bool:
        rule = self._steps.get(part_key("rule", step.key))
        if rule is None:
            return False
        if rule.verb is Verb.REPLACE and step.seen is not None:
            # What the old rule had is settled once it is gone: by the plan that is made after that.
            return True
        if rule.verb is Verb.DELETE and step.verb is Verb.DELETE:
            return step.key in set(self._goes_with(rule))
        return step.key.kind == "firewall" and rule.verb in (Verb.CREATE, Verb.REPLACE) and _may_open(rule, step)

    def _firewall(self, step: Step) -> Iterator[Action]:
        """Open first, close last; a rule that also lets in who shall stay is made again with the rest."""
        if self._is_with_rule(step):
            return
        old, new = _cidrs(step, old=True), frozenset() if _moves_list(step) else _cidrs(step, old=False)
        parts = [(key, cidrs_of(text)) for key, text in sorted(step.seen.outputs.items())] if step.seen else []
        if step.seen is not None and not parts:
            # Opened together with its rule, so its id was never told: this action only brings about a new look.
            yield Action(f"{CLOSE} {step.key.id}", CLOSE, (step,), payload=Part(cidrs=old))
            return
        yield from _in_turn(_firewall_actions(step, old, new, parts))

    def _acl(self, step: Step) -> Iterator[Action]:
        """The new entry before the old ones go: two entries for one port do not clash."""
        if self._is_with_rule(step):
            return
        new = frozenset() if _moves_list(step) else _cidrs(step, old=False)
        parts = [(key, cidrs_of(text)) for key, text in sorted(step.seen.outputs.items())] if step.seen else []
        kept = frozenset(cidr for _, cidrs in parts if cidrs <= new for cidr in cidrs)
        actions = []
        if new - kept:
            part = Part(cidrs=new - kept)
            actions.append(Action(f"{ALLOW} {step.key.id}", ALLOW, (_rest(step),), payload=part))
        for item_id, _ in (entry for entry in parts if not entry[1] <= new):
            actions.append(Action(f"{DISALLOW} {step.key.id} {item_id}", DISALLOW, (step,), payload=Part(id=item_id)))
        yield from _in_turn(actions)

    def _policy(self, step: Step) -> Iterator[Action]:
        """A policy is never changed, and a rule carries one of a kind: off before on."""
        if self._is_with_rule(step):
            return
        attach, detach = POLICIES[step.key.kind]
        actions = []
        if step.seen is not None:
            part = Part(id=step.seen.outputs["id"])
            actions.append(Action(f"{detach} {step.key.id}", detach, (step,), payload=part))
        if step.verb is not Verb.DELETE:
            actions.append(Action(f"{attach} {step.key.id}", attach, (step,)))
        yield from _in_turn(actions)

    def _members(self, step: Step) -> Iterator[Action]:
        """New members before old ones go, all in one call each."""
        if self._is_with_rule(step):
            return
        old, new = _machines(step, old=True), _machines(step, old=False)
        assign = f"{ASSIGN} {step.key.id}"
        if new - old:
            yield Action(assign, ASSIGN, (step,), payload=Part(machines=new - old))
        if old - new:
            after = frozenset({assign}) if new - old else frozenset()
            yield Action(f"{REMOVE} {step.key.id}", REMOVE, (step,), after, Part(machines=old - new))

    def _tags(self) -> Iterator[Action]:
        steps = [self._steps[key] for key in self._keys("rule")]
        untagged = tuple(map(_tagging, filter(_needs_tags, steps)))
        if untagged:
            yield Action(f"{TAG} rules", TAG, untagged)


def _firewall_actions(
    step: Step, old: frozenset[str], new: frozenset[str], parts: list[tuple[str, frozenset[str]]]
) -> Iterator[Action]:
    if new - old:
        yield Action(f"{OPEN} {step.key.id}", OPEN, (_rest(step),), payload=Part(cidrs=new - old))
    for rule_id, cidrs in parts:
        if cidrs <= new:
            continue
        close = f"{CLOSE} {step.key.id} {rule_id}"
        yield Action(close, CLOSE, (_narrowed(step, cidrs & new),), payload=Part(id=rule_id, cidrs=cidrs))
        if cidrs & new:
            again = f"{OPEN} {step.key.id} again {rule_id}"
            yield Action(again, OPEN, (_rest(step),), payload=Part(cidrs=cidrs & new))


def _in_turn(actions: Iterable[Action]) -> Iterator[Action]:
    """Each after the one before: what a reply confirms of a filter is only right when nothing else changes it."""
    before: frozenset[str] = frozenset()
    for action in actions:
        yield replace(action, after=before)
        before = frozenset({action.id})


def _moves_list(step: Step) -> bool:
    """True when a filter is in another list or for another protocol: it goes first, and is made anew after that."""
    return step.verb is Verb.REPLACE and any(change.field in ("acl", "protocol") for change in step.changes)


def _may_open(rule: Step, firewall: Step) -> bool:
    """Creation opens the firewall for everybody, for TCP, in the same call: one change of the router less."""
    fields = firewall.desired.fields if firewall.desired is not None else {}
    is_new = firewall.verb is Verb.CREATE and rule.verb in (Verb.CREATE, Verb.REPLACE)
    return is_new and fields.get("cidrs") == EVERYBODY and fields.get("protocol") == "tcp"


def _needs_tags(step: Step) -> bool:
    return step.verb is not Verb.DELETE and any(c.field == "tagged" for c in step.changes)


def _tagging(step: Step) -> Step:
    """A step of its own, so that what waits for the rule does not wait for its tags."""
    assert step.desired is not None
    desired = replace(step.desired, needs=frozenset({step.key}))
    change = Change("tagged", old=False, new=True)
    key, owners = part_key("tags", step.key), step.owners
    return Step(Verb.UPDATE, key, step.name, (change,), why="untagged", owners=owners, desired=desired)


def _rest(step: Step) -> Step:
    return replace(step, hazard=Hazard.NONE)


def _narrowed(step: Step, kept: frozenset[str]) -> Step:
    """Between closing and opening again, those who stay wait for one job."""
    return replace(step, hazard=Hazard.INTERRUPTS) if kept else step


def _cidrs(step: Step, *, old: bool) -> frozenset[str]:
    return _set(step, "cidrs", old=old)


def _machines(step: Step, *, old: bool) -> frozenset[str]:
    return _set(step, "machines", old=old)


def _set(step: Step, name: str, *, old: bool) -> frozenset[str]:
    resource = _seen_resource(step.seen) if old else step.desired
    value: Hashable = resource.fields.get(name) if resource is not None else None
    return frozenset(str(item) for item in value) if isinstance(value, Iterable) else frozenset()


def _seen_resource(seen: Seen | None) -> Resource | None:
    return seen.resource if seen is not None else None
