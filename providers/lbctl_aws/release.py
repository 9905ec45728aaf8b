"""Taking our own mark off what a Service keeps, so that it stays without us. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lbctl.driver import Refs
from lbctl.model.resource import Identity, Observed, Outputs, Seen
from lbctl.plan.actions import Action, Change, Step, Verb
from lbctl_aws import names
from lbctl_aws.annotations import OWN_TARGETS, REMEMBERED
from lbctl_aws.calls import CALLS
from lbctl_aws.place import BALANCER
from lbctl_aws.sharing import ANNOTATE

NO_CALL = "release"


def release(identity: Identity, observed: Observed) -> tuple[Action, ...]:
    """One action for each object that carries our tag, one for our annotation, one that lets go of all without a call.

    Upstream's tags stay, so that upstream's controllers find the balancer again.
    """
    owned = [seen for seen in observed.resources.values() if seen.ours and identity in seen.resource.owners]
    untagged = tuple(_untag(seen, key) for seen in owned if (key := _tag(seen)) is not None)
    steps = tuple(
        Step(Verb.RELEASE, seen.key, seen.resource.name, why="the Service keeps it", owners=seen.resource.owners)
        for seen in owned
    )
    let_go = Action(f"{NO_CALL} {identity}", NO_CALL, steps, frozenset(action.id for action in untagged))
    return (*untagged, *_forget(identity, observed), let_go)


def _forget(identity: Identity, observed: Observed) -> Iterator[Action]:
    if observed.scope.kind == BALANCER:
        nothing = {identity: {REMEMBERED: None, OWN_TARGETS: None}}
        yield Action(f"release annotations of {identity}", ANNOTATE, (), annotations=nothing)


def let_go(_client: object, action: Action, refs: Refs) -> Outputs:
    """Nothing is called: what stays belongs to a Service that is not known, as a fresh process would read it.

    It is not forgotten, because the rules and the group that it shares with others have to stay too.
    """
    kept = (refs.scope.get(step.key) for step in action.steps)
    return Outputs(seen=tuple(_orphaned(seen) for seen in kept if seen is not None))


def _orphaned(seen: Seen) -> Seen:
    owners = frozenset(replace(owner, uid="") for owner in seen.resource.owners)
    return replace(seen, resource=replace(seen.resource, owners=owners))


def _tag(seen: Seen) -> str | None:
    tags = seen.resource.fields.get("tags")
    found = (key for key, _ in tags if key == names.OWNER) if isinstance(tags, frozenset) else iter(())
    return next(found, None)


def _untag(seen: Seen, key: str) -> Action:
    remove = next(call.remove for call in CALLS[seen.key.kind].sets if call.field == "tags")
    change = Change("tags", frozenset({key}), frozenset())
    step = Step(
        Verb.RELEASE,
        seen.key,
        seen.resource.name,
        (change,),
        why="the Service keeps it",
        owners=seen.resource.owners,
        seen=seen,
    )
    return Action(f"{remove} {seen.key}", remove, (step,), payload=(key,))
