"""What programs get by `-o json` and `-o yaml`: a type for the document of every command, with all of its fields.

Commands make their documents of nothing else, and `docs/reference/output.schema.json` is made from these types, so it
says what is written. A field with the default UNSET is left out where it does not apply; every other one is there.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec
from msgspec import UNSET, UnsetType

from lbctl.driver import Level
from lbctl.engine.summary import State
from lbctl.model.capabilities import Affinity
from lbctl.plan.actions import Verb

if TYPE_CHECKING:
    from lbctl import driver
    from lbctl.engine import plans, summary
    from lbctl.engine.account import Account
    from lbctl.engine.tracked import Tracked
    from lbctl.model.problem import Problem
    from lbctl.plan import actions
    from lbctl.sandbox.demo import report

VERSION = 1
"""Counted up when a field is renamed, is removed, or means something else; a new field is no reason."""


class Part(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A piece of documents."""


class Answer(Part):
    """A whole document; whoever prints it puts the version in front."""


# -- plan -------------------------------------------------------------------------------------------------------------


class Change(Part):
    """A field that differs; its values are as the driver has them, null for one that is not there."""

    field: str
    old: Any
    new: Any


class Step(Part):
    """What happens to one object of the cloud; `services` are those whose wish it is, none for the cluster's own."""

    verb: Verb
    kind: str
    id: str
    name: str
    hazard: str
    why: str
    services: list[str]
    changes: list[Change]


class Action(Part):
    """One call to the cloud; `hazard` is none, drains, interrupts, moves_address or loses_address."""

    call: str
    hazard: str
    held: bool
    steps: list[Step]

    @classmethod
    def of(cls, action: actions.Action, *, held: bool) -> Self:
        """An action of a plan."""
        return cls(action.call, action.hazard.name.lower(), held, [_step(step) for step in action.steps])


class Wait(Part):
    """What is waited for, and after how many seconds it is looked at again."""

    condition: str
    poll_after_seconds: float


class Scope(Part):
    """A piece of the cloud that is planned as one."""

    kind: str
    name: str


class Plan(Part):
    """The plan of one scope; without its last five fields where `problem` says why there is none."""

    account: str
    services: list[str]
    problem: str
    scope: Scope | UnsetType = UNSET
    digest: str | UnsetType = UNSET
    held_digest: str | UnsetType = UNSET
    actions: list[Action] | UnsetType = UNSET
    waits: list[Wait] | UnsetType = UNSET

    @classmethod
    def of(cls, result: plans.Result) -> Self:
        """What planning a scope gave."""
        services, plan = list(result.services), result.plan
        if plan is None:
            return cls(result.account, services, result.problem)
        return cls(
            result.account,
            services,
            result.problem,
            scope=Scope(plan.scope.kind, plan.scope.name),
            digest=plan.digest,
            held_digest=plan.held_digest,
            actions=actions_of(plan),
            waits=[Wait(wait.condition, wait.poll_after) for wait in plan.waits],
        )


class Plans(Answer):
    """What would be done, scope by scope."""

    plans: list[Plan]


def actions_of(plan: actions.Plan) -> list[Action]:
    """The calls of a plan, then those that the policy holds."""
    return [Action.of(one, held=held) for every, held in ((plan.actions, False), (plan.held, True)) for one in every]


# -- services ---------------------------------------------------------------------------------------------------------


class After(enum.StrEnum):
    """The states of `lbctl status` that there are after a round of work, and that a Service is gone."""

    READY = State.READY.value
    PENDING = State.PENDING.value
    FAILED = State.FAILED.value
    HELD = State.HELD.value
    GONE = "gone"


class WorkedOn(Part):
    """A Service after a round of work."""

    namespace: str
    name: str
    provider: str
    account: str
    state: After
    reason: str
    message: str
    addresses: list[str]
    ports: list[str]

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @classmethod
    def of(cls, account: Account, tracked: Tracked) -> Self:
        """A Service after the round of this process."""
        from lbctl.engine.rounds import WORDS, outcome_of  # noqa: PLC0415 - loads the engine, for two commands of many

        outcome = outcome_of(account, tracked)
        state = After(WORDS[outcome.progress])
        ingress = () if state is After.GONE else tracked.service.status.load_balancer.ingress
        return cls(
            namespace=tracked.identity.namespace,
            name=tracked.identity.name,
            provider=account.info.name,
            account=account.name,
            state=state,
            reason=outcome.reason,
            message=outcome.message,
            addresses=[entry.ip or entry.hostname or "" for entry in ingress],
            ports=[f"{port.port}/{port.protocol}" for port in tracked.service.spec.ports],
        )


class Round(Answer):
    """What became of Services in a round of work."""

    services: list[WorkedOn]


class Targets(Part):
    """How many targets of a Service there are, and how many of them the cloud finds healthy."""

    healthy: int
    total: int


class Published(Part):
    """A Service as its controller published it; `targets` by `--targets` only, and null where no cloud tells."""

    namespace: str
    name: str
    state: State
    addresses: list[str]
    ports: list[str]
    reason: str
    message: str
    since: str
    targets: Targets | UnsetType | None = UNSET

    @classmethod
    def of(cls, summary: summary.Summary, health: Mapping[str, driver.Health] | None = None) -> Self:
        """A summary, with the health of its targets by `namespace/name` where that was asked for."""
        told = health.get(summary.key) if health is not None else None
        targets = Targets(told.healthy, told.total) if told is not None else None
        return cls(
            namespace=summary.namespace,
            name=summary.name,
            state=summary.state,
            addresses=list(summary.addresses),
            ports=list(summary.ports),
            reason=summary.reason,
            message=summary.message,
            since=summary.since,
            targets=targets if health is not None else UNSET,
        )


class Status(Answer):
    """Every Service's balancer."""

    services: list[Published]


# -- findings ---------------------------------------------------------------------------------------------------------


class Finding(Part):
    """What was found out about `subject`, and what to do about it."""

    level: Level
    subject: str
    message: str
    hint: str

    @classmethod
    def of(cls, finding: driver.Finding) -> Self:
        """A finding of the core's or a driver's."""
        return cls(finding.level, finding.subject, finding.message, finding.hint)


class Explanation(Answer):
    """Why a Service is as it is."""

    service: str
    state: State
    findings: list[Finding]


class Diagnosis(Answer):
    """What is wrong with cluster, rights and clouds."""

    findings: list[Finding]


class Mistake(Part):
    """What is wrong at `path` of a Service."""

    path: str
    message: str
    hint: str

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """A problem of a Service."""
        return cls(problem.path, problem.message, problem.hint)


class Checked(Part):
    """Whether a Service of a file is valid; `provider` is empty for one that is not served here.

    `service` is empty for a file that cannot be read, or that holds no object.
    """

    service: str
    file: str
    provider: str
    valid: bool
    problems: list[Mistake]
    notes: list[str]


class Validation(Answer):
    """The Services of files."""

    services: list[Checked]


# -- what is in a cloud -----------------------------------------------------------------------------------------------


class Owner(Part):
    """The Service for which something was made; all is empty for what is the cluster's own."""

    namespace: str
    name: str
    uid: str


class Left(Part):
    """An object of the cloud; `billed` is how the cloud charges for it, empty when it does not."""

    kind: str
    id: str
    name: str
    billed: str


class Orphan(Part):
    """What was left behind for one owner; `state` is orphan, young, unsure, deleted, held, kept or failed."""

    account: str
    owner: Owner
    state: str
    reason: str
    created: str
    first_seen: str
    objects: list[Left]


class Searched(Part):
    """The cluster whose objects were looked for; `gone` when it was named by flags."""

    name: str
    id: str
    gone: bool


class Leftovers(Answer):
    """What clouds hold for Services that are gone."""

    cluster: Searched
    orphans: list[Orphan]


class Touch(Part):
    """What would happen to one object when a Service is taken over, and to which of its fields."""

    verb: Verb
    kind: str
    id: str
    fields: list[str]


class Object(Part):
    """An object of the cloud, by lbctl's own id."""

    kind: str
    id: str


class Adoption(Part):
    """What taking a Service over does; `verdict` is nothing, tags only, change or cannot.

    `hazard` is none, drains, interrupts, moves-address or loses-address; `deletes` is what the Service's own deletion
    would remove.
    """

    service: str
    account: str
    verdict: str
    written: bool
    hazard: str
    calls: int
    steps: list[Touch]
    deletes: list[Object]
    reasons: list[str]


class Takeover(Answer):
    """What taking Services over does; `from` is the controller that served them, empty for any."""

    from_: str = msgspec.field(name="from")
    services: list[Adoption]


class Kept(Part):
    """An object that stays in the cloud."""

    kind: str
    name: str


class Release(Answer):
    """What was let go of; `blockedBy` are finalizers of others that hold the Service."""

    service: str
    released: bool
    kept: list[Kept]
    finalizers: list[str]
    blocked_by: list[str]


# -- reference --------------------------------------------------------------------------------------------------------


class Annotation(Part):
    """An annotation that the drivers `providers` read in the same way; `value` says what it may hold."""

    key: str
    providers: list[str]
    value: str
    default: str
    doc: str
    on_change: str
    modes: list[str]
    source: str
    deprecated: str


class Annotations(Answer):
    """Annotations with what they mean."""

    annotations: list[Annotation]


class Provider(Part):
    """A driver and what it can do; `annotations` is how many of them it reads."""

    name: str
    summary: str
    extra: str
    protocols: list[str]
    families: list[str]
    source_ranges: bool
    affinity: Affinity
    mixed: bool
    dual_stack: bool
    proxy_protocol: bool
    shared_address: bool
    requested_address: bool
    classes: list[str]
    annotations: int


class Providers(Answer):
    """The installed drivers."""

    providers: list[Provider]


class Permissions(Answer):
    """The smallest role in the cloud's own form; `services` is null when it is for everything the driver can do."""

    provider: str
    services: list[str] | None
    role: Mapping[str, Any]


class Setting(Part):
    """A setting; `from` is default, the path of a file, the name of a variable, or flag."""

    path: str
    value: Any
    from_: str = msgspec.field(name="from")


class Configuration(Answer):
    """Every setting and where it came from."""

    settings: list[Setting]


class Version(Answer):
    """The versions of lbctl and of Python."""

    lbctl: str
    python: str


class Manifests(Part):
    """Kubernetes' own List, for kubectl; so it bears no version of ours."""

    api_version: Literal["v1"]
    kind: Literal["List"]
    items: Sequence[Mapping[str, Any]]


# -- demo -------------------------------------------------------------------------------------------------------------


class Visited(Part):
    """A Service of the demo: requests made, those answered, and the pods that answered."""

    name: str
    address: str
    ports: list[str]
    requests: int
    answered: int
    targets_seen: list[str] = msgspec.field(name="targets_seen")


class Scene(Part):
    """A step of the demo; `problem` only where it was not ok."""

    name: str
    ok: bool
    seconds: float
    problem: str | UnsetType = UNSET


class Demo(Answer):
    """What came of the demo; `leftovers` is null when nobody could look."""

    services: list[Visited]
    steps: list[Scene]
    leftovers: int | None
    seconds: float
    ok: bool

    @classmethod
    def of(cls, report: report.Report) -> Self:
        """The report of a demo."""
        return cls(
            services=[
                Visited(one.name, one.address, list(one.ports), one.requests, one.answered, sorted(one.targets))
                for one in report.services.values()
            ],
            steps=[Scene(one.name, one.ok, round(one.seconds, 2), one.problem or UNSET) for one in report.steps],
            leftovers=report.leftovers,
            seconds=round(report.seconds, 2),
            ok=report.ok,
        )


DOCUMENTS: Mapping[str, type[Part]] = {
    "once": Round,
    "plan": Plans,
    "apply": Round,
    "status": Status,
    "explain": Explanation,
    "doctor": Diagnosis,
    "permissions": Permissions,
    "gc": Leftovers,
    "adopt": Takeover,
    "release": Release,
    "check": Validation,
    "providers": Providers,
    "annotations": Annotations,
    "manifests": Manifests,
    "config show": Configuration,
    "demo": Demo,
    "version": Version,
}
"""The document of each command that has one."""


def _step(step: actions.Step) -> Step:
    return Step(
        verb=step.verb,
        kind=step.key.kind,
        id=step.key.id,
        name=step.name,
        hazard=step.hazard.name.lower(),
        why=step.why,
        services=sorted(owner.key for owner in step.owners),
        changes=[Change(one.field, _plain(one.old), _plain(one.new)) for one in step.changes],
    )


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, tuple):
        named = getattr(value, "_fields", ())
        return dict(zip(named, map(_plain, value), strict=True)) if named else [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)
