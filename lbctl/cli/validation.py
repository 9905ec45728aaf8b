"""Is a Service of a file valid for the driver that would serve it? Decided by the driver's tables alone.

No driver is connected, so what only facts of a cloud can tell is left to `lbctl plan`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from lbctl.cli.documents import Checked, Mistake
from lbctl.driver import DriverInfo
from lbctl.engine.assembly import claim_rules
from lbctl.engine.claim import Standing, claim
from lbctl.errors import InvalidSettings
from lbctl.kube.manifests import Document
from lbctl.model.applied import as_created
from lbctl.model.intent import read_intent
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.registry import find_provider
from lbctl.settings import Settings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about one Service; `provider` is empty for one that is not ours to judge."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("SERVICE", "PROVIDER", "RESULT", "WHAT")

    where: str
    service: str
    provider: str = ""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_valid(self) -> bool:
        """True when it would be served as it is written."""
        return not self.problems

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A row a problem or note; one row when there is neither."""
        for problem in self.problems:
            yield self.service, self.provider, "invalid", f"{problem} [{self.where}]"
        for note in self.notes:
            yield self.service, self.provider, "note", f"{note} [{self.where}]"
        if not (self.problems or self.notes):
            yield self.service, self.provider, "valid", ""

    def document(self) -> Checked:
        """For programs."""
        return Checked(
            service=self.service,
            file=self.where,
            provider=self.provider,
            valid=self.is_valid,
            problems=[Mistake.of(problem) for problem in self.problems],
            notes=list(self.notes),
        )


def validate(document: Document, settings: Settings) -> Verdict:
    """The verdict on one document; `InvalidSettings` when nothing says which driver would serve it."""
    read = document.service()
    if isinstance(read, Problem):
        name = str(document.body["metadata"].get("name", "?"))
        return Verdict(document.where, name, problems=(read,))
    service = as_created(read)
    if service.spec.type != "LoadBalancer":
        return Verdict(document.where, service.key, notes=(f"type {service.spec.type} needs no balancer",))
    infos = _infos(settings)
    decision = claim(service, claim_rules(settings, infos))
    if decision.standing is not Standing.WANTED or decision.account is None:
        return Verdict(document.where, service.key, notes=(f"left alone: {decision.why}",))
    return _judge(document.where, service, infos[decision.account])


def _infos(settings: Settings) -> dict[str, DriverInfo]:
    if not settings.accounts:
        hint = "give --provider NAME, or accounts in the settings file; `lbctl providers` lists the names"
        raise InvalidSettings("nothing says which driver would serve the Services", hint=hint)
    return {name: find_provider(account.provider) for name, account in settings.accounts.items()}


def _judge(where: str, service: Service, info: DriverInfo) -> Verdict:
    values = info.annotations.read(service.metadata.annotations)
    intent, problems = read_intent(service, capabilities=info.capabilities, values=values)
    notes = tuple(notice.message for notice in intent.notices)
    return Verdict(where, service.key, info.name, tuple(problems), notes)
