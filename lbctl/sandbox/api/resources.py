"""The verbs on stored objects: create, update, delete, in the order and with the refusals of a real API server.

Called by the HTTP side with decoded bodies, and by nothing else. Synchronous, no I/O; the clock and chance are given.
Everything that differs between kinds is asked of `rules`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbctl.sandbox.api import meta_rules, status
from lbctl.sandbox.api.kinds import NAMESPACED, NAMESPACES, Kind
from lbctl.sandbox.api.objects import Obj, clone, encode, metadata, seconds_text, section
from lbctl.sandbox.api.ownership import Author, record
from lbctl.sandbox.api.rules import STORED, Rules
from lbctl.sandbox.api.status import Problems
from lbctl.sandbox.api.store import Entry, Key, Store

if TYPE_CHECKING:
    import datetime as dt
    import random
    from collections.abc import Callable

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX_LENGTH, LONGEST_PREFIX = 5, 58
STAYING_NAMESPACES = ("default", "kube-system", "kube-public")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write led to: the object as it is now (or last was) and whether it was made or removed by it."""

    entry: Entry
    created: bool = False
    removed: bool = False


class Resources:
    """All objects of one API server behind the rules of their kinds."""

    def __init__(
        self, store: Store, rules: dict[str, Rules], *, now: Callable[[], dt.datetime], chance: random.Random
    ) -> None:
        self.store = store
        self._rules = rules
        self._now = now
        self._chance = chance
        self._ending_namespaces: set[str] = set()

    def rules(self, kind: Kind) -> Rules:
        """How this kind behaves."""
        return self._rules.get(kind.storage, STORED)

    def get(self, kind: Kind, key: Key) -> Entry:
        """One object; raises Refusal 404 when it is not there."""
        entry = self.store.find(kind.storage, key)
        if entry is None:
            raise status.not_found(kind, key[1])
        return entry

    def create(self, kind: Kind, namespace: str, obj: Obj, *, author: Author, dry_run: bool = False) -> Outcome:
        """Store a new object; `obj` belongs to the caller no longer.

        Raises Refusal 400, 403, 404 (no such namespace), 409 or 422.
        """
        self._place(kind, namespace, obj)
        key = (namespace, self._name(obj))
        if self.store.find(kind.storage, key) is not None:
            raise status.already_exists(kind, key[1])
        rules = self.rules(kind)
        if kind.status and not rules.keeps_status_on_create:
            obj.pop("status", None)
        rules.default(obj)
        meta_rules.stamp(obj, uid=self._new_uid(), created=seconds_text(self._now()))
        if kind.counts_generations:
            metadata(obj)["generation"] = 1
        self._complete(kind, obj, None)
        record(kind, obj, None, author)
        return Outcome(self._keep(kind, obj, None, dry_run=dry_run), created=True)

    def update(
        self, kind: Kind, key: Key, change: Callable[[Obj], Obj], *, author: Author, dry_run: bool = False
    ) -> Outcome:
        """Store what `change` makes of a copy of the present object.

        Raises Refusal 404, 409 (stale resourceVersion) or 422. A change that changes nothing keeps the revision.
        """
        entry = self.get(kind, key)
        old = entry.value
        new = change(clone(old))
        self._check_revision(kind, new, old)
        # Before the parts are separated: what a client says of the other part still decides its defaults.
        self.rules(kind).default(new)
        self._separate_status(kind, new, old, author.subresource)
        meta_rules.carry_over(new, old)
        self._complete(kind, new, old, subresource=author.subresource)
        record(kind, new, old, author)
        if _same(new, old):
            return Outcome(entry)
        self._count_generation(kind, new, old)
        if "deletionTimestamp" in metadata(new) and not self._held(kind, new):
            return self._remove(kind, key, dry_run=dry_run)
        return Outcome(self._keep(kind, new, old, dry_run=dry_run))

    def delete(self, kind: Kind, key: Key, *, preconditions: Obj, dry_run: bool = False) -> Outcome:
        """Remove one object, or mark it for deletion while finalizers hold it; a second time changes nothing.

        Raises Refusal 403 (the namespaces that stay), 404, or 409 when a precondition does not hold.
        """
        entry = self.get(kind, key)
        _check_preconditions(kind, entry, preconditions)
        if kind is NAMESPACES and key[1] in STAYING_NAMESPACES:
            raise status.forbidden(kind, key[1], "this namespace may not be deleted")
        if not self._held(kind, entry.value):
            return self._remove(kind, key, dry_run=dry_run)
        if "deletionTimestamp" in metadata(entry.value):
            return Outcome(entry)
        return Outcome(self._mark(kind, entry, dry_run=dry_run))

    def finish_namespaces(self) -> None:
        """Empty and remove the namespaces that end: the one controller that a cluster cannot do without."""
        for name in sorted(self._ending_namespaces):
            if not self._empty(name):
                continue
            if self.store.find("namespaces", ("", name)) is not None:
                self._remove(NAMESPACES, ("", name), dry_run=False)
            self._ending_namespaces.discard(name)

    def seed(self, kind: Kind, obj: Obj) -> Entry:
        """Store an object as given, with defaults but without checks: for filling a server quickly."""
        meta = metadata(obj)
        meta.setdefault("uid", self._new_uid())
        meta.setdefault("creationTimestamp", seconds_text(self._now()))
        if kind.namespaced:
            meta.setdefault("namespace", "default")
        rules = self.rules(kind)
        rules.default(obj)
        rules.complete(obj, None, Problems())
        return self._keep(kind, obj, None, dry_run=False)

    def _place(self, kind: Kind, namespace: str, obj: Obj) -> None:
        meta = metadata(obj)
        if not kind.namespaced:
            meta.pop("namespace", None)
            return
        if meta.setdefault("namespace", namespace) != namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        self._check_namespace(kind, namespace, str(meta.get("name", "")))

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        found = self.store.find("namespaces", ("", namespace))
        if found is None:
            raise status.not_found(NAMESPACES, namespace)
        if "deletionTimestamp" in metadata(found.value):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
            raise status.forbidden(kind, name, why, causes=[cause | {"field": "metadata.namespace"}])

    def _name(self, obj: Obj) -> str:
        meta = metadata(obj)
        prefix = meta.get("generateName", "")
        if not meta.get("name") and prefix:
            suffix = "".join(self._chance.choices(SUFFIX_LETTERS, k=SUFFIX_LENGTH))
            meta["name"] = prefix[:LONGEST_PREFIX] + suffix
        return str(meta.get("name", ""))

    def _new_uid(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def _complete(self, kind: Kind, new: Obj, old: Obj | None, *, subresource: str = "") -> None:
        rules, name = self.rules(kind), str(metadata(new).get("name", ""))
        problems = Problems()
        if not subresource:
            rules.complete(new, old, problems)
        # What cannot be allocated is told alone: the rest is checked on the complete object only.
        if not problems.causes:
            self._check(rules, problems, new, old, subresource=subresource)
        if problems.causes:
            raise status.invalid(kind, name, problems.causes)

    def _check(self, rules: Rules, problems: Problems, new: Obj, old: Obj | None, *, subresource: str) -> None:
        meta_rules.check(problems, new, rules.name_fault)
        if old is not None:
            meta_rules.check_update(problems, new, old)
        if subresource:
            rules.check_status(problems, new)
        else:
            rules.check(problems, new, old)

    def _check_revision(self, kind: Kind, new: Obj, old: Obj) -> None:
        name, meta = metadata(old)["name"], metadata(new)
        given, current = meta.get("resourceVersion", ""), metadata(old)["resourceVersion"]
        if not given and self.rules(kind).needs_revision:
            problems = Problems()
            problems.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise status.invalid(kind, name, problems.causes)
        if given and given != current:
            raise status.conflict(kind, name)
        meta["resourceVersion"] = current

    def _separate_status(self, kind: Kind, new: Obj, old: Obj, subresource: str) -> None:
        if not kind.status:
            return
        if not subresource:
            _take(new, old, "status")
            return
        for name in {*new, *old} - {"metadata", "status"}:
            _take(new, old, name)

    def _count_generation(self, kind: Kind, new: Obj, old: Obj) -> None:
        if kind.counts_generations and _desired(new) != _desired(old):
            metadata(new)["generation"] = metadata(old).get("generation", 0) + 1

    def _held(self, kind: Kind, obj: Obj) -> bool:
        in_spec = section(obj, "spec").get("finalizers") if kind is NAMESPACES else None
        return bool(metadata(obj).get("finalizers") or in_spec)

    def _keep(self, kind: Kind, new: Obj, old: Obj | None, *, dry_run: bool) -> Entry:
        if dry_run:
            return _unstored(new)
        entry = self.store.put(kind.storage, new)
        self.rules(kind).settle(old, new)
        return entry

    def _mark(self, kind: Kind, entry: Entry, *, dry_run: bool) -> Entry:
        new = clone(entry.value)
        metadata(new).update(deletionTimestamp=seconds_text(self._now()), deletionGracePeriodSeconds=0)
        if kind is NAMESPACES:
            metadata(new).pop("deletionGracePeriodSeconds")
            new["status"]["phase"] = "Terminating"
            if not dry_run:
                self._ending_namespaces.add(entry.key[1])
        self._count_generation(kind, new, entry.value)
        return self._keep(kind, new, entry.value, dry_run=dry_run)

    def _remove(self, kind: Kind, key: Key, *, dry_run: bool) -> Outcome:
        if dry_run:
            return Outcome(self.get(kind, key), removed=True)
        old = self.get(kind, key).value
        last = self.store.remove(kind.storage, key)
        self.rules(kind).settle(old, None)
        return Outcome(last, removed=True)

    def _empty(self, namespace: str) -> bool:
        left = 0
        for kind in NAMESPACED:
            for entry in self.store.entries(kind.storage, namespace):
                left += not self.delete(kind, entry.key, preconditions={}).removed
        return left == 0


def _take(new: Obj, old: Obj, name: str) -> None:
    """Make one member what it was."""
    new.pop(name, None)
    if name in old:
        new[name] = clone(old[name])


def _desired(obj: Obj) -> Obj:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _same(new: Obj, old: Obj) -> bool:
    """Whether a write changed nothing but, perhaps, when a field's owner last wrote."""
    bare_new, bare_old = dict(metadata(new)), dict(metadata(old))
    owners = [[_timeless(entry) for entry in bare.pop("managedFields", [])] for bare in (bare_new, bare_old)]
    return owners[0] == owners[1] and new | {"metadata": bare_new} == old | {"metadata": bare_old}


def _timeless(entry: Obj) -> Obj:
    return {name: value for name, value in entry.items() if name != "time"}


def _unstored(obj: Obj) -> Entry:
    """What a dry run answers: the object as it would be, without a revision."""
    metadata(obj).pop("resourceVersion", None)
    meta = metadata(obj)
    return Entry((meta.get("namespace", ""), meta["name"]), 0, obj, encode(obj))


def _check_preconditions(kind: Kind, entry: Entry, preconditions: Obj) -> None:
    meta = metadata(entry.value)
    for name, words, likely in PRECONDITIONS:
        wanted = preconditions.get(name)
        if wanted is not None and wanted != meta[name]:
            why = f"the {words} in the precondition ({wanted}) does not match the {words} in record ({meta[name]})."
            raise status.conflict(kind, entry.key[1], f"{why} {likely}")


PRECONDITIONS = (
    ("uid", "UID", "The object might have been deleted and then recreated"),
    ("resourceVersion", "ResourceVersion", "The object might have been modified"),
)
