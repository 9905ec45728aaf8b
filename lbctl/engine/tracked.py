"""What this process remembers of each Service.

Everything here is a cache: losing it costs calls, never correctness. A `Tracked` is changed by the thread that works on
one of its scopes and by the watch, field by field.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from lbctl.engine.claim import SHARED_FINALIZER, Standing
from lbctl.errors import LbctlError
from lbctl.model.intent import Intent
from lbctl.model.objects import Ingress, Service
from lbctl.model.problem import Problem
from lbctl.model.reference import Reference
from lbctl.model.resource import Identity, Scope
from lbctl.model.status import Notice


class Progress(enum.Enum):
    """How far one scope is with one Service; the order is that of urgency when several scopes disagree."""

    INVALID = "invalid"
    FAILED = "failed"
    HELD = "held"
    WORKING = "working"
    READY = "ready"
    GONE = "gone"


class Cause(enum.Enum):
    """Why a Service's objects are being changed, which decides the Events that tell of it."""

    WISH = "the Service changed"
    HOSTS = "the nodes or endpoints changed"
    DRIFT = "somebody changed them"
    LEAVING = "the Service goes away"


URGENCY = {progress: rank for rank, progress in enumerate(Progress)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last result of one scope for one Service, as the condition shows it."""

    progress: Progress
    reason: str
    message: str = ""
    error: LbctlError | None = field(default=None, compare=False)


READY = Outcome(Progress.READY, "Ready")


@dataclass(frozen=True, slots=True)
class Basis:
    """What decides a plan for a Service.

    Its wish, how often the objects that it refers to changed, the generation of nodes, how often its endpoints moved.
    """

    intent: Intent | None = None
    edits: int = 0
    nodes: int = 0
    moves: int = 0


@dataclass(slots=True)
class Tracked:
    """One Service that concerns us.

    `service` is the newest object, or the last one seen when it has vanished. `intent` is the newest valid wish, which
    stays in force while a newer one has `problems`, and `references` are the objects that it names. `applied` holds,
    for each scope, what was last fully carried out; `changing` is why something is being changed until all of it is
    ready; `moves` counts the changes of its endpoints, `edits` those of the objects that it refers to; `published` is
    what we last wrote into its status.
    """

    identity: Identity
    service: Service
    standing: Standing
    finalizer: str = SHARED_FINALIZER
    vanished: bool = False
    intent: Intent | None = None
    references: frozenset[Reference] = frozenset()
    problems: tuple[Problem, ...] = ()
    scopes: tuple[Scope, ...] = ()
    outcomes: dict[Scope, Outcome] = field(default_factory=dict)
    applied: dict[Scope, Basis] = field(default_factory=dict)
    changing: Cause | None = None
    edits: int = 0
    moves: int = 0
    published: tuple[Ingress, ...] | None = None
    rewrites: tuple[float, ...] = ()
    told: dict[Scope, frozenset[Notice]] = field(default_factory=dict)
    told_failure: str = ""
    leaving_confirmed: bool = False
    looked: bool = False
    had_objects: bool = False
    since: float = 0.0

    @property
    def home(self) -> Scope | None:
        """The scope whose passes write to the Service's object, so that no two writers of one process collide."""
        return self.scopes[0] if self.scopes else None

    @property
    def worst(self) -> Outcome:
        """The most urgent outcome of all its scopes."""
        return min(self.outcomes.values(), key=lambda outcome: URGENCY[outcome.progress], default=READY)

    def cause(self, scope: Scope, basis: Basis) -> Cause:
        """Why a change is made in this scope that was planned on this basis."""
        if self.standing is Standing.LEAVING:
            return Cause.LEAVING
        applied = self.applied.get(scope)
        if applied is None or (applied.intent, applied.edits) != (basis.intent, basis.edits):
            return Cause.WISH
        return Cause.HOSTS if applied != basis else Cause.DRIFT
