"""The driver contract: what one cloud has to know, and what it may leave to the core.

A driver is a package that publishes a `DriverInfo` under the entry-point group `lbctl.providers`. Importing the package
loads no SDK; `DriverInfo.connect` does. The object that it returns is a `Driver`. All drivers have the same files:

    __init__.py     DRIVER = DriverInfo(...)
    annotations.py  the table of annotations, as data
    permissions.py  the rights that the driver needs, as data, and the cloud's own form of a role  pure
    settings.py     the driver's settings, and its upstream's configuration file
    names.py        upstream's names and tags, byte for byte
    parse.py        Service -> Intent                                              pure
    facts.py        cached reads that modelling needs: subnets, zones, networks    reads
    model.py        Intents + nodes + facts -> Desired                             pure
    observe.py      the cloud's objects -> Observed                                reads
    plan.py         rules for the differ; which steps share a call                 pure
    apply.py        one action -> one cloud call                                   writes
    client.py       the only module that imports the SDK
    errors.py       the SDK's codes -> lbctl.errors, one table
    check.py        findings for `lbctl doctor`, permissions                       reads
    driver.py       the class that joins them

How the core uses it (`lbctl.engine.reconcile`), for one scope:

    intents  = parse(service) for every Service whose scopes() name this scope
    facts    = facts(scope, world)
    desired  = model(scope, world, facts)         nothing wanted: an empty Desired, and the plan deletes what is left
    observed = the cache, filled by snapshot(), kept up to date by apply's Outputs, read again by observe(scope)
    plan     = plan(desired, observed, world)
    outputs  = apply(action, refs) for each action of plan, in order
    status   = status(identity, world) for every Service of the scope

What the core promises: one scope is never worked on twice at once; `apply` is called only while the lease is ours;
the finalizer is on every Service before the first action that creates something for it; everything that `apply`
returned is in `world` before the next call; a Service whose input is invalid is frozen (wanted as observed); after
`Rejected` with several changed owners, halves of them are frozen until the culprit is alone; a crash between any two
calls is followed by a fresh snapshot.

What a driver may tell besides: `outputs["created"]` of a seen object is the time at which the cloud made it, in ISO
8601; `lbctl gc` spares by it what is too young. Without a zone it is UTC; empty or missing means that the cloud does
not tell.

What a driver promises: deterministic names; ownership marks in the create call; `apply` of a create whose object an
earlier attempt already made finds it and returns it; "not found" is success for a delete; no sleeping (return
`Pending`, or raise `NotReady`); no exception but those of `lbctl.errors`; no state that is not in the cloud or in
Kubernetes, except caches whose loss costs only calls.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from lbctl.annotations import AnnotationTable
from lbctl.clock import Clock
from lbctl.errors import CloudError, NotReady
from lbctl.model.capabilities import Capabilities
from lbctl.model.intent import Intent
from lbctl.model.node import NodeSet
from lbctl.model.objects import CustomObject, EndpointSlice, Node, Pod, Service
from lbctl.model.reference import Reference
from lbctl.model.resource import Desired, Identity, Observed, Outputs, Ref, Scope, nothing
from lbctl.model.status import Status
from lbctl.plan.actions import Action, Plan


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster that we work for: `name` goes into upstream's names, `id` proves ownership."""

    name: str = "kubernetes"
    id: str = ""


Referred = Service | CustomObject
"""What a `Reference` may lead to."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a pure stage may look at; a read-only view of what this process knows, never of the cloud.

    `intents` holds the Services that take part in the scope at hand and are not going away; `services` are their
    objects. `slices` are filled only for drivers that watch EndpointSlices, and `pods` only for those that watch Pods:
    by uid, those that carry a readiness gate of the driver's. `referred` are the objects that the Services refer to;
    one that is missing does not exist, may not be read or is not known yet. `slices` holds those of referred Services
    too. `observed` spans all scopes.
    """

    cluster: Cluster
    now: datetime
    nodes: NodeSet = field(default_factory=NodeSet)
    intents: Mapping[Identity, Intent] = field(default_factory=nothing, hash=False)
    services: Mapping[Identity, Service] = field(default_factory=nothing, hash=False)
    slices: Mapping[Identity, tuple[EndpointSlice, ...]] = field(default_factory=nothing, hash=False)
    pods: Mapping[str, Pod] = field(default_factory=nothing, hash=False)
    referred: Mapping[Reference, Referred] = field(default_factory=nothing, hash=False)
    observed: Mapping[Scope, Observed] = field(default_factory=nothing, hash=False)


@dataclass(frozen=True, slots=True)
class Refs:
    """Resolves references while a plan runs: from this scope as written so far, else from the other scope's cache."""

    scope: Observed
    world: World

    def get(self, ref: Ref) -> str:
        """The value, or `NotReady` when the resource does not exist yet."""
        value = self.find(ref)
        if value is None:
            raise NotReady(f"{ref} does not exist yet", after_seconds=1.0)
        return value

    def find(self, ref: Ref) -> str | None:
        """The value, or None when the resource does not exist yet."""
        observed = self.scope if ref.scope in (None, self.scope.scope) else self.world.observed.get(ref.scope)
        seen = observed.get(ref.key) if observed is not None else None
        return seen.outputs.get(ref.attribute) if seen else None


@dataclass(frozen=True, slots=True)
class Pending:
    """The cloud accepted an action and works on it: `poll` will tell. `operation` is the cloud's handle.

    `early` is what the reply already confirmed, if anything (an id, an address).
    """

    operation: str
    poll_after: float = 1.0
    early: Outputs = field(default_factory=Outputs)
    payload: object = field(default=None, hash=False, compare=False)


Outcome = Outputs | CloudError


class Level(enum.StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of `lbctl doctor`: what was looked at, what was found, what to do."""

    level: Level
    subject: str
    message: str
    hint: str = ""


Look = Callable[[], Iterator[Finding]]


def look_at_all(looks: Iterable[tuple[str, Look]]) -> Iterator[Finding]:
    """The findings of every look, which are given with their subjects; what cannot be looked at is a failed one."""
    for subject, look in looks:
        try:
            yield from look()
        except CloudError as error:
            yield Finding(Level.FAILED, subject, error.message, error.hint)


class Driver(Protocol):
    """One account of one cloud. Methods marked pure take values and return values; the others do the I/O they name."""

    info: DriverInfo

    def claims(self, service: Service) -> bool:
        """Pure: False when this Service is another controller's although the class would allow it."""

    def parse(self, service: Service) -> Intent:
        """Pure: what the Service asks for; `InvalidService` with all problems."""

    def scopes(self, intent: Intent, world: World) -> tuple[Scope, ...]:
        """Pure: every scope whose objects this Service needs, its own balancer's first. No order is implied."""

    def facts(self, scope: Scope, world: World) -> Any:  # noqa: ANN401 - each driver has its own facts
        """Read, cached with an age: what `model` needs of the cloud beyond our own objects; None when nothing."""

    def model(self, scope: Scope, world: World, facts: Any) -> Desired:  # noqa: ANN401 - as above
        """Pure: everything that the scope should hold. `InvalidService`s go into `Desired.rejected`, by owner."""

    def snapshot(self, world: World) -> Mapping[Scope, Observed]:
        """Read in bulk everything of this cluster, also what no Service asks for; O(pages) calls.

        `world` holds all Services and intents known, to find whose an object is where names alone do not tell.
        """

    def observe(self, scope: Scope, world: World) -> Observed:
        """Read one scope; used after a conflict, an unknown reply, and before a deletion is called finished."""

    def plan(self, desired: Desired, observed: Observed, world: World) -> Plan:
        """Pure: `lbctl.plan.diff`, folded into calls, ordered by `lbctl.plan.order`. Raises `OwnedByOther`."""

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """Write: one call. Safe to repeat after a crash."""

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """Read: the outcome of each operation that is over, by its handle; one list call a tick where there is one."""

    def status(self, identity: Identity, world: World) -> Status:
        """Pure: what can be published for the Service now, from `world.observed` of its scopes."""

    def release(self, identity: Identity, observed: Observed) -> tuple[Action, ...]:
        """Pure: actions that take our marks off what the Service has, so that it stays without us."""

    def check(self) -> Iterator[Finding]:
        """Read: identity, permissions, quotas and settings, one finding each."""

    def close(self) -> None:
        """Let go of connections and processes; what serves traffic goes on."""


CLUSTER_PLACEHOLDER = "CLUSTER"


class Figure(enum.Enum):
    """What a driver may show of its cloud as it is now; each value is a metric, and the label tells which of them."""

    BUDGET_LEFT = "budget_left"
    """Calls that may be made at once before the cloud slows us; the label names the budget."""
    TARGETS = "targets"
    """Targets by their health; the label is `healthy`, `unhealthy`, `draining` or `unknown`."""
    ADDRESSES = "addresses"
    """Addresses that a pool can give; the label names the pool."""
    ADDRESSES_IN_USE = "addresses_in_use"
    """Addresses of a pool that balancers have."""


@dataclass(frozen=True, slots=True)
class Health:
    """How many of a Service's targets the cloud finds healthy; a target counts once for each port that it serves."""

    healthy: int
    total: int

    def __str__(self) -> str:
        return f"{self.healthy}/{self.total}"


@runtime_checkable
class TellsHealth(Protocol):
    """What a driver offers besides `Driver` when its cloud tells the health of single targets."""

    def health(self, identities: Iterable[Identity], world: World) -> Mapping[Identity, Health]:
        """Read: the health of the targets of those Services for which the cloud tells it; in bulk where it can be."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A Pod that waits: the type of the condition that its readiness gate names, and the addresses of its targets."""

    pod: str
    condition: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the cloud says of a Pod's targets: whether all of them are healthy, and why not in the cloud's own words."""

    healthy: bool
    reason: str = ""
    message: str = ""


@runtime_checkable
class JudgesGates(Protocol):
    """What a driver offers besides `Driver` when it watches `pods`: Pods may wait until their targets are healthy.

    The core keeps only Pods with a readiness gate whose type begins with `gate_prefix`, and reads Pods at all only
    while `may_gate` is true of some Service. It asks `judge` for the gates that are not open yet, with growing pauses,
    and writes the answer into the Pods' conditions. A gate that is open stays so until the Pod's containers fail.
    """

    gate_prefix: str

    def may_gate(self, service: Service) -> bool:
        """Pure: True when Pods may wait for targets of this Service."""

    def known_gates(self, conditions: Iterable[str], world: World) -> frozenset[str]:
        """Pure: those of these condition types that stand for targets of the Services in `world.intents`.

        All others are somebody else's, or of targets that are gone; nothing is written for them.
        """

    def judge(self, gates: Iterable[Gate], world: World) -> Mapping[Gate, Judgement]:
        """Read: what the cloud finds of these known gates' targets, in bulk; one that it does not tell is left out."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the core hands to a driver when it connects.

    `settings` is the decoded section of the settings file (an instance of `DriverInfo.settings`). `user_agent` goes on
    every request. `record` is called once a cloud call with operation, outcome code and seconds. `show` takes a
    figure, its label and its value whenever the driver has learnt it anyway: no call is made for it. `read_document`
    gives the data of one of `DriverInfo.documents` as text, None when there is none: one GET of the API server.
    """

    cluster: Cluster
    clock: Clock
    settings: Any
    user_agent: str
    random: Callable[[], float]
    record: Callable[[str, str, float], None] = lambda _operation, _code, _seconds: None
    show: Callable[[Figure, str, float], None] = lambda _figure, _label, _value: None
    read_document: Callable[[str], Mapping[str, str] | None] = lambda _key: None


@dataclass(frozen=True, slots=True)
class DriverInfo:
    """A driver as the core knows it before any SDK is loaded.

    `scope_kinds` are in rank order: a scope may refer to scopes of lower rank; creation goes up the ranks, deletion
    down. `node_kinds` are the scope kinds whose plans use nodes. `ready_node` says whether a node can be a target (it
    has the id or address that the cloud needs); `node_identity` is everything of a node that makes a difference to the
    cloud. `watches` names further resources: `endpointslices`, and `pods` for a driver that `JudgesGates`. `settings`
    is a msgspec struct or dataclass type. `classes` are the loadBalancerClass values that this driver's upstream
    answers to. `finalizers` are upstream's own mode finalizers, set and removed together with ours; one of
    `own_finalizers` that a wish does not ask for any more goes as soon as everything is as wished, so that nothing of
    the former mode is left. `min_node_sync_seconds` is the least time between two target updates of one scope for
    joining nodes.

    `references` tells, from the annotations of a Service, which further objects it is to be served by; pure, loads no
    SDK, never raises: what is wrong with the annotations is for `parse` to say. `refers_to` are the resources that it
    may name, as in `Reference`. They are watched only while some Service refers to anything. When one of them changes,
    or the EndpointSlices of a Service among them, the scopes of those that refer to it are planned anew.

    `permissions` makes the smallest role, in the cloud's own form, from the decoded settings and the Services to be
    served, or from None for everything that the driver can do; pure, loads no SDK. `CLUSTER_PLACEHOLDER` in it stands
    for the cluster's name. `controller_leases` are the Leases (`namespace/name`) by which other controllers of this
    cloud's Services show that they run. `write_lease` is one that every writer of the cloud's shared objects takes
    first, where the cluster has it. `billed` says, by resource kind, how the cloud charges for an object that nobody
    uses. `mark_fields` are the fields of resources that only say whose an object is: writing them takes a balancer over
    and changes nothing else. `result_annotations` are all keys in which upstream records on the Service what it made
    (`Status.annotations`): they go with the balancer, and stay when it is released. So do the types of conditions in
    `result_conditions` (`Status.conditions`), by which upstream tells of parts of it beside our one condition.

    `parser` makes, from the decoded settings, what `Driver.parse` is for a Service of which the cloud has nothing yet;
    it reads the upstream's configuration file that they name, and no more, and raises `InvalidSettings` when it cannot.
    Pure but for that, loads no SDK. Without it, `lbctl check` judges by `annotations` and `capabilities` alone.

    `documents` names, from the decoded settings, the ConfigMaps and Secrets (`configmaps/NAMESPACE/NAME`,
    `secrets/NAMESPACE/NAME`) that upstream keeps for its controllers and that the driver reads. `config_faults` says,
    from the decoded settings, what is wrong with the upstream's configuration file that they name, unknown keys among
    it, as sentences; it reads that file only.

    `tear_down` ends what outlives the process on this host, and removes its state; it takes the decoded settings, and
    only sandboxes call it.
    """

    name: str
    summary: str
    capabilities: Capabilities
    annotations: AnnotationTable
    scope_kinds: tuple[str, ...]
    node_kinds: frozenset[str]
    connect: Callable[[Setup], Driver]
    settings: type
    extra: str = ""
    classes: tuple[str, ...] = ()
    watches: frozenset[str] = frozenset()
    refers_to: tuple[str, ...] = ()
    references: Callable[[Service], frozenset[Reference]] = lambda _service: frozenset()
    ready_node: Callable[[Node], bool] = lambda _node: True
    node_identity: Callable[[Node], object] = lambda node: node.spec.provider_id
    finalizers: Callable[[Intent], tuple[str, ...]] = lambda _intent: ()
    own_finalizers: frozenset[str] = frozenset()
    min_node_sync_seconds: float = 10.0
    event_reasons: tuple[str, ...] = ()
    permissions: Callable[[Any, Iterable[Service] | None], Mapping[str, Any]] = lambda _settings, _services: {}
    controller_leases: tuple[str, ...] = ()
    write_lease: str = ""
    billed: Mapping[str, str] = field(default_factory=nothing, hash=False)
    mark_fields: frozenset[str] = frozenset({"tags", "tagged", "labels"})
    result_annotations: frozenset[str] = frozenset()
    parser: Callable[[Any], Callable[[Service], Intent]] | None = None
    result_conditions: frozenset[str] = frozenset()
    documents: Callable[[Any], tuple[str, ...]] = lambda _settings: ()
    config_faults: Callable[[Any], Iterable[str]] = lambda _settings: ()
    tear_down: Callable[[Any], None] = lambda _settings: None

    @property
    def served_classes(self) -> tuple[str, ...]:
        """Every loadBalancerClass that the driver answers to, once each: upstream's, then our own."""
        return tuple(dict.fromkeys((*self.classes, f"lbctl.io/{self.name}")))
