"""Plans of many scopes for the commands that show or run them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lbctl.engine.account import Account
from lbctl.engine.assembly import Assembly, read_policy
from lbctl.engine.planning import plan_scope
from lbctl.engine.reconcile import NO_OBJECTS
from lbctl.engine.tracked import Tracked
from lbctl.errors import InvalidService, LbctlError
from lbctl.model.resource import Scope
from lbctl.plan.actions import Plan


@dataclass(frozen=True, slots=True)
class Result:
    """What planning one scope gave: a plan, or why there is none; `reason` is that of the error that kept it away."""

    account: str
    scope: Scope
    services: tuple[str, ...]
    plan: Plan | None = None
    problem: str = ""
    reason: str = ""

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to do and nothing wrong."""
        return not self.problem and (self.plan is None or self.plan.is_empty)

    def lines(self, render: Callable[[Plan], Iterable[str]]) -> Iterator[str]:
        """For people: whose plan, then the plan."""
        names = ", ".join(self.services) or "the cluster"
        yield "  ".join((names, self.account, *([str(self.scope)] if self.scope.kind != NO_OBJECTS else [])))
        if self.problem:
            yield f"  x {self.problem}"
        if self.plan is not None:
            yield from render(self.plan)
        yield ""


def plans_of(assembly: Assembly, chosen: Sequence[tuple[Account, Tracked]], *, everything: bool) -> Iterator[Result]:
    """Plans of all scopes of the chosen Services, in the order of ranks; with `everything`, of all scopes there are.

    Scopes without a difference are left out unless they were asked for by name.
    """
    for account in assembly.accounts.values():
        mine = [tracked for owner, tracked in chosen if owner is account]
        scopes = {scope for tracked in mine for scope in account.scopes_of(tracked)}
        scopes |= account.all_scopes() if everything else frozenset()
        for scope in sorted(scopes, key=lambda s: (account.rank(s), s)):
            result = _plan(assembly, account, scope)
            if result.problem or not everything or not result.is_empty:
                yield result


def _plan(assembly: Assembly, account: Account, scope: Scope) -> Result:
    members = account.members(scope)
    names = tuple(tracked.identity.key for tracked in members)
    invalid = "; ".join(f"{t.identity}: {InvalidService(t.problems)}" for t in members if t.problems)
    if scope.kind == NO_OBJECTS:
        return Result(account.name, scope, names, problem=invalid)
    try:
        planned = plan_scope(
            account,
            scope,
            cluster=assembly.cluster,
            policy=read_policy(assembly.settings),
            now=assembly.clock.now(),
        )
    except LbctlError as error:
        return Result(account.name, scope, names, problem=str(error), reason=error.reason)
    rejected = "; ".join(f"{i}: {InvalidService(p)}" for i, p in planned.desired.rejected.items())
    return Result(account.name, scope, names, planned.plan, "; ".join(filter(None, (invalid, rejected))))
