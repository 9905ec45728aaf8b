"""Which steps share a call. Pure.

Order: the address, then per port rule, filter, members; tags last. What goes: members with their rule, filters before
it, the address last; when the whole address goes, one release takes rules and firewall rules along. A rule that is made
anew gets everything again that went with the old one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace

from lbctl.driver import World
from lbctl.model.resource import Desired, Key, Observed, Resource
from lbctl.plan.actions import Action, Change, Step, Verb
from lbctl_cloudstack.calls import (
    ASSIGN,
    ASSOCIATE,
    CREATE_RULE,
    DELETE_RULE,
    LET_GO,
    POLICIES,
    RELEASE,
    REMEMBER,
    REMOVE,
    TAG,
    UNTAG,
    UPDATE_RULE,
    USE,
    Part,
)
from lbctl_cloudstack.filters import (
    EVERYBODY,
    acl_actions,
    closing,
    firewall_actions,
    in_turn,
    opens_for_everybody,
)
from lbctl_cloudstack.names import ADDRESS, ASSOCIATED_ANNOTATION, Bond, chosen_annotation, is_own, part_key

FOLLOWERS = ("members", *POLICIES)


class Folding:
    """The actions of one scope."""

    def __init__(
        self, steps: tuple[Step, ...], desired: Desired, observed: Observed, world: World, *, tags: bool
    ) -> None:
        self._tags_wanted = tags
        self._desired = desired
        self._observed = observed
        self._world = world
        self._scope = observed.scope
        self._steps = {step.key: step for step in steps}
        for step in [step for step in steps if step.key.kind == "rule" and step.verb is Verb.REPLACE]:
            self._make_followers(step)

    def actions(self) -> Iterator[Action]:
        """All actions, not yet ordered."""
        address = self._steps.get(ADDRESS)
        if address is not None and address.verb is Verb.DELETE and not self._has_guests():
            yield from self._release(address)
            return
        yield from self._address(address)
        for key in self._keys("rule"):
            yield from self._rule(self._steps[key])
        for key in self._keys("firewall"):
            yield from self._firewall(self._steps[key])
        for key in self._keys("acl"):
            yield from in_turn(acl_actions(self._outliving(self._steps[key])))
        for kind in POLICIES:
            for key in self._keys(kind):
                yield from self._policy(self._steps[key])
        for key in self._keys("members"):
            yield from self._members(self._steps[key])
        yield from self._tags()

    def _make_followers(self, rule: Step) -> None:
        """What goes with the old rule is made for the new one."""
        keys = [part_key(kind, rule.key) for kind in FOLLOWERS]
        keys += [key for key in (part_key("firewall", rule.key),) if self._bond(rule.key) is not Bond.APART]
        for key in keys:
            self._steps.pop(key, None)
            wanted = self._desired.resources.get(key)
            if wanted is not None:
                changes = tuple(Change(name, None, value) for name, value in sorted(wanted.fields.items()))
                why = "its rule is made anew"
                self._steps[key] = Step(
                    Verb.CREATE, key, wanted.name, changes, why=why, owners=rule.owners, desired=wanted
                )

    def _bond(self, rule: Key) -> Bond:
        seen = self._observed.get(part_key("firewall", rule))
        return Bond(str(seen.resource.fields["bond"])) if seen is not None else Bond.APART

    def _keys(self, kind: str) -> list[Key]:
        return sorted(key for key in self._steps if key.kind == kind)

    # -- the address ------------------------------------------------------------------------------------------------

    def _release(self, address: Step) -> Iterator[Action]:
        """One call for everything on the address; entries of an ACL are not on it.

        Those with our mark may outlive their rules, as the mark tells whose they are: nothing waits for them. Those of
        upstream's are known by their rules alone, so they go first.
        """
        rest = [step for key, step in sorted(self._steps.items()) if key.kind not in ("acl", "address")]
        before: list[Action] = []
        for step in map(self._steps.__getitem__, self._keys("acl")):
            closes = list(in_turn(acl_actions(_apart(step) if _is_marked(step) else step)))
            before += [] if _is_marked(step) else closes
            yield from closes
        away = [step for step in rest if "@" in step.key.id]
        yield from (self._delete_rule(step) for step in away if step.key.kind == "rule")
        steps = (address, *(step for step in rest if "@" not in step.key.id))
        yield Action(RELEASE, RELEASE, steps, after=frozenset(action.id for action in before))

    def _has_guests(self) -> bool:
        """True when somebody else's rule is on the address: a release would take it along."""
        return any(not seen.ours for seen in self._observed.of_kind("rule"))

    def _address(self, step: Step | None) -> Iterator[Action]:
        if step is None:
            yield from self._adopt_address()
        elif step.verb is Verb.CREATE:
            yield from self._associate(step)
        elif step.verb is Verb.DELETE or any(change.field in ("let_go", "given_up") for change in step.changes):
            has_tags = step.seen is not None and step.seen.outputs.get("tags")
            yield Action("let-go", UNTAG if has_tags else LET_GO, (step,))
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
        key, value = ASSOCIATED_ANNOTATION, "true"
        if is_own(self._scope):
            key, value = chosen_annotation(self._scope), str(fields["ip"])
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

    # -- rules ------------------------------------------------------------------------------------------------------

    def _rule(self, step: Step) -> Iterator[Action]:
        if step.verb in (Verb.DELETE, Verb.REPLACE):
            closes = list(self._close_before(step)) if step.verb is Verb.REPLACE else []
            yield from closes
            yield self._delete_rule(step, after=frozenset(action.id for action in closes))
        if step.verb in (Verb.CREATE, Verb.REPLACE):
            yield self._create_rule(step)
        if step.verb is Verb.UPDATE and any(c.field != "tagged" for c in step.changes):
            yield Action(f"{UPDATE_RULE} {step.key.id}", UPDATE_RULE, (step,))

    def _close_before(self, rule: Step) -> Iterator[Action]:
        """Firewall rules that may or may not go with their rule go before it, so that none is left unseen."""
        seen = self._observed.get(part_key("firewall", rule.key))
        if seen is None or self._bond(rule.key) is not Bond.UNKNOWN:
            return
        step = Step(Verb.DELETE, seen.key, seen.resource.name, owners=seen.resource.owners, why=rule.why, seen=seen)
        yield from in_turn(closing(rule.key, rule_id, step) for rule_id in sorted(seen.outputs))

    def _delete_rule(self, step: Step, *, after: frozenset[str] = frozenset()) -> Action:
        takes_firewall = self._bond(step.key) is Bond.BORN
        gone = replace(step, verb=Verb.DELETE, desired=None, changes=()) if step.verb is Verb.REPLACE else step
        keys = [part_key(kind, step.key) for kind in FOLLOWERS]
        keys += [part_key("firewall", step.key)] if takes_firewall else []
        along = [self._steps[key] for key in keys if key in self._steps and self._steps[key].verb is Verb.DELETE]
        part = Part(with_firewall=takes_firewall)
        return Action(f"{DELETE_RULE} {step.key.id}", DELETE_RULE, (gone, *along), after, part)

    def _create_rule(self, step: Step) -> Action:
        port = step.key.id
        after = frozenset({f"{DELETE_RULE} {port}"}) if step.verb is Verb.REPLACE else frozenset()
        firewall = self._steps.get(part_key("firewall", step.key))
        made = replace(step, verb=Verb.CREATE, seen=None)
        if firewall is not None and self._may_open(firewall):
            return Action(f"{CREATE_RULE} {port}", CREATE_RULE, (made, firewall), after, Part(with_firewall=True))
        return Action(f"{CREATE_RULE} {port}", CREATE_RULE, (made,), after, Part())

    def _may_open(self, firewall: Step) -> bool:
        """Creation opens the firewall for everybody, for TCP, in the same call, but not on an address of a VPC."""
        fields = firewall.desired.fields if firewall.desired is not None else {}
        is_for_all = fields.get("cidrs") == EVERYBODY and fields.get("protocol") == "tcp"
        return firewall.verb is Verb.CREATE and is_for_all and not self._is_in_vpc()

    def _is_in_vpc(self) -> bool:
        seen, step = self._observed.get(ADDRESS), self._steps.get(ADDRESS)
        if seen is not None:
            return bool(seen.outputs.get("vpc"))
        return step is not None and step.desired is not None and bool(step.desired.fields["vpc"])

    def _is_with_rule(self, step: Step) -> bool:
        """True for what a call for the rule itself does as well."""
        rule = self._steps.get(part_key("rule", step.key))
        if rule is None:
            return False
        if step.key.kind == "firewall" and rule.verb in (Verb.CREATE, Verb.REPLACE):
            return self._may_open(step)
        if rule.verb is not Verb.DELETE or step.verb is not Verb.DELETE:
            return False
        return step.key.kind != "firewall" or self._bond(rule.key) is Bond.BORN

    def _firewall(self, step: Step) -> Iterator[Action]:
        if self._is_with_rule(step):
            return
        actions = list(firewall_actions(self._outliving(step)))
        if any(map(opens_for_everybody, actions)):
            actions = [*self._unmark(step), *actions]
        yield from in_turn(actions)

    def _outliving(self, step: Step) -> Step:
        """A filter that stands by itself changes once the new rule is there; the old one need not wait for that."""
        if step.seen is None or not self._is_made_anew(part_key("rule", step.key)):
            return step
        return _apart(step)

    def _unmark(self, firewall: Step) -> Iterator[Action]:
        """A rule stops saying that it opened the firewall before there is a firewall rule that it did not open."""
        rule = self._observed.get(part_key("rule", firewall.key))
        if rule is None or not rule.outputs.get("opened") or self._is_made_anew(rule.key):
            return
        change = Change("opened", old=True, new=False)
        why, owners = "its firewall rule will stand by itself", rule.resource.owners
        step = Step(Verb.UPDATE, rule.key, rule.resource.name, (change,), why=why, owners=owners, seen=rule)
        yield Action(f"{UPDATE_RULE} {rule.key.id} mark", UPDATE_RULE, (step,))

    def _is_made_anew(self, rule: Key) -> bool:
        return rule in self._steps and self._steps[rule].verb is Verb.REPLACE

    # -- what belongs to a rule -------------------------------------------------------------------------------------

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
        yield from in_turn(actions)

    def _members(self, step: Step) -> Iterator[Action]:
        """New members before old ones go, all in one call each."""
        if self._is_with_rule(step):
            return
        old, new = _machines(step.seen.resource if step.seen else None), _machines(step.desired)
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


def _apart(step: Step) -> Step:
    """The step of something that can do without its rule."""
    assert step.seen is not None
    return replace(step, seen=replace(step.seen, resource=replace(step.seen.resource, needs=frozenset())))


def _is_marked(entry: Step) -> bool:
    """True for what is found by its own mark when its rule is gone."""
    return entry.seen is not None and bool(entry.seen.resource.fields.get("marked"))


def _needs_tags(step: Step) -> bool:
    if step.verb is Verb.REPLACE:
        return step.desired is not None and bool(step.desired.fields.get("tagged"))
    return step.verb is not Verb.DELETE and any(c.field == "tagged" for c in step.changes)


def _tagging(step: Step) -> Step:
    """A step of its own, so that what waits for the rule does not wait for its tags."""
    assert step.desired is not None
    desired = replace(step.desired, needs=frozenset({step.key}))
    change = Change("tagged", old=False, new=True)
    key, owners = part_key("tags", step.key), step.owners
    return Step(Verb.UPDATE, key, step.name, (change,), why="untagged", owners=owners, desired=desired)


def _machines(resource: Resource | None) -> frozenset[str]:
    value: Hashable = resource.fields.get("machines") if resource is not None else None
    return frozenset(str(item) for item in value) if isinstance(value, Iterable) else frozenset()
