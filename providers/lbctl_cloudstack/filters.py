"""How the filter of a port changes: firewall rules in isolated networks, ACL entries in VPC tiers. Pure.

Open first, close last: two entries for one port do not clash, two firewall rules only over an equal CIDR.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace

from lbctl.model.resource import Key, Seen
from lbctl.plan.actions import Action, Hazard, Step, Verb
from lbctl_cloudstack.calls import ALLOW, CLOSE, DISALLOW, OPEN, Part
from lbctl_cloudstack.parse import ALL
from lbctl_cloudstack.rows import cidrs_of

EVERYBODY = frozenset({ALL})
Held = list[tuple[str, frozenset[str]]]


def firewall_actions(step: Step) -> Iterator[Action]:
    """A firewall rule that also lets in who shall stay is made again with the rest."""
    old, new = _cidrs(step.seen), _wanted(step)
    held = _held(step.seen)
    if step.seen is not None and not held:
        # Opened together with its rule, so its id was never told: this action only brings about a new look.
        yield Action(f"{CLOSE} {step.key.id}", CLOSE, (step,), payload=Part(cidrs=old))
        return
    if new - old:
        yield Action(f"{OPEN} {step.key.id}", OPEN, (_harmless(step),), payload=Part(cidrs=new - old))
    for rule_id, cidrs in held:
        if cidrs <= new:
            continue
        yield closing(step.key, rule_id, _narrowed(step, cidrs & new), cidrs)
        if cidrs & new:
            again = f"{OPEN} {step.key.id} again {rule_id}"
            yield Action(again, OPEN, (_harmless(step),), payload=Part(cidrs=cidrs & new))


def acl_actions(step: Step) -> Iterator[Action]:
    """The new entry before the old ones go, and before those that let in nobody else."""
    new, held = _wanted(step), _held(step.seen)
    spare = _texts(step.seen.resource.fields.get("spare")) if step.seen is not None else frozenset()
    stays = [entry for entry, cidrs in held if cidrs <= new and entry not in spare]
    kept = frozenset(cidr for entry, cidrs in held if entry in stays for cidr in cidrs)
    if new - kept:
        yield Action(f"{ALLOW} {step.key.id}", ALLOW, (_harmless(step),), payload=Part(cidrs=new - kept))
    for entry, _ in held:
        if entry not in stays:
            yield Action(f"{DISALLOW} {step.key.id} {entry}", DISALLOW, (step,), payload=Part(id=entry))


def closing(key: Key, rule_id: str, step: Step, cidrs: frozenset[str] = frozenset()) -> Action:
    """The call that closes one firewall rule of a port."""
    return Action(f"{CLOSE} {key.id} {rule_id}", CLOSE, (step,), payload=Part(id=rule_id, cidrs=cidrs))


def opens_for_everybody(action: Action) -> bool:
    """True for the call after which a firewall rule looks like one that was born with its rule."""
    return action.call == OPEN and isinstance(action.payload, Part) and action.payload.cidrs == EVERYBODY


def in_turn(actions: Iterable[Action]) -> Iterator[Action]:
    """Each after the one before: what a reply confirms of a filter is only right when nothing else changes it."""
    before: frozenset[str] = frozenset()
    for action in actions:
        yield replace(action, after=before)
        before = frozenset({action.id})


def _held(seen: Seen | None) -> Held:
    return [(key, cidrs_of(text)) for key, text in sorted(seen.outputs.items())] if seen is not None else []


def _cidrs(seen: Seen | None) -> frozenset[str]:
    return _texts(seen.resource.fields.get("cidrs")) if seen is not None else frozenset()


def _wanted(step: Step) -> frozenset[str]:
    """Nothing when the filter is in another list or for another protocol: it goes first, and is made after that."""
    moves = step.verb is Verb.REPLACE and any(change.field in ("acl", "protocol") for change in step.changes)
    return frozenset() if moves or step.desired is None else _texts(step.desired.fields.get("cidrs"))


def _texts(value: Hashable) -> frozenset[str]:
    return frozenset(str(item) for item in value) if isinstance(value, Iterable) else frozenset()


def _harmless(step: Step) -> Step:
    return replace(step, hazard=Hazard.NONE)


def _narrowed(step: Step, kept: frozenset[str]) -> Step:
    """Between closing and opening again, those who stay wait for one job."""
    return replace(step, hazard=Hazard.INTERRUPTS) if kept else step
