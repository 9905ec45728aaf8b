"""What ARM accepted but has not finished: how it is followed, asked for, and turned into outputs.

`apply` starts operations and hands a `Following` along with each; `poll` asks for all that are under way. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from lbctl.clock import Clock
from lbctl.driver import Outcome, Pending
from lbctl.errors import CloudError, NotReady
from lbctl.model.resource import Key, Outputs, Seen
from lbctl.plan.actions import Step, Verb
from lbctl_azure.client import Client, Reply
from lbctl_azure.reading import Document

GATHER_SECONDS = 10.0
NO_DOCUMENT: Mapping[str, Any] = MappingProxyType({})
"""Takes the place of a document that is gone; None would mean that the old one is still valid."""


@dataclass(frozen=True, slots=True)
class Following:
    """What has to be known to finish an operation: the object, how to read it, and which steps were in it.

    `before` are the keys of an object that holds the whole scope: all of it is reported then, with `more` beside it.
    """

    path: str
    steps: tuple[Step, ...]
    read: Callable[[Document], list[Seen]]
    gone: bool = False
    before: frozenset[Key] | None = None
    more: tuple[Seen, ...] = ()
    collection: str = ""
    since: float = 0.0


class Operations:
    """Operations of one account."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def now(self) -> float:
        """When an operation that is started now was started."""
        return self._clock.monotonic()

    def outcome(self, reply: Reply, following: Following, seconds: float) -> Outputs | Pending:
        """What a write led to: its outputs, or the operation to ask for."""
        if reply.operation:
            return Pending(reply.operation, reply.retry_after or seconds, payload=following)
        if following.gone:
            return outputs_of(following, None)
        return outputs_of(following, reply.document or self._client.get(following.path))

    def poll(self, pending: Iterable[Pending]) -> dict[str, Outcome]:
        """Outcomes of what is over. Addresses of one group are asked for with one list, whatever their number."""
        outcomes: dict[str, Outcome] = {}
        by_collection: dict[str, list[Pending]] = {}
        for item in pending:
            following = item.payload
            assert isinstance(following, Following)
            by_collection.setdefault(following.collection or item.operation, []).append(item)
        for items in by_collection.values():
            found = self._poll_one(items[0]) if len(items) == 1 else self._poll_addresses(items)
            outcomes.update(found)
        return outcomes

    def _poll_one(self, item: Pending) -> dict[str, Outcome]:
        following = item.payload
        assert isinstance(following, Following)
        try:
            state = self._client.ask(item.operation)
            if state["status"] in ("Failed", "Canceled"):
                return {item.operation: self._client.error_of(following.path.rpartition("/")[2], state)}
            if state["status"] != "Succeeded":
                return {}
            document = None if following.gone else self._client.get(following.path)
        except CloudError as error:
            return {item.operation: error} if not isinstance(error, NotReady) else {}
        return {item.operation: outputs_of(following, document)}

    def _poll_addresses(self, items: list[Pending]) -> dict[str, Outcome]:
        """All of one group at once. What is ready waits a little for its neighbours, so that one write serves all."""
        first = items[0].payload
        assert isinstance(first, Following)
        present = {document["id"].lower(): document for document in self._client.list(first.collection)}
        outcomes: dict[str, Outcome] = {}
        late = False
        for item in items:
            following = item.payload
            assert isinstance(following, Following)
            document = present.get(following.path.lower())
            state = (document or {}).get("properties", {}).get("provisioningState", "")
            if state == "Succeeded":
                outcomes[item.operation] = outputs_of(following, document)
            elif state in ("Failed", "Canceled"):
                outcomes.update(self._poll_one(item))
            else:
                late = late or self._clock.monotonic() - following.since < GATHER_SECONDS
        return {op: outcome for op, outcome in outcomes.items() if not (late and isinstance(outcome, Outputs))}


def outputs_of(following: Following, document: Document | None) -> Outputs:
    """What the finished operation confirmed of the action's resources."""
    if following.gone or document is None:
        if following.before is not None:
            return Outputs(following.more, tuple(following.before), NO_DOCUMENT)
        return Outputs(gone=tuple(step.key for step in following.steps))
    steps = {step.key: step for step in following.steps}
    seen = [_owned(item, steps.get(item.key)) for item in following.read(document)]
    if following.before is None:
        found = tuple(item for item in seen if item.key in steps)
        return Outputs(found, tuple(steps.keys() - {item.key for item in found}))
    present = {item.key for item in seen}
    return Outputs((*seen, *following.more), tuple(following.before - present), document)


def _owned(seen: Seen, step: Step | None) -> Seen:
    """The owners that the plan knew are those of the object; names alone may tell fewer."""
    if step is None or step.desired is None or step.verb is Verb.DELETE:
        return seen
    owners = step.desired.owners or seen.resource.owners
    return replace(seen, resource=replace(seen.resource, owners=owners), ours=True)
