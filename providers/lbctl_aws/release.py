"""Taking our own mark off what a Service keeps, so that it stays without us. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lbctl.model.resource import Identity, Observed, Seen
from lbctl.plan.actions import Action, Change, Step, Verb
from lbctl_aws import names
from lbctl_aws.annotations import REMEMBERED
from lbctl_aws.calls import CALLS


def release(identity: Identity, observed: Observed) -> tuple[Action, ...]:
    """One action for each object that carries our tag, and one for our annotation; upstream's tags stay.

    After each, nothing here is this Service's any more as far as we can prove it.
    """
    actions = tuple(_actions(identity, observed))
    forget = Action(
        f"release annotations of {identity}", "annotate Service", (), annotations={identity: {REMEMBERED: None}}
    )
    return (*actions, forget)


def _actions(identity: Identity, observed: Observed) -> Iterator[Action]:
    for seen in observed.resources.values():
        if not seen.ours or identity not in seen.resource.owners:
            continue
        key = _tag(seen)
        if key is not None:
            yield _untag(seen, key)


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
