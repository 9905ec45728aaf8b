"""How the differ compares the resources of one kind: declared by drivers as data."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

from lbctl.model.resource import nothing
from lbctl.plan.actions import Hazard


def same(old: Hashable, new: Hashable) -> bool:
    """Plain equality."""
    return old == new


def same_any_case(old: Hashable, new: Hashable) -> bool:
    """Equality of texts whose case means nothing to the cloud."""
    return str(old).casefold() == str(new).casefold()


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one field compares and what its change means.

    `replaces`: the cloud cannot change it on a living object. `asked`: a change stems from the Service naming exactly
    this (its address, scheme, class), so its hazard needs no approval. `ignore_unset`: None means "leave as it is".
    """

    hazard: Hazard = Hazard.NONE
    replaces: bool = False
    asked: bool = False
    ignore_unset: bool = False
    equal: Callable[[Hashable, Hashable], bool] = same


@dataclass(frozen=True, slots=True)
class KindRule:
    """How resources of one kind are compared, and what making or removing one does to traffic.

    A field without a rule compares plainly and changes in place without effect on traffic.
    """

    label: str
    fields: Mapping[str, FieldRule] = field(default_factory=nothing, hash=False)
    on_delete: Hazard = Hazard.NONE


PLAIN = FieldRule()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of all kinds of a driver."""

    kinds: Mapping[str, KindRule] = field(default_factory=nothing, hash=False)

    def of(self, kind: str) -> KindRule:
        """The kind's rule; a kind without one compares plainly."""
        return self.kinds.get(kind) or KindRule(kind)
