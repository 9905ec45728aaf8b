"""The Services of a cluster as `lbctl status` shows them, once or continuously.

The continuous view mirrors the Services by a watch, and says so when what it shows may be old.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import click

from lbctl.cli.desk import connect
from lbctl.cli.progress import progress
from lbctl.clock import SystemClock
from lbctl.engine.assembly import claim_rules
from lbctl.engine.claim import OWN_FINALIZER, SHARED_FINALIZER, ClaimRules, claim
from lbctl.engine.summary import State, Summary, summarise
from lbctl.errors import KubeUnreachable
from lbctl.kube.reads import Cluster
from lbctl.kube.resources import service_resource
from lbctl.kube.watch import Reflector
from lbctl.model.objects import Service
from lbctl.registry import find_provider
from lbctl.settings import Settings
from lbctl.text import SUMMARY_COLUMNS, Lines, LiveTable, Silence, age, summary_rows

LOOK_SECONDS = 0.25
SPARE_LINES = 4
"""Lines of the terminal for the head, a doubt, the names of the columns and the prompt."""


Screen = Lines | LiveTable | Silence


class Overview:
    """One cluster; `namespace` empty means all of them, `names` none means every Service."""

    def __init__(self, settings: Settings, *, namespace: str, names: Sequence[str] = ()) -> None:
        self._rest = connect(settings)
        self._rules = _rules(settings)
        self._namespace = namespace
        self._names = frozenset(names)
        self._clock = SystemClock()
        self._stale_since: dt.datetime | None = None

    def now(self) -> dt.datetime:
        """The time that ages are counted to."""
        return self._clock.now()

    def read(self) -> list[Summary]:
        """All Services that want a balancer, by name; one GET per 500. `UsageError` when one of `names` is none."""
        with progress("reading the Services"):
            summaries = self._summaries(Cluster(self._rest).list_services())
        unknown = sorted(self._names.difference(summary.key for summary in summaries))
        if unknown:
            hint = "Name them as NAMESPACE/NAME; see: lbctl status -o name"
            raise click.UsageError(f"There is no Service of type LoadBalancer called {', '.join(unknown)}. {hint}")
        return summaries

    def watch(self, *, seconds: float | None, until_settled: bool) -> list[Summary]:
        """Show the Services until interrupted, for `seconds`, or until all are settled; returns what was shown last.

        Raises KubeUnreachable when nothing could be shown at all.
        """
        if self._names:
            self.read()
        with LiveTable() if sys.stdout.isatty() else contextlib.nullcontext(Lines()) as screen:
            return self._follow(screen, seconds=seconds, until_settled=until_settled)

    def wait(self, *, seconds: float) -> list[Summary]:
        """Return once all Services are settled, or after `seconds`, with what there is then."""
        summaries = self.read()
        if self.are_settled(summaries):
            return summaries
        with progress("waiting for the Services to be ready"):
            return self._follow(Silence(), seconds=seconds, until_settled=True)

    def are_settled(self, summaries: Sequence[Summary]) -> bool:
        """Whether all are ready; another controller's count too, where nobody named them."""
        if self._names:
            return self._names <= {summary.key for summary in summaries if summary.state is State.READY}
        return all(_is_fine(summary) for summary in summaries)

    def _follow(self, screen: Screen, *, seconds: float | None, until_settled: bool) -> list[Summary]:
        mirror = Reflector(
            service_resource((SHARED_FINALIZER, OWN_FINALIZER)),
            rest=self._rest,
            clock=self._clock,
            rng=random.Random(),  # noqa: S311 - spreads retries, guards nothing
            listener=_Nobody(),
        )
        thread = threading.Thread(target=mirror.run, name="watch", daemon=True)
        give_up_at = None if seconds is None else self._clock.monotonic() + seconds
        with ExitStack() as ending:
            ending.callback(mirror.stop)
            # The screen says itself why it is stale, once.
            logging.getLogger("lbctl").addHandler(logging.NullHandler())
            thread.start()
            summaries: list[Summary] = []
            while give_up_at is None or self._clock.monotonic() < give_up_at:
                if mirror.synced:
                    summaries = self._summaries(mirror.store)
                shown = summaries if len(summaries) + SPARE_LINES < screen.height else sorted(summaries, key=_is_fine)
                head = count_states(summaries) if mirror.synced else "reading the Services"
                rows = summary_rows(shown, now=self.now())
                screen.show(SUMMARY_COLUMNS, rows, head=head, doubt=self._doubt(mirror))
                if until_settled and mirror.synced and self.are_settled(summaries):
                    break
                self._clock.wait(LOOK_SECONDS)
        if not mirror.synced:
            raise KubeUnreachable(mirror.stats.last_error or "the list of Services did not come in time")
        return summaries

    def _summaries(self, services: Iterable[Service]) -> list[Summary]:
        wanted = (s for s in services if s.spec.type == "LoadBalancer")
        chosen = (s for s in wanted if not self._names or s.key in self._names)
        mine = (s for s in chosen if self._namespace in ("", s.metadata.namespace))
        return sorted((self._summary(service) for service in mine), key=lambda summary: summary.key)

    def _summary(self, service: Service) -> Summary:
        return summarise(service, claim(service, self._rules) if self._rules is not None else None)

    def _doubt(self, mirror: Reflector[Service]) -> str:
        """That what is shown may be old, for how long, and why; empty while it is not."""
        why = mirror.stats.last_error
        if not why or mirror.stats.connected:
            self._stale_since = None
            return ""
        self._stale_since = self._stale_since or self.now()
        return f"(stale) nothing new for {age(self._stale_since.isoformat(), now=self.now())}: {why}"


def count_states(summaries: Sequence[Summary]) -> str:
    """How many Services are in which state, as a sentence."""
    counts = Counter(summary.state.value for summary in summaries)
    states = ", ".join(f"{counts[state.value]} {state.value}" for state in State if counts[state.value])
    return f"{len(summaries)} Services: {states}" if summaries else "No Service of type LoadBalancer"


def _is_fine(summary: Summary) -> bool:
    return summary.state in (State.READY, State.FOREIGN)


class _Nobody:
    """A listener that looks at the store instead."""

    def on_change(self, old: Service | None, new: Service | None) -> None:
        """Nothing."""

    def on_synced(self) -> None:
        """Nothing."""


def _rules(settings: Settings) -> ClaimRules | None:
    if not settings.accounts:
        return None
    infos = {name: find_provider(account.provider) for name, account in settings.accounts.items()}
    return claim_rules(settings, infos)
