"""What the stages of one pass share: the process's tools, the pass's own notes, and when to come back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lbctl.clock import Clock
from lbctl.driver import Cluster
from lbctl.engine.account import Account
from lbctl.engine.backoff import Backoff
from lbctl.engine.planning import Planned
from lbctl.engine.tracked import Basis, Tracked
from lbctl.errors import KubeConflict, KubeGone, LbctlError
from lbctl.kube.patches import Clearing
from lbctl.model.objects import Condition, Ingress, Pod, Service
from lbctl.model.resource import Identity, Scope
from lbctl.model.status import Notice
from lbctl.plan.actions import Action
from lbctl.plan.policy import Policy

Steps = Generator[str, None, None]
"""A stage that writes: it yields the name of each write before making it."""


class Writer(Protocol):
    """The writes on Services (`lbctl.kube.writes.ServiceWriter`); raises `KubeError`s."""

    def add_finalizers(self, service: Service, names: Sequence[str]) -> Service:
        """The Service with the finalizers added."""

    def remove_finalizers(self, service: Service, names: Sequence[str], *, clearing: Clearing | None = None) -> Service:
        """The Service without the finalizers; `KubeGone` when there is nothing left to remove."""

    def write_status(
        self,
        service: Service,
        *,
        ingress: Sequence[Ingress],
        conditions: Sequence[Condition],
        annotations: Mapping[str, str | None] | None = None,
    ) -> Service:
        """The Service with exactly this ingress and these conditions, and these annotations changed."""


class PodWriter(Protocol):
    """The one write on Pods (`lbctl.kube.writes.PodWriter`); raises `KubeError`s."""

    def write_pod_condition(self, pod: Pod, condition: Condition) -> Pod:
        """The Pod with this condition; those of others are as they were."""


class Reads(Protocol):
    """The live reads on Services (`lbctl.kube.reads.Cluster`)."""

    def get_service(self, namespace: str, name: str) -> Service | None:
        """The Service as the server holds it now."""

    def get_ingress_owner(self, service: Service) -> str:
        """Who wrote the ingress last."""


class Recorder(Protocol):
    """The queue of Events (`lbctl.kube.events.Recorder`)."""

    def emit(self, about: Service, notice: Notice) -> None:
        """Queue an Event; never fails."""


@dataclass(slots=True)
class Shared:
    """What all reconcilers of a process use.

    `may_write` raises `LostLease` when this process must not write. `approved` are digests of held plans that the
    person at the desk lets run.
    """

    writer: Writer
    pod_writer: PodWriter
    reads: Reads
    recorder: Recorder
    clock: Clock
    backoff: Backoff
    cluster: Cluster
    policy: Policy
    may_write: Callable[[], None]
    on_bug: Callable[[BaseException], None] = lambda _error: None
    on_applied: Callable[[Account, Action], None] = lambda _account, _action: None
    approved: frozenset[str] = frozenset()


@dataclass(slots=True)
class ComeBack:
    """When a scope wants to be looked at again, which other scopes its changes concern, and who has left for good."""

    at: float | None = None
    touched: frozenset[Scope] = frozenset()
    gone: tuple[Identity, ...] = ()

    def not_later_than(self, at: float) -> None:
        """Come back at this time or before."""
        self.at = at if self.at is None else min(self.at, at)


@dataclass(slots=True)
class Pass:
    """The notes of one pass, dropped at its end.

    `marked` got their finalizer in this pass, `unmarked` have none yet. `homes` are scopes that have to publish what
    was found here. `again` asks for another round of planning at once; `stopped` forbids further writes in this pass.
    `waits` says that the cloud has to do something first, of which the cache cannot know. `bases` is what `planned` was
    made from.
    """

    scope: Scope
    comeback: ComeBack = field(default_factory=ComeBack)
    marked: set[Identity] = field(default_factory=set)
    unmarked: set[Identity] = field(default_factory=set)
    homes: set[Scope] = field(default_factory=set)
    errors: dict[Identity, LbctlError] = field(default_factory=dict)
    scope_error: LbctlError | None = None
    changed: set[Identity] = field(default_factory=set)
    begun: list[Tracked] = field(default_factory=list)
    planned: Planned | None = None
    bases: dict[Identity, Basis] = field(default_factory=dict)
    acted: bool = False
    complete: bool = False
    unfinished: bool = False
    again: bool = False
    stopped: bool = False
    waits: bool = False

    def blame(self, owners: Iterable[Identity], error: LbctlError) -> None:
        """Remember the first error of each owner."""
        for owner in owners:
            self.errors.setdefault(owner, error)


MAX_CONFLICTS = 5


def retry_conflicts(tracked: Tracked, reads: Reads, attempt: Callable[[], Steps]) -> Steps:
    """Make a write on a Service again, on its newest state, when somebody else wrote first; at most five times.

    Raises `KubeGone` when the Service is gone meanwhile, `KubeConflict` when others keep being faster.
    """
    for _ in range(MAX_CONFLICTS):
        try:
            yield from attempt()
        except KubeConflict:
            live = reads.get_service(tracked.identity.namespace, tracked.identity.name)
            if live is None or live.metadata.uid != tracked.identity.uid:
                raise KubeGone(f"Service {tracked.identity} is gone") from None
            tracked.service = live
        else:
            return
    yield from attempt()
