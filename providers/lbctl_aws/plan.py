"""Desired and observed -> plan: rules for the differ, hazards, what has to be remembered, limits. Pure.

A new balancer beside a living one (another mode, scheme or address) moves the address although the Service may not
mean it: its actions are held until somebody approves. The 60 rules of a security group are counted before a call is
made: with no room left, old rules go first; if that does not help, nothing is touched.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace

from lbctl.driver import World
from lbctl.errors import OwnedByOther, QuotaExceeded
from lbctl.model.resource import Desired, Identity, Key, Observed, Ref, Seen, State
from lbctl.plan.actions import Action, Hazard, Plan, Step, Verb, Wait
from lbctl.plan.diff import Resolve, diff
from lbctl.plan.order import build_plan
from lbctl.plan.rules import FieldRule, KindRule, Rules
from lbctl_aws.annotations import REMEMBERED, remembered_text
from lbctl_aws.attributes import FIELD, declared
from lbctl_aws.backends import places
from lbctl_aws.calls import Phase
from lbctl_aws.fold import Phased, fold
from lbctl_aws.options import options_of
from lbctl_aws.place import (
    BALANCER,
    BALANCERS,
    CLASSIC,
    CLASSIC_BACKEND,
    CLASSIC_LISTENER,
    CLASSIC_POLICY,
    GROUP,
    LISTENER,
    NETWORK,
    RULE,
    TARGETS,
    covers_tags,
)
from lbctl_aws.settings import AwsSettings
from lbctl_aws.sharing import ANNOTATE, LEAVING, OWN, remembering

OLD_BALANCER_POLL = 60.0
AUTO_ASSIGNED = "auto_assigned"
DEREGISTER, REGISTER = "elbv2.DeregisterTargets", "elbv2.RegisterTargets"
AUTHORIZE, REVOKE = "ec2.AuthorizeSecurityGroupIngress", "ec2.RevokeSecurityGroupIngress"


def _same_text(old: Hashable, new: Hashable) -> bool:
    return str(old).casefold() == str(new).casefold()


def _same_set(old: Hashable, new: Hashable) -> bool:
    return (old or frozenset()) == (new or frozenset())


def _same_weights(old: Hashable, new: Hashable) -> bool:
    """The order of a listener's target groups means nothing."""
    there = old if isinstance(old, tuple) else ()
    wanted = new if isinstance(new, tuple) else ()
    return Counter(there) == Counter(wanted)


def _anything(_old: Hashable, _new: Hashable) -> bool:
    return True


def _same_prefixes(old: Hashable, new: Hashable) -> bool:
    """Any prefix of a subnet is one that AWS may have assigned itself."""
    there = old if isinstance(old, frozenset) else frozenset()
    wanted = new if isinstance(new, frozenset) else frozenset()
    subnets = {subnet for subnet, _ in there}
    return all(subnet in subnets if prefix == AUTO_ASSIGNED else (subnet, prefix) in there for subnet, prefix in wanted)


LEAVE = FieldRule(ignore_unset=True)
TAG_RULE = FieldRule(equal=covers_tags)
CASELESS = FieldRule(ignore_unset=True, equal=_same_text)
DRAINING = FieldRule(hazard=Hazard.DRAINS)
CUTTING = FieldRule(hazard=Hazard.INTERRUPTS, replaces=True, asked=True)

RULES = Rules(
    {
        GROUP: KindRule(
            "security group",
            {"tags": TAG_RULE, "description": FieldRule(equal=_anything), "vpc": FieldRule(equal=_anything)},
        ),
        RULE: KindRule("rule", {"description": FieldRule(equal=_anything)}),
        TARGETS: KindRule(
            "target group",
            {
                "tags": TAG_RULE,
                "health_path": LEAVE,
                "health_timeout": LEAVE,
                "health_codes": LEAVE,
                "targets": DRAINING,
                OWN: FieldRule(equal=_anything),
                LEAVING: FieldRule(equal=_anything),
            },
            on_delete=Hazard.DRAINS,
        ),
        NETWORK: KindRule(
            "network balancer",
            {
                "tags": TAG_RULE,
                "elastic": LEAVE,
                "private": LEAVE,
                "private_link": LEAVE,
                "source_nat": LEAVE,
                "source_nat_prefixes": FieldRule(ignore_unset=True, equal=_same_prefixes),
                "ipv6_addresses": LEAVE,
                "capacity": LEAVE,
                "subnets": DRAINING,
            },
            on_delete=Hazard.LOSES_ADDRESS,
        ),
        LISTENER: KindRule(
            "listener",
            {
                "tags": TAG_RULE,
                "certificate": LEAVE,
                "policy": LEAVE,
                "more_certificates": FieldRule(equal=_same_set),
                "forward": FieldRule(hazard=Hazard.DRAINS, equal=_same_weights),
            },
            on_delete=Hazard.INTERRUPTS,
        ),
        CLASSIC: KindRule(
            "classic balancer",
            {"tags": TAG_RULE, "health_target": FieldRule(equal=_same_text), "subnets": DRAINING, "targets": DRAINING},
            on_delete=Hazard.LOSES_ADDRESS,
        ),
        CLASSIC_LISTENER: KindRule(
            "listener",
            {"protocol": CUTTING, "backend": CUTTING, "node_port": CUTTING, "certificate": CASELESS, "policy": LEAVE},
            on_delete=Hazard.INTERRUPTS,
        ),
        CLASSIC_POLICY: KindRule("policy"),
        CLASSIC_BACKEND: KindRule("backend policies"),
    }
)


def build(desired: Desired, observed: Observed, world: World, settings: AwsSettings) -> Plan:
    """The plan for one scope. Raises `OwnedByOther` for what is somebody else's, `QuotaExceeded` before a limit."""
    _refuse_foreign(desired, observed)
    steps = diff(desired, observed, rules=RULES, resolve=_resolver(observed, world))
    steps = tuple(_with_hazards(steps, desired, observed))
    actions = list(_remembering(list(fold(steps)), desired, world))
    ordered = sorted(_within_limits(actions, observed, settings), key=lambda one: (one.phase, one.action.id))
    return build_plan(desired.scope, [one.action for one in ordered], waits=_waits(desired, observed))


def _refuse_foreign(desired: Desired, observed: Observed) -> None:
    for key in desired.resources:
        seen = observed.get(key)
        if seen is not None and not seen.ours and seen.owner_hint:
            raise OwnedByOther(
                f"{RULES.of(key.kind).label} {key.id} exists and belongs to {seen.owner_hint}",
                hint="remove it, or take it over with `lbctl adopt`",
            )


def _resolver(observed: Observed, world: World) -> Resolve:
    def resolve(ref: Ref) -> str | None:
        where = observed if ref.scope in (None, observed.scope) else world.observed.get(ref.scope)
        seen = where.get(ref.key) if where is not None else None
        return seen.outputs.get(ref.attribute) if seen else None

    return resolve


def _with_hazards(steps: Iterable[Step], desired: Desired, observed: Observed) -> Iterator[Step]:
    """Marks what would move the address, and what is harmless because a successor has taken over."""
    moving = _moving_owners(desired, observed)
    succeeded = _succeeded_owners(desired, observed)
    for step in steps:
        if step.verb is Verb.CREATE and not moving.isdisjoint(step.owners):
            why = "a new balancer beside the one that lives: mode, scheme, name or fixed addresses differ"
            yield replace(step, hazard=Hazard.MOVES_ADDRESS, unasked=Hazard.MOVES_ADDRESS, why=why)
        elif step.verb is Verb.DELETE and step.key.kind in BALANCERS and not succeeded.isdisjoint(step.owners):
            yield replace(step, hazard=Hazard.DRAINS, unasked=Hazard.NONE, why="its successor serves")
        else:
            yield step


def _moving_owners(desired: Desired, observed: Observed) -> frozenset[Identity]:
    """Services that would get a new balancer although they have one."""
    living = {owner for seen in _balancers(observed) for owner in seen.resource.owners}
    new = {
        owner
        for key, resource in desired.resources.items()
        if key.kind in BALANCERS and observed.get(key) is None
        for owner in resource.owners
    }
    return frozenset(living & new)


def _succeeded_owners(desired: Desired, observed: Observed) -> frozenset[Identity]:
    return frozenset(
        owner
        for seen in _balancers(observed)
        if seen.key in desired.resources and seen.state is State.ACTIVE
        for owner in seen.resource.owners
    )


def _balancers(observed: Observed) -> Iterator[Seen]:
    return (seen for kind in sorted(BALANCERS) for seen in observed.of_kind(kind) if seen.ours)


def _waits(desired: Desired, observed: Observed) -> Iterator[Wait]:
    """An older balancer is kept for a while after its successor has taken over."""
    count = Counter(owner for seen in _balancers(observed) for owner in seen.resource.owners)
    for seen in _balancers(observed):
        if seen.key in desired.resources and any(count[owner] > 1 for owner in seen.resource.owners):
            yield Wait(
                f"the successor of {seen.key.id} serves long enough", OLD_BALANCER_POLL, keys=frozenset({seen.key})
            )
            return


def _remembering(actions: list[Phased], desired: Desired, world: World) -> Iterator[Phased]:
    """The same actions, with what a Service declares written down before it is set, and struck out once it is reset.

    A balancer that has everything already, such as an adopted one, gets nothing written.
    """
    pending = list(actions)
    for identity, intent in sorted(world.intents.items()) if desired.scope.kind == BALANCER else ():
        if identity in desired.rejected:
            continue
        before, now = frozenset(options_of(intent).remembered), declared(intent, places(intent, world.referred))
        setting = frozenset(one.action.id for one in pending if _declares(one.action, identity))
        if setting and not now <= before:
            first = _annotating(Phase.FIRST, "remember", identity, before | now)
            pending = [_after(one, first.action.id) if one.action.id in setting else one for one in pending]
            pending.append(first)
        if not before <= now:
            pending.append(_annotating(Phase.LAST, "forget", identity, before & now, after=setting))
        pending = list(remembering(pending, desired, identity, options_of(intent)))
    yield from pending


def _declares(action: Action, identity: Identity) -> bool:
    """True for an action that sets attributes or tags of the Service."""
    fields = {change.field for step in action.steps if identity in step.owners for change in step.changes}
    return any(field == "tags" or field.startswith(FIELD) for field in fields)


def _after(one: Phased, before: str) -> Phased:
    return replace(one, action=replace(one.action, after=one.action.after | {before}))


def _annotating(
    phase: Phase, word: str, identity: Identity, entries: frozenset[str], *, after: frozenset[str] = frozenset()
) -> Phased:
    changes = {identity: {REMEMBERED: remembered_text(entries)}}
    return Phased(phase, Action(f"{word} attributes of {identity}", ANNOTATE, (), after, annotations=changes))


def _within_limits(actions: list[Phased], observed: Observed, settings: AwsSettings) -> Iterator[Phased]:
    """Puts the removing call before the adding one where both together exceed a limit."""
    full_groups = _full_groups(actions, observed, settings)
    full_targets = _full_targets(actions, observed, settings)
    first = {REVOKE: full_groups, DEREGISTER: full_targets}
    then = {AUTHORIZE: (REVOKE, full_groups), REGISTER: (DEREGISTER, full_targets)}
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in actions:
        ids[(one.action.call, _subject(one.action))].add(one.action.id)
    for one in actions:
        subject = _subject(one.action)
        if subject in first.get(one.action.call, ()):
            yield replace(one, phase=Phase.FIRST)
        elif one.action.call in then and subject in then[one.action.call][1]:
            before = ids[(then[one.action.call][0], subject)]
            yield replace(one, action=replace(one.action, after=one.action.after | before))
        else:
            yield one


def _subject(action: Action) -> str:
    if not action.steps:
        return ""
    step = action.steps[0]
    return step.name if step.key.kind == RULE else step.key.id


def _full_groups(actions: list[Phased], observed: Observed, settings: AwsSettings) -> frozenset[str]:
    limit = settings.rules_per_security_group
    there = Counter(seen.resource.name for seen in observed.of_kind(RULE))
    change: Mapping[str, Counter[str]] = {AUTHORIZE: Counter(), REVOKE: Counter()}
    for one in actions:
        if one.action.call in change:
            change[one.action.call][_subject(one.action)] += len(one.action.steps)
    for group, added in change[AUTHORIZE].items():
        after = there[group] + added - change[REVOKE][group]
        if after > limit:
            raise QuotaExceeded(
                f"security group {group} would have {after} rules, and {limit} is the limit (now {there[group]})",
                hint="use fewer ports or source ranges, or raise the quota and rules_per_security_group",
            )
    return frozenset(g for g, added in change[AUTHORIZE].items() if there[g] + added > limit)


def _full_targets(actions: list[Phased], observed: Observed, settings: AwsSettings) -> frozenset[str]:
    added: Counter[str] = Counter()
    for one in actions:
        if one.action.call == REGISTER and isinstance(one.action.payload, tuple):
            added[_subject(one.action)] += len(one.action.payload)
    full = set()
    for name, count in added.items():
        seen = observed.get(Key(TARGETS, name))
        there = seen.resource.fields.get("targets") if seen else None
        if isinstance(there, frozenset) and len(there) + count > settings.max_targets_per_target_group:
            full.add(name)
    return frozenset(full)
