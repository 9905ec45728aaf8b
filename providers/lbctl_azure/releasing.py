"""Taking our marks off what a Service has, so that it stays without us. Pure.

A public address is marked by its tags: without them it is a user's own from then on. The parts of a balancer and the
openings of the security group are marked by name and address alone, which nobody can take off: letting go of them is
our own forgetting, without a call, and after a restart `lbctl gc` lists them as orphans.
"""

from __future__ import annotations

from dataclasses import replace

from lbctl.model.resource import Identity, Observed, Outputs, Seen
from lbctl.plan.actions import Action, Change, Step, Verb
from lbctl_azure import tags
from lbctl_azure.account import PUBLIC_IP

FORGET = "forget"


def release_actions(identity: Identity, observed: Observed) -> tuple[Action, ...]:
    """One write for each public address that the Service owns, and one forgetting of everything else."""
    owned = [seen for seen in observed.resources.values() if seen.ours and identity in seen.resource.owners]
    addresses = tuple(_release(identity, seen) for seen in owned if seen.key.kind == PUBLIC_IP)
    rest = tuple(_forget(identity, seen) for seen in owned if seen.key.kind != PUBLIC_IP)
    return (*addresses, Action(f"forget {identity}", FORGET, rest)) if rest else addresses


def _forget(identity: Identity, seen: Seen) -> Step:
    name, why = seen.resource.name, f"{identity} keeps it"
    return Step(Verb.RELEASE, seen.key, name, why=why, owners=frozenset({identity}), seen=seen)


def forgotten(action: Action) -> Outputs:
    """What is known after the Service let go: what others use is theirs, the rest is nobody's of ours."""
    return Outputs(tuple(_without_owner(step) for step in action.steps if step.seen is not None))


def _without_owner(step: Step) -> Seen:
    assert step.seen is not None
    left = step.seen.resource.owners - step.owners
    return replace(step.seen, resource=replace(step.seen.resource, owners=left), ours=bool(left))


def _release(identity: Identity, seen: Seen) -> Action:
    present = seen.resource.fields.get("tags")
    left = frozenset(_without(identity, tags.tags_of(seen.resource.fields)).items())
    owners = seen.resource.owners - {identity}
    desired = replace(seen.resource, fields={**seen.resource.fields, "tags": left}, owners=owners)
    step = Step(
        Verb.RELEASE,
        seen.key,
        seen.resource.name,
        (Change("tags", present, left),),
        why=f"{identity} keeps it",
        owners=frozenset({identity}),
        desired=desired,
        seen=seen,
    )
    return Action(f"release {seen.key.id}", "publicIPAddresses/write", (step,))


def _without(identity: Identity, present: dict[str, str]) -> dict[str, str]:
    """The tags without this Service; without any Service, none of ours is left."""
    users = [key for key in tags.service_list(present) if key != identity.key]
    ours = {key.lower() for key in tags.OURS}
    if not users:
        return {key: value for key, value in present.items() if key.lower() not in ours}
    listed = {tags.SERVICE.lower(), tags.LEGACY_SERVICE.lower()}
    return {key: ",".join(users) if key.lower() in listed else value for key, value in present.items()}
