"""Cloud objects as values: what we want, what we saw, and how the two refer to each other.

A driver's `model` makes `Desired`, its reads make `Observed`; the generic differ in `lbctl.plan` compares them. A
resource is as small as the cloud lets one be owned (one listener, one firewall rule), also where the cloud writes many
of them in one call: folding changes into calls is the driver's `plan`, not this page's business.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lbctl.model.problem import Problem
from lbctl.model.status import Notice


class _Nothing(Mapping[Any, Any]):
    """The empty mapping, hashable, so that dataclasses of Python 3.11 accept it as a default."""

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - there is nothing to type
        raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Mapping[Any, Any] = _Nothing()


def nothing() -> Mapping[Any, Any]:
    """The empty mapping, as a default of dataclass fields."""
    return NOTHING


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """A Service that owns cloud objects; the uid tells a recreated one from its predecessor."""

    namespace: str
    name: str
    uid: str

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """The unit of work: all cloud objects that have to be planned and written together.

    `kind` is one of the driver's `scope_kinds`; `name` is derivable from a Service as well as from the cloud objects
    alone, so that leftovers of a Service that is gone are still found.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Logical identity of a resource inside its scope, such as `listener` `443/TCP`."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}" if self.id else self.kind


@dataclass(frozen=True, slots=True)
class Ref:
    """A value that exists once the resource does: its `attribute` among the resource's outputs.

    `scope` is None for a resource of the same scope; otherwise it is resolved from what was observed of that scope.
    """

    key: Key
    attribute: str = "id"
    scope: Scope | None = None

    def __str__(self) -> str:
        return f"<{self.attribute} of {self.key}>"


@dataclass(frozen=True, slots=True)
class Resource:
    """One cloud object, or part of one, as it should be.

    `fields` holds what is compared: immutable values (text, numbers, tuples, frozensets, `Ref`); a large set that many
    resources share, such as the node ids, is one shared frozenset. `owners` are the Services that need it; empty means
    the cluster itself. `needs` are resources of this scope that must exist before and may go only after.
    """

    key: Key
    name: str = ""
    fields: Mapping[str, Hashable] = field(default_factory=nothing, hash=False)
    owners: frozenset[Identity] = frozenset()
    needs: frozenset[Key] = frozenset()


class State(enum.StrEnum):
    """What the cloud says about an object's life."""

    ACTIVE = "active"
    PENDING = "pending"  # being made or changed; no write is accepted now
    FAILED = "failed"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Seen:
    """One cloud object as it was read or as a reply confirmed it.

    `outputs` is what the cloud assigned (ids, addresses, versions). `ours` is False without proof of ownership: such
    an object is never changed or deleted, and in the way of a desired one it is `OwnedByOther`; `owner_hint` then
    says whose it seems to be.
    """

    resource: Resource
    outputs: Mapping[str, str] = field(default_factory=nothing, hash=False)
    state: State = State.ACTIVE
    ours: bool = True
    owner_hint: str = ""

    @property
    def key(self) -> Key:
        """Key of the resource."""
        return self.resource.key


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a write's reply confirmed: `seen` exist as stated, `gone` do not exist any more.

    `body` replaces `Observed.body` unless it is None.
    """

    seen: tuple[Seen, ...] = ()
    gone: tuple[Key, ...] = ()
    body: object = None


@dataclass(frozen=True, slots=True)
class Observed:
    """The objects of one scope, and how far they can be trusted.

    `read_at` is the monotonic time of the oldest read in it. `complete` is False when a reply was unknown or a list
    was cut: then nothing may be concluded from what is absent. `body` is the driver's own: the document as the cloud
    sent it, for drivers that must write whole objects back.
    """

    scope: Scope
    resources: Mapping[Key, Seen] = field(default_factory=nothing, hash=False)
    read_at: float = 0.0
    complete: bool = True
    body: object = field(default=None, hash=False, compare=False)

    def __getitem__(self, key: Key) -> Seen:
        return self.resources[key]

    def get(self, key: Key) -> Seen | None:
        """The resource, or None."""
        return self.resources.get(key)

    def of_kind(self, kind: str) -> Iterator[Seen]:
        """All resources of one kind."""
        return (seen for key, seen in self.resources.items() if key.kind == kind)

    def owners(self) -> frozenset[Identity]:
        """Every Service that owns something here, as far as ownership is proven."""
        return frozenset(owner for seen in self.resources.values() if seen.ours for owner in seen.resource.owners)

    def owned_by(self, owner: Identity) -> bool:
        """True while anything proven to be this Service's is left here."""
        return any(seen.ours and owner in seen.resource.owners for seen in self.resources.values())

    def with_outputs(self, outputs: Outputs) -> Observed:
        """The same scope after a write whose reply confirmed `outputs`."""
        resources = dict(self.resources)
        for key in outputs.gone:
            resources.pop(key, None)
        for seen in outputs.seen:
            resources[seen.key] = seen
        body = self.body if outputs.body is None else outputs.body
        return replace(self, resources=resources, body=body)

    def doubted(self) -> Observed:
        """The same, marked as not to be trusted until it is read again."""
        return replace(self, complete=False)


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that one scope should hold; empty means that nothing of ours should be left.

    `rejected` are Services that turned out invalid once facts were known (a subnet of another network, a port that a
    neighbour has): they are frozen and told so. `notices` stop nothing.
    """

    scope: Scope
    resources: Mapping[Key, Resource] = field(default_factory=nothing, hash=False)
    rejected: Mapping[Identity, tuple[Problem, ...]] = field(default_factory=nothing, hash=False)
    notices: Mapping[Identity, tuple[Notice, ...]] = field(default_factory=nothing, hash=False)

    @classmethod
    def of(
        cls,
        scope: Scope,
        resources: Iterable[Resource],
        *,
        rejected: Mapping[Identity, tuple[Problem, ...]] = NOTHING,
        notices: Mapping[Identity, tuple[Notice, ...]] = NOTHING,
    ) -> Desired:
        """Index resources by key and merge the owners of those that several Services ask for.

        Two different wishes for one key are a bug of the driver, which must settle such conflicts while parsing.
        """
        indexed: dict[Key, Resource] = {}
        for resource in resources:
            known = indexed.get(resource.key)
            indexed[resource.key] = resource if known is None else _shared(known, resource)
        return cls(scope, indexed, rejected, notices)

    def frozen_for(self, frozen: frozenset[Identity], observed: Observed) -> Desired:
        """The same, except that what a frozen Service owns is wanted exactly as it is observed."""
        if not frozen:
            return self
        resources = dict(self.resources)
        for key, seen in observed.resources.items():
            if seen.ours and not frozen.isdisjoint(seen.resource.owners):
                resources[key] = seen.resource
        return replace(self, resources=resources)


def _shared(one: Resource, other: Resource) -> Resource:
    if one.fields != other.fields or one.name != other.name:
        raise AssertionError(f"two different wishes for {one.key}: {one} and {other}")
    return replace(one, owners=one.owners | other.owners, needs=one.needs | other.needs)
