"""Taking our marks off what a Service has, so that it stays without us. Pure.

A public address is marked by its tags: without them it is a user's own from then on. The parts of a balancer are marked
by their names alone, which cannot be changed: they stay as they are, and `lbctl gc` reports them.
"""

from __future__ import annotations

from dataclasses import replace

from lbctl.model.resource import Identity, Observed, Seen
from lbctl.plan.actions import Action, Change, Step, Verb
from lbctl_azure import tags
from lbctl_azure.account import PUBLIC_IP


def release_actions(identity: Identity, observed: Observed) -> tuple[Action, ...]:
    """One write for each public address that the Service owns."""
    owned = (seen for seen in observed.of_kind(PUBLIC_IP) if seen.ours and identity in seen.resource.owners)
    return tuple(_release(identity, seen) for seen in owned)


def _release(identity: Identity, seen: Seen) -> Action:
    present = seen.resource.fields.get("tags")
    left = frozenset(_without(identity, dict(present) if isinstance(present, frozenset) else {}).items())
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
