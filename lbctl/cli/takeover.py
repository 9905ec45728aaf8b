"""The report of `lbctl adopt`, and the writing of marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import click

from lbctl.cli import documents
from lbctl.cli.approval import Leading, find_leader
from lbctl.cli.consent import ask_consent
from lbctl.cli.desk import Desk, selected
from lbctl.cli.progress import progress
from lbctl.engine.account import Account
from lbctl.engine.adopting import Adoption, Verdict, judge, write_marks
from lbctl.engine.claim import SHARED_FINALIZER
from lbctl.engine.tracked import Tracked
from lbctl.errors import Exit, LbctlError
from lbctl.kube.writes import ServiceWriter
from lbctl.plan.actions import change_text
from lbctl.plan.render import label
from lbctl.text import table

COLUMNS = ("SERVICE", "ADDRESS", "VERDICT", "HAZARD", "CALLS", "DELETES", "WHY")
WIDE = ("SERVICE", "VERDICT", "VERB", "KIND", "NAME", "HAZARD", "WHAT")


WRITTEN = "written"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A controller that is taken over from: whose cloud, and by which finalizers its Services are known."""

    provider: str
    finalizers: frozenset[str]


CLEANUP = frozenset({SHARED_FINALIZER})
GKE = frozenset(f"gke.networking.io/l4-{mode}" for mode in ("ilb-v1", "ilb-v2", "netlb-v1", "netlb-v2", "netlb-v3"))
UPSTREAMS: Mapping[str, Upstream] = {
    "aws-ccm": Upstream("aws", CLEANUP),
    "aws-lbc": Upstream("aws", frozenset({"service.k8s.aws/resources"})),
    "azure": Upstream("azure", CLEANUP),
    "gce": Upstream("gce", CLEANUP),
    "gke-l4": Upstream("gce", GKE),
    "occm": Upstream("openstack", CLEANUP),
    "cloudstack": Upstream("cloudstack", CLEANUP),
}


@dataclass(slots=True)
class Takeover:
    """The adoptions of the Services that were asked for, and which of them were marked."""

    desk: Desk
    upstream: str
    adoptions: Sequence[Adoption]
    written: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, at: Desk, names: Sequence[str], *, upstream: str) -> Takeover:
        """What taking over does to the named Services, or to all; to those that `upstream` serves when it is given."""
        chosen = selected(at.assembly, names)
        if upstream:
            _check_provider(at, upstream)
            chosen = [pair for pair in chosen if _is_served_by(UPSTREAMS[upstream], *pair)]
        return cls(at, upstream, list(judge(at.assembly, chosen)))

    def write(self, *, yes: bool, seconds: float) -> None:
        """Mark what can be marked; what fails is told, the others go on."""
        ready = [adoption for adoption in self.adoptions if adoption.can_be_marked]
        leader = find_leader(self.desk.assembly)
        if leader:
            raise Leading(f"{leader} leads and takes over by itself", hint="see what it did with: lbctl status")
        if not ready:
            return
        calls = sum(len(adoption.actions) for adoption in ready)
        ask_consent(f"Write the marks of {len(ready)} Services, in {calls} calls?", yes=yes)
        writer, clock = ServiceWriter(self.desk.rest), self.desk.assembly.clock
        with progress("writing marks"):
            for adoption in ready:
                key = adoption.tracked.identity.key
                try:
                    write_marks(self.desk.assembly, adoption, writer, deadline=clock.monotonic() + seconds)
                    self.written.add(key)
                except LbctlError as error:
                    self.failed[key] = str(error)

    @property
    def exit_code(self) -> Exit:
        """0 when all is as it would be, 2 when something is to be done, 1 when something cannot be done."""
        verdicts = {a.verdict for a in self.adoptions if a.tracked.identity.key not in self.written}
        if self.failed or Verdict.CANNOT in verdicts:
            return Exit.FAILURE
        return Exit.OK if verdicts <= {Verdict.NOTHING} else Exit.CHANGES

    def names(self) -> Iterator[str]:
        """The Services."""
        return (adoption.tracked.identity.key for adoption in self.adoptions)

    def table(self) -> str:
        """One line a Service, then the verdicts counted."""
        if not self.adoptions:
            return "No Service is to be taken over."
        counts = Counter(self._verdict(adoption) for adoption in self.adoptions)
        totals = ", ".join(f"{counts[word]} {word}" for word in (*Verdict, WRITTEN) if counts[word])
        return f"{table(COLUMNS, [self._row(adoption) for adoption in self.adoptions])}\n\n{totals}"

    def wide(self) -> str:
        """One line a change."""
        if not self.adoptions:
            return self.table()
        return table(WIDE, [row for adoption in self.adoptions for row in self._rows(adoption)])

    def document(self) -> documents.Takeover:
        """For programs."""
        return documents.Takeover(self.upstream, [self._document(adoption) for adoption in self.adoptions])

    def _row(self, adoption: Adoption) -> tuple[str, ...]:
        ingress = adoption.tracked.service.status.load_balancer.ingress
        return (
            adoption.tracked.identity.key,
            ",".join(entry.ip or entry.hostname or "" for entry in ingress),
            self._verdict(adoption),
            _hazard(adoption),
            str(len(adoption.actions)),
            str(len(adoption.touched)),
            "; ".join(self._reasons(adoption)),
        )

    def _rows(self, adoption: Adoption) -> Iterator[tuple[str, ...]]:
        key, verdict = adoption.tracked.identity.key, self._verdict(adoption)
        for step in adoption.steps:
            what = "; ".join(change_text(change) for change in step.changes) or step.why
            shown, hazard = label(step.key, step.name), step.hazard.name.lower().replace("_", "-")
            yield key, verdict, step.verb.value, step.key.kind, shown, hazard, what
        if not adoption.steps:
            yield key, verdict, "", "", "", "", "; ".join(self._reasons(adoption))

    def _document(self, adoption: Adoption) -> documents.Adoption:
        return documents.Adoption(
            service=adoption.tracked.identity.key,
            account=adoption.account.name,
            verdict=adoption.verdict.value,
            written=adoption.tracked.identity.key in self.written,
            hazard=_hazard(adoption),
            calls=len(adoption.actions),
            steps=[
                documents.Touch(step.verb, step.key.kind, step.key.id, [change.field for change in step.changes])
                for step in adoption.steps
            ],
            deletes=[documents.Object(key.kind, key.id) for _, key in sorted(adoption.touched)],
            reasons=list(self._reasons(adoption)),
        )

    def _verdict(self, adoption: Adoption) -> str:
        return WRITTEN if adoption.tracked.identity.key in self.written else adoption.verdict.value

    def _reasons(self, adoption: Adoption) -> Iterator[str]:
        yield from adoption.problems
        if adoption.tracked.identity.key in self.failed:
            yield self.failed[adoption.tracked.identity.key]
        if adoption.is_unrecognised:
            yield "nothing in the cloud was recognised as what serves its address: a new balancer would be made"
        if adoption.verdict is Verdict.TAGS and not adoption.can_be_marked:
            yield "what it shares with others changes too; see: lbctl plan"
        for name in adoption.foreign:
            yield f"the finalizer {name} stays: take it off once its controller is gone, or deletion waits for it"


def _check_provider(at: Desk, upstream: str) -> None:
    provider = UPSTREAMS[upstream].provider
    if provider not in {account.info.name for account in at.assembly.accounts.values()}:
        raise click.UsageError(
            f"{upstream} serves {provider}, for which there is no account; give --provider {provider}."
        )


def _is_served_by(upstream: Upstream, account: Account, tracked: Tracked) -> bool:
    return account.info.name == upstream.provider and not upstream.finalizers.isdisjoint(
        tracked.service.metadata.finalizers
    )


def _hazard(adoption: Adoption) -> str:
    return adoption.hazard.name.lower().replace("_", "-")
