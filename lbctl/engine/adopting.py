"""What taking a Service's balancer over would do: nothing, write marks, change something, or fail.

Built on the same plans as everything else. Writing marks may never widen what the deletion of the Service removes: a
mark goes only on what such a deletion would remove already.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lbctl.driver import World
from lbctl.engine.account import Account
from lbctl.engine.assembly import Assembly
from lbctl.engine.carrying import Carrier
from lbctl.engine.planning import build_world
from lbctl.engine.plans import Result, plans_of
from lbctl.engine.sweeping import plan_removal
from lbctl.engine.tracked import Tracked
from lbctl.errors import OwnedByOther
from lbctl.kube.writes import ServiceWriter
from lbctl.model.resource import Key, Scope
from lbctl.plan.actions import Action, Hazard, Step, Verb

Touched = tuple[Scope, Key]
"""One object that a deletion would remove."""


class Verdict(enum.StrEnum):
    """What taking over would do."""

    NOTHING = "nothing"
    TAGS = "tags only"
    CHANGE = "change"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True)
class Adoption:
    """One Service and what taking it over means.

    `touched` is everything that the deletion of the Service would remove, `foreign` are finalizers that lbctl neither
    writes nor removes, `problems` say why it cannot be taken over.
    """

    account: Account
    tracked: Tracked
    results: tuple[Result, ...]
    touched: frozenset[Touched]
    foreign: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        """Calls of its scopes that concern this Service or the cluster itself, held ones included."""
        mine = self.tracked.identity
        plans = [result.plan for result in self.results if result.plan is not None]
        actions = (action for plan in plans for action in (*plan.actions, *plan.held))
        return tuple(action for action in actions if not action.owners or mine in action.owners)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What changes for this Service."""
        mine = self.tracked.identity
        return tuple(step for action in self.actions for step in action.steps if not step.owners or mine in step.owners)

    @property
    def is_unrecognised(self) -> bool:
        """True when the Service has an address and nothing in the cloud was recognised as what serves it."""
        published = self.tracked.service.status.load_balancer.ingress
        return bool(published) and not self.account.has_objects(self.tracked.identity)

    @property
    def hazard(self) -> Hazard:
        """The worst that taking over does to traffic."""
        worst = max((step.hazard for step in self.steps), default=Hazard.NONE)
        return max(worst, Hazard.MOVES_ADDRESS) if self.is_unrecognised else worst

    @property
    def verdict(self) -> Verdict:
        """What taking over would do."""
        if self.problems:
            return Verdict.CANNOT
        if self.is_unrecognised or not all(self._only_marks(step) for step in self.steps):
            return Verdict.CHANGE
        return Verdict.TAGS if self.steps else Verdict.NOTHING

    @property
    def can_be_marked(self) -> bool:
        """True when the whole of its scopes' plans writes marks, on what its deletion removes already, and no more."""
        every = [(r.scope, step) for r in self.results if r.plan for a in r.plan.actions for step in a.steps]
        held = any(result.plan.held or result.plan.waits for result in self.results if result.plan is not None)
        marks = all(self._only_marks(step) and (scope, step.key) in self.touched for scope, step in every)
        return self.verdict is Verdict.TAGS and marks and not held

    def _only_marks(self, step: Step) -> bool:
        fields = {change.field for change in step.changes}
        return step.verb is Verb.UPDATE and step.hazard is Hazard.NONE and fields <= self.account.info.mark_fields


def judge(assembly: Assembly, chosen: Sequence[tuple[Account, Tracked]]) -> Iterator[Adoption]:
    """The adoption of each Service, planned against what was read of the clouds; writes nothing."""
    for account, tracked in chosen:
        results = tuple(plans_of(assembly, [(account, tracked)], everything=False))
        problems = tuple(result.problem for result in results if result.problem)
        touched: frozenset[Touched] = frozenset()
        try:
            touched = removed_with(account, tracked, _world(assembly, account))
        except OwnedByOther as error:
            problems = (*problems, str(error))
        foreign = tuple(n for n in tracked.service.metadata.finalizers if n not in assembly.finalizers)
        yield Adoption(account, tracked, results, touched, foreign, problems)


def removed_with(account: Account, tracked: Tracked, world: World) -> frozenset[Touched]:
    """Everything that the deletion of the Service would remove, as it is known now."""
    doomed = frozenset({tracked.identity})
    return frozenset(
        (scope, step.key)
        for scope in account.scopes_with(tracked.identity)
        for action in plan_removal(account, account.look(scope), world, doomed=doomed).actions
        for step in action.steps
        if step.verb is Verb.DELETE
    )


def write_marks(assembly: Assembly, adoption: Adoption, writer: ServiceWriter, *, deadline: float) -> None:
    """Put our finalizer on the Service and our marks on what it has: the calls that were shown, and no other.

    Raises `OwnedByOther` when afterwards a deletion would remove more than before, and what a call raises.
    """
    account, tracked = adoption.account, adoption.tracked
    own = account.info.finalizers(tracked.intent) if tracked.intent is not None else ()
    missing = [n for n in (tracked.finalizer, *own) if n not in tracked.service.metadata.finalizers]
    if missing:
        tracked.service = writer.add_finalizers(tracked.service, missing)
    carrier = Carrier(account, _world(assembly, account), assembly.clock, deadline)
    for result in adoption.results:
        for action in result.plan.actions if result.plan is not None else ():
            carrier.insist(result.scope, action)
        carrier.observe(result.scope)
    more = removed_with(account, tracked, carrier.seen_world) - adoption.touched
    if more:
        raise OwnedByOther(
            f"since its marks were written, the deletion of {tracked.identity} would also remove "
            + ", ".join(sorted(str(key) for _, key in more)),
            hint=f"take them off again with: lbctl release {tracked.identity}, and report this",
        )


def _world(assembly: Assembly, account: Account) -> World:
    members = list(account.services.values())
    return build_world(account, members, cluster=assembly.cluster, now=assembly.clock.now())
