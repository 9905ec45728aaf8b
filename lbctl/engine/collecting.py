"""What clouds hold for Services that are gone. Pure.

`lbctl gc` shows it. An owner is an orphan when its objects are proven to be this cluster's and no Service that exists,
of whatever type or class, is that owner.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbctl.model.intent import identity_of
from lbctl.model.objects import Service
from lbctl.model.resource import Identity, Observed, Scope, Seen

CREATED = "created"
NOBODY = Identity("", "", "")
"""Stands for the cluster itself, which owns what serves all Services."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """Everything that one owner still has in one account.

    `created` is the oldest time that the cloud tells of any of it, None where it tells none. `complete` is False when
    a list was cut or a reply unknown: then nothing may be concluded from this look.
    """

    account: str
    owner: Identity
    scopes: tuple[Scope, ...]
    objects: tuple[Seen, ...]
    created: dt.datetime | None
    complete: bool

    def is_younger_than(self, seconds: float, *, now: dt.datetime) -> bool:
        """True only where the cloud tells the age."""
        return self.created is not None and (now - self.created).total_seconds() < seconds

    def is_proven_older_than(self, seconds: float, *, now: dt.datetime) -> bool:
        """True where the cloud tells the age, or where any age will do."""
        return seconds <= 0 or (self.created is not None and not self.is_younger_than(seconds, now=now))


@dataclass(frozen=True, slots=True)
class Living:
    """The Services that exist, by everything that a cloud object may name them by."""

    uids: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    @classmethod
    def of(cls, services: Iterable[Service]) -> Living:
        """All Services of the cluster, of every type and class."""
        identities = [identity_of(service) for service in services]
        return cls(frozenset(i.uid for i in identities), frozenset(i.key for i in identities))

    def __contains__(self, owner: Identity) -> bool:
        """True when the owner exists; without a uid its name alone decides, in favour of the living."""
        return owner.uid in self.uids if owner.uid else owner.key in self.keys


def find_orphans(account: str, seen: Mapping[Scope, Observed], living: Living, *, everything: bool) -> Iterator[Orphan]:
    """The orphans of one snapshot, by owner; with `everything` also what belongs to the cluster itself."""
    by_owner: dict[Identity, list[tuple[Scope, Seen]]] = {}
    for scope, observed in sorted(seen.items()):
        for found in observed.resources.values():
            owners = found.resource.owners or ({NOBODY} if everything else ())
            for owner in owners if found.ours else ():
                by_owner.setdefault(owner, []).append((scope, found))
    for owner, found_here in sorted(by_owner.items()):
        if owner not in living:
            scopes = tuple(dict.fromkeys(scope for scope, _ in found_here))
            objects = tuple(found for _, found in found_here)
            complete = all(seen[scope].complete for scope in scopes)
            yield Orphan(account, owner, scopes, objects, _oldest(objects), complete)


def agreed(first: Collection[Orphan], second: Iterable[Orphan]) -> tuple[Orphan, ...]:
    """What two complete looks both call an orphan, as the second one saw it."""
    before = {(orphan.account, orphan.owner) for orphan in first if orphan.complete}
    return tuple(o for o in second if o.complete and (o.account, o.owner) in before)


def _oldest(objects: Iterable[Seen]) -> dt.datetime | None:
    told = (seen.outputs.get(CREATED, "") for seen in objects)
    return min((_time(text) for text in told if text), default=None)


def _time(text: str) -> dt.datetime:
    time = dt.datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
