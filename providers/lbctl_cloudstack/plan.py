"""Rules for the differ, and the plan of one scope. Pure: folding steps into calls is `folding.py`'s."""

from __future__ import annotations

from dataclasses import replace

from lbctl.driver import World
from lbctl.model.resource import Desired, Identity, Observed, Seen, State
from lbctl.plan.actions import Action, Change, Hazard, Plan, Step, Verb, Wait
from lbctl.plan.diff import diff
from lbctl.plan.order import build_plan
from lbctl.plan.rules import FieldRule, KindRule, Rules
from lbctl_cloudstack.calls import LET_GO, RENAME_ENTRY, UNTAG, UPDATE_RULE, Part
from lbctl_cloudstack.folding import Folding
from lbctl_cloudstack.names import ADDRESS, part_key

RECREATES = FieldRule(hazard=Hazard.INTERRUPTS, replaces=True)
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


def build_actions(
    desired: Desired, observed: Observed, world: World, *, updates_cidrs: bool, tags: bool = True
) -> Plan:
    """The plan for one scope; raises `OwnedByOther` as the differ does."""
    address = observed.get(ADDRESS)
    if address is not None and address.state is State.PENDING:
        return build_plan(desired.scope, (), waits=(Wait(f"{address.outputs['ip']} changes hands", WAIT_SECONDS),))
    steps = tuple(_settled(step, updates_cidrs=updates_cidrs) for step in diff(desired, observed, rules=RULES))
    return build_plan(desired.scope, Folding(steps, desired, observed, world, tags=tags).actions())


def release_actions(identity: Identity, observed: Observed) -> tuple[Action, ...]:
    """Take our marks off rules, ACL entries and the address, so that they stay without us.

    Tags of rules come off with one call; the rest is a call for each. Entries get upstream's mark in place of ours.
    """
    mine = [seen for _, seen in sorted(observed.resources.items()) if identity in seen.resource.owners]
    rules = [seen for seen in mine if seen.key.kind == "rule"]
    actions = [
        Action(f"let-go entry {entry}", RENAME_ENTRY, (_letting_go(seen),), payload=Part(id=entry))
        for seen in mine
        for entry in sorted(seen.outputs if seen.resource.fields.get("marked") else ())
    ]
    tagged = tuple(_untagging(seen) for seen in rules if seen.outputs.get("tags"))
    actions += [Action("let-go tags", UNTAG, tagged)] if tagged else []
    untagged = frozenset({"let-go tags"} if tagged else ())
    for seen in rules:
        parts = [s for s in mine if s.key.id == seen.key.id and not s.resource.fields.get("marked")]
        actions.append(Action(f"let-go {seen.key.id}", UPDATE_RULE, tuple(map(_letting_go, parts)), untagged))
    actions += [
        Action("let-go", UNTAG if seen.outputs.get("tags") else LET_GO, (_letting_go(seen),))
        for seen in mine
        if seen.key == ADDRESS
    ]
    return tuple(actions)


def _letting_go(seen: Seen) -> Step:
    owners = seen.resource.owners
    return Step(Verb.RELEASE, seen.key, seen.resource.name, why="it stays without us", owners=owners, seen=seen)


def _untagging(rule: Seen) -> Step:
    key, owners = part_key("tags", rule.key), rule.resource.owners
    change = Change("tagged", old=True, new=False)
    return Step(Verb.UPDATE, key, rule.resource.name, (change,), why="it stays without us", owners=owners)


def _settled(step: Step, *, updates_cidrs: bool) -> Step:
    """A step as the server can do it: neither several sources nor an idle timeout taken back can be updated."""
    if step.key == ADDRESS and step.verb is Verb.DELETE:
        # It goes only when no Service asks for it and nobody else is on it, which its Service's end has asked for.
        return replace(step, unasked=Hazard.NONE)
    if step.key.kind != "rule" or step.verb is not Verb.UPDATE:
        return step
    new = {change.field: change.new for change in step.changes}
    cidrs = new.get("cidrs")
    recreates = isinstance(cidrs, frozenset) and not (updates_cidrs and len(cidrs) == 1)
    if not recreates and new.get("timeout", 1) is not None:
        return step
    why = f"its {'sources' if recreates else 'timeout'} cannot be changed so in place on this server"
    return replace(step, verb=Verb.REPLACE, hazard=Hazard.INTERRUPTS, unasked=Hazard.NONE, why=why)
