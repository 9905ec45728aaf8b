"""Says of a Service of a file whether an API server would store it and the driver that is meant would serve it.

Neither is asked: the rules of the first are built in, and of the second those that need no cloud. What only facts of a
cloud can tell is left to `lbctl plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from lbctl.cli.documents import Checked, Mistake
from lbctl.driver import DriverInfo
from lbctl.engine.assembly import claim_rules
from lbctl.engine.claim import Standing, claim
from lbctl.errors import InvalidService, InvalidSettings
from lbctl.kube.manifests import Document
from lbctl.model.applied import as_created
from lbctl.model.intent import Intent, read_intent
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.registry import find_provider
from lbctl.settings import AccountSettings, Settings, decode

Parse = Callable[[Service], Intent]
Parser = Callable[[Any], Parse]


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
    from lbctl.sandbox.api.judging import judge_service  # noqa: PLC0415 - the rules of an API server, for this alone

    read = document.service()
    if isinstance(read, Problem):
        name = str(document.body["metadata"].get("name", "?"))
        return Verdict(document.where, name, problems=(read,))
    service = as_created(read)
    refused = judge_service(document.body)
    if service.spec.type != "LoadBalancer":
        notes = (f"type {service.spec.type} needs no balancer",)
        return Verdict(document.where, service.key, problems=refused, notes=() if refused else notes)
    infos = _infos(settings)
    decision = claim(service, claim_rules(settings, infos))
    if decision.standing is not Standing.WANTED or decision.account is None:
        return Verdict(document.where, service.key, problems=refused, notes=(f"left alone: {decision.why}",))
    judged = _judge(document.where, service, infos[decision.account], settings.accounts[decision.account])
    return replace(judged, problems=(*_left_untold(refused, judged.problems), *judged.problems))


def _left_untold(refused: Iterable[Problem], told: Iterable[Problem]) -> Iterator[Problem]:
    """What the API server alone says: of a field that the driver judges too, the driver says what to do."""
    fields = {problem.path.lower() for problem in told}
    return (problem for problem in refused if problem.path.lower().partition("[")[0] not in fields)


def _infos(settings: Settings) -> dict[str, DriverInfo]:
    if not settings.accounts:
        hint = "give --provider NAME, or accounts in the settings file; `lbctl providers` lists the names"
        raise InvalidSettings("nothing says which driver would serve the Services", hint=hint)
    return {name: find_provider(account.provider) for name, account in settings.accounts.items()}


def _judge(where: str, service: Service, info: DriverInfo, account: AccountSettings) -> Verdict:
    """What the driver says, and its tables: a value that it lets pass, as its upstream does, is a mistake even so."""
    values = info.annotations.read(service.metadata.annotations)
    intent, problems = read_intent(service, capabilities=info.capabilities, values=values)
    notices = intent.notices
    notes: tuple[str, ...] = ()
    try:
        if info.parser is not None:
            parse, notes = _parser(info.parser, info, account)
            notices = parse(service).notices
    except InvalidService as error:
        told = {problem.path for problem in error.problems}
        problems = [*error.problems, *(problem for problem in problems if problem.path not in told)]
    notes = (*notes, *dict.fromkeys(notice.message for notice in notices))
    return Verdict(where, service.key, info.name, tuple(problems), notes)


def _parser(make: Parser, info: DriverInfo, account: AccountSettings) -> tuple[Parse, tuple[str, ...]]:
    """The driver's parse; with its default settings, and a note, where the file that they name is not at hand."""
    settings = decode(account.settings, info.settings, where=f"settings of {info.name}")
    try:
        return make(settings), ()
    except InvalidSettings as error:
        return make(info.settings()), (f"judged by the driver's default settings: {error.message}",)
