"""The plan as a value: actions with what they change, what they do to traffic, and why.

Pure data with one text and one JSON form; `lbctl.plan.order` makes it, `lbctl.plan.policy` filters it, the engine runs
it. The same input gives the same text, byte for byte.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from lbctl.model.resource import Identity, Key, Resource, Scope, Seen, nothing

DIGEST_LENGTH = 12


class Verb(enum.StrEnum):
    """What happens to a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    RELEASE = "release"


class Hazard(enum.IntEnum):
    """What an action does to traffic, from harmless to final."""

    NONE = 0
    DRAINS = 1
    INTERRUPTS = 2
    MOVES_ADDRESS = 3
    LOSES_ADDRESS = 4

    @property
    def words(self) -> str:
        """For people."""
        return {0: "no effect on traffic", 1: "connections drain", 2: "interrupts connections"}.get(
            self, "THE ADDRESS CHANGES" if self is Hazard.MOVES_ADDRESS else "THE ADDRESS IS LOST"
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One field's difference."""

    field: str
    old: Hashable
    new: Hashable


@dataclass(frozen=True, slots=True)
class Step:
    """The change of one resource.

    `hazard` is shown; `unasked` is the part of it that the Service does not itself ask for, which is what a policy may
    hold. `desired` is None for a delete, `seen` is None for a create.
    """

    verb: Verb
    key: Key
    name: str = ""
    changes: tuple[Change, ...] = ()
    hazard: Hazard = Hazard.NONE
    unasked: Hazard = Hazard.NONE
    why: str = ""
    owners: frozenset[Identity] = frozenset()
    desired: Resource | None = None
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """One cloud call, which may carry the steps of many Services.

    `call` is the cloud's name of the operation. `after` are ids of actions that must have succeeded before. `payload`
    is the driver's own, immutable. `annotations` are written to the Services' objects instead of calling the cloud:
    the few facts that must be remembered before a call is made. Nothing waits for an `optional` action: what it sets
    makes a resource better, but not usable.
    """

    id: str
    call: str
    steps: tuple[Step, ...]
    after: frozenset[str] = frozenset()
    payload: object = field(default=None, hash=False, compare=False)
    annotations: Mapping[Identity, Mapping[str, str | None]] = field(default_factory=nothing, hash=False)
    optional: bool = False

    @property
    def hazard(self) -> Hazard:
        """The worst that any step does."""
        return max((step.hazard for step in self.steps), default=Hazard.NONE)

    @property
    def owners(self) -> frozenset[Identity]:
        """Every Service whose resources change."""
        return frozenset(owner for step in self.steps for owner in step.owners)

    @property
    def keys(self) -> frozenset[Key]:
        """Every resource that changes."""
        return frozenset(step.key for step in self.steps)


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that only time brings: look again after `poll_after` seconds, call it stuck after `give_up_after`."""

    condition: str
    poll_after: float
    give_up_after: float = 600.0
    keys: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """All actions for one scope in an order in which every prefix is safe; `held` wait for a person's approval."""

    scope: Scope
    actions: tuple[Action, ...] = ()
    held: tuple[Action, ...] = ()
    waits: tuple[Wait, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to do, to approve or to wait for."""
        return not (self.actions or self.held or self.waits)

    @property
    def digest(self) -> str:
        """Twelve hex digits that name exactly these actions, held ones included."""
        return digest((*self.actions, *self.held))

    @property
    def held_digest(self) -> str:
        """Twelve hex digits that name exactly the held actions; empty without any."""
        return digest(self.held) if self.held else ""


def digest(actions: tuple[Action, ...]) -> str:
    """Stable name of a set of actions: it changes exactly when what would be done changes.

    Costs a look at every member of every set that changes, so it is made only where it is needed.
    """
    lines = sorted(_whole(step) for action in actions for step in action.steps)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:DIGEST_LENGTH]


def _whole(step: Step) -> str:
    changes = (f"{change.field}: {_every(change.old)} -> {_every(change.new)}" for change in step.changes)
    return f"{step.verb} {step.key} {step.name} {'; '.join(changes)}"


def _every(value: object) -> str:
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(_every(member) for member in value)) + "}"
    return value_text(value)


def change_text(change: Change) -> str:
    """One field change for people: sets as what joins and leaves, the rest as new and old."""
    if isinstance(change.old, frozenset) and isinstance(change.new, frozenset):
        return f"{change.field}: {_set_text(change.old, change.new)}"
    if change.old is None:
        return f"{change.field}: {value_text(change.new)}"
    return f"{change.field}: {value_text(change.new)} (was {value_text(change.old)})"


SHOWN_MEMBERS = 5


def value_text(value: object) -> str:
    """A field's value for people, sets and tuples sorted and shortened.

    A tuple with a text of its own is shown by it; digests are made of the same, so it has to tell everything.
    """
    if isinstance(value, frozenset):
        return _members(value)
    if isinstance(value, tuple) and type(value).__str__ is object.__str__:
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    if value is None:
        return "-"
    return str(value)


def _set_text(old: frozenset[Hashable], new: frozenset[Hashable]) -> str:
    parts = [f"+{_members(new - old)}" if new - old else "", f"-{_members(old - new)}" if old - new else ""]
    return " ".join(part for part in parts if part)


def _members(members: frozenset[Hashable]) -> str:
    texts = sorted(_member_text(member) for member in members)
    shown = ", ".join(texts[:SHOWN_MEMBERS])
    rest = len(texts) - SHOWN_MEMBERS
    return f"{{{shown}, and {rest} more}}" if rest > 0 else f"{{{shown}}}"


def _member_text(member: Hashable) -> str:
    """A set of pairs of texts is what people write as key=value: tags, labels, an address for each subnet."""
    is_pair = isinstance(member, tuple) and len(member) == len(("key", "value"))
    if is_pair and all(isinstance(part, str) for part in member):  # type: ignore[attr-defined] # a tuple, as is_pair says
        return "=".join(member)  # type: ignore[arg-type] # as above
    return value_text(member)
