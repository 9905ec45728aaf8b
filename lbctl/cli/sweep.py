"""What `lbctl gc` found, what became of it, and how it is told."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import click

from lbctl.cli import documents
from lbctl.cli.consent import ask_consent
from lbctl.cli.desk import desk
from lbctl.cli.progress import progress
from lbctl.clock import SystemClock
from lbctl.driver import Cluster
from lbctl.engine.collecting import NOBODY, Orphan, agreed
from lbctl.engine.sweeping import Search, Swept
from lbctl.errors import InvalidSettings, LbctlError
from lbctl.model.resource import Identity, Scope
from lbctl.obs.log import set_up
from lbctl.plan.render import label
from lbctl.settings import Loaded, Settings
from lbctl.text import age, table

COLUMNS = ("ACCOUNT", "OWNER", "AGE", "OBJECTS", "BILLED", "STATE")
WIDE = ("ACCOUNT", "OWNER", "KIND", "NAME", "CREATED", "BILLED", "STATE")
ORPHAN, YOUNG, UNSURE = "orphan", "young", "unsure"
DELETED, HELD, KEPT, FAILED = "deleted", "held", "kept", "failed"
BOTH = "give --cluster-id and --cluster-name: clouds mark what is a cluster's by one or the other"


@contextlib.contextmanager
def search_of(loaded: Loaded, *, everything: bool, delete: bool) -> Iterator[Search]:
    """The search that the flags ask for: in the cluster that runs, or of one that is gone."""
    if loaded.origins.get("cluster.id") != "flag":
        if everything:
            raise click.UsageError(f"--all is for a cluster that is gone; {BOTH}.")
        with desk(loaded.settings) as at:
            yield Search.in_cluster(at.assembly)
        return
    if delete and not everything:
        raise click.UsageError("Without its API server nobody can say which Services live; --all says: none of them.")
    search = _search_gone(loaded)
    try:
        yield search
    finally:
        for account in search.accounts.values():
            account.driver.close()


def _search_gone(loaded: Loaded) -> Search:
    settings = loaded.settings
    if loaded.origins.get("cluster.name") != "flag":
        raise click.UsageError(f"A cluster that is gone has to be named whole; {BOTH}.")
    _refuse_other_cluster(settings)
    set_up(form=settings.obs.log_format, verbosity=settings.obs.verbosity)
    return Search.of_gone_cluster(settings, Cluster(settings.cluster.name, settings.cluster.id), SystemClock())


def _refuse_other_cluster(settings: Settings) -> None:
    """A driver's own setting wins over the flags, and in a living cluster's settings file it names that one."""
    flags = (settings.cluster.name, settings.cluster.id)
    for name, account in settings.accounts.items():
        for key, value in account.settings.items():
            if "cluster" in key and isinstance(value, str) and value not in ("", *flags):
                path = f"accounts.{name}.settings.{key}"
                raise InvalidSettings(
                    f"{path} names the cluster {value}, not {' or '.join(flags)}", hint=f"change {path}"
                )


@dataclass(slots=True)
class Findings:
    """The orphans of the newest look with the state of each."""

    search: Search
    older_than: float
    orphans: Sequence[Orphan]
    first_seen: dt.datetime
    states: dict[tuple[str, Identity], str] = field(default_factory=dict)
    reasons: dict[tuple[str, Identity], str] = field(default_factory=dict)

    @classmethod
    def of(cls, search: Search, *, older_than: float) -> Findings:
        """What one look finds."""
        with progress("reading what the clouds hold"):
            return cls(search, older_than, search.look(), search.clock.now())

    def remove(self, *, apart: float, yes: bool, timeout: float) -> None:
        """Look again after `apart` seconds, and remove what both looks agree on and is old enough.

        What may be younger than asked for, because its cloud does not tell, stays and says how it can be removed.
        """
        if not self._old_enough(self.orphans):
            return
        with progress(f"looking again in {apart:.0f} s, because a list may lag and a Service may come late"):
            self.search.clock.wait(apart)
            second = self.search.look()
        doomed = _without_shared(self._old_enough(agreed(self.orphans, second)), second)
        self.orphans = second
        self._spare_unproven()
        doomed = [orphan for orphan in doomed if self._state(orphan) == ORPHAN]
        if not doomed:
            return
        count = sum(len(orphan.objects) for orphan in doomed)
        ask_consent(f"Delete {count} objects of {len(doomed)} owners?", yes=yes)
        with progress("removing them"):
            swept = self.search.remove(doomed, deadline=self.search.clock.monotonic() + timeout)
        for orphan in doomed:
            self._note(orphan, [swept[orphan.account, scope] for scope in orphan.scopes])

    @property
    def failed(self) -> bool:
        """True when something could not be removed."""
        return FAILED in self.states.values()

    @property
    def left(self) -> bool:
        """True when an orphan is still there."""
        return any(self._state(orphan) not in (DELETED, YOUNG) for orphan in self.orphans)

    def table(self) -> str:
        """One line an owner."""
        if not self.orphans:
            return f"Nothing is left behind by Services of cluster {self._cluster}."
        return table(COLUMNS, [self._row(orphan) for orphan in self.orphans])

    def wide(self) -> str:
        """One line an object."""
        if not self.orphans:
            return self.table()
        rows = [
            (o.account, _owner(o.owner), s.key.kind, label(s.key, s.resource.name), s.outputs.get("created", ""),
             self._billed(o, s.key.kind), self._shown_state(o))
            for o in self.orphans for s in o.objects
        ]  # fmt: skip
        return table(WIDE, rows)

    def names(self) -> Iterator[str]:
        """The owners."""
        return (_owner(orphan.owner) for orphan in self.orphans)

    def document(self) -> documents.Leftovers:
        """For programs."""
        cluster = self.search.cluster
        searched = documents.Searched(cluster.name, cluster.id, self.search.gone)
        return documents.Leftovers(searched, [self._orphan_document(orphan) for orphan in self.orphans])

    def _orphan_document(self, orphan: Orphan) -> documents.Orphan:
        owner = orphan.owner
        return documents.Orphan(
            account=orphan.account,
            owner=documents.Owner(owner.namespace, owner.name, owner.uid),
            state=self._state(orphan),
            reason=self.reasons.get((orphan.account, owner), ""),
            created=orphan.created.isoformat() if orphan.created else "",
            first_seen=self.first_seen.isoformat(),
            objects=[
                documents.Left(seen.key.kind, seen.key.id, seen.resource.name, self._billed(orphan, seen.key.kind))
                for seen in orphan.objects
            ],
        )

    def _row(self, orphan: Orphan) -> tuple[str, ...]:
        kinds = Counter(seen.key.kind for seen in orphan.objects)
        objects = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        billed = "; ".join(sorted({self._billed(orphan, kind) for kind in kinds} - {""}))
        told = age(orphan.created.isoformat(), now=self.search.clock.now()) if orphan.created else "unknown"
        return (
            orphan.account,
            _owner(orphan.owner),
            told,
            objects,
            billed,
            self._shown_state(orphan),
        )

    def _billed(self, orphan: Orphan, kind: str) -> str:
        return self.search.accounts[orphan.account].info.billed.get(kind, "")

    def _shown_state(self, orphan: Orphan) -> str:
        reason = self.reasons.get((orphan.account, orphan.owner), "")
        return f"{self._state(orphan)}: {reason}" if reason else self._state(orphan)

    def _state(self, orphan: Orphan) -> str:
        known = self.states.get((orphan.account, orphan.owner))
        if known is not None:
            return known
        if not orphan.complete:
            return UNSURE
        return YOUNG if orphan.is_younger_than(self.older_than, now=self.search.clock.now()) else ORPHAN

    def _old_enough(self, orphans: Sequence[Orphan]) -> list[Orphan]:
        return [orphan for orphan in orphans if self._state(orphan) == ORPHAN]

    def _spare_unproven(self) -> None:
        now = self.search.clock.now()
        for orphan in self._old_enough(self.orphans):
            if not orphan.is_proven_older_than(self.older_than, now=now):
                key = (orphan.account, orphan.owner)
                self.states[key], self.reasons[key] = (
                    UNSURE,
                    "its cloud tells no age; --older-than 0s removes it even so",
                )

    def _note(self, orphan: Orphan, results: Sequence[Swept]) -> None:
        key = (orphan.account, orphan.owner)
        errors = [str(result) for result in results if isinstance(result, LbctlError)]
        held = [result for result in results if not isinstance(result, LbctlError) and result.held]
        if errors:
            self.states[key], self.reasons[key] = FAILED, "; ".join(dict.fromkeys(errors))
        elif held:
            self.states[key], self.reasons[key] = HELD, "the policy holds it; give --policy sync"
        elif any(_has(self.search, orphan, scope) for scope in orphan.scopes):
            self.states[key], self.reasons[key] = KEPT, "others use what is left of it"
        else:
            self.states[key] = DELETED

    @property
    def _cluster(self) -> str:
        return self.search.cluster.id or self.search.cluster.name


def _without_shared(doomed: list[Orphan], found: Sequence[Orphan]) -> list[Orphan]:
    """What is the cluster's own serves every owner, so it goes with the last of them only."""
    goes = {(orphan.account, orphan.owner) for orphan in doomed}
    staying = {orphan.account for orphan in found if (orphan.account, orphan.owner) not in goes}
    return [orphan for orphan in doomed if orphan.owner != NOBODY or orphan.account not in staying]


def _has(search: Search, orphan: Orphan, scope: Scope) -> bool:
    seen = search.accounts[orphan.account].look(scope)
    if orphan.owner != NOBODY:
        return bool(seen.owned_by(orphan.owner))
    return any(one.ours and not one.resource.owners for one in seen.resources.values())


def _owner(owner: Identity) -> str:
    if owner == NOBODY:
        return "(the cluster)"
    return owner.key if owner.namespace else owner.name or owner.uid
