"""Carries approved plans out: in this process, or by the controller that leads, never by both.

`lbctl apply` calls it. The digest binds what was approved to what is done: a plan that has changed has another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lbctl.annotations import APPROVE
from lbctl.cli.desk import Desk
from lbctl.cli.progress import progress
from lbctl.engine.account import Account
from lbctl.engine.assembly import Assembly
from lbctl.engine.plans import Result, plans_of
from lbctl.engine.runner import run_until_idle
from lbctl.engine.summary import State, summarise
from lbctl.engine.tracked import Tracked
from lbctl.errors import Exit, LbctlError
from lbctl.kube.rest import MERGE_PATCH
from lbctl.kube.target import SERVICES
from lbctl.plan.policy import Mode

LOOK_SECONDS = 0.5


class PlanChanged(LbctlError):
    """What was approved is not what would be done now."""

    reason = "PlanChanged"
    exit = Exit.FAILURE


class Leading(LbctlError):
    """A controller of ours leads and takes over by itself."""

    reason = "Leading"


@dataclass(frozen=True, slots=True)
class Done:
    """The Services that were concerned, and whether all of it was done in time."""

    services: tuple[tuple[Account, Tracked], ...]
    in_time: bool


def carry_out(at: Desk, digests: Sequence[str], *, seconds: float) -> Done:
    """Have the plans with these digests done; `PlanChanged` when one of them does not exist any more."""
    results = _approved(list(plans_of(at.assembly, (), everything=True)), digests)
    services = tuple(_concerned(at.assembly, results))
    leader = find_leader(at.assembly)
    if leader:
        with progress(f"waiting for the controller {leader}"):
            return Done(services, _leave_to_leader(at, results, services, seconds=seconds))
    return Done(services, _do_here(at.assembly, results, seconds=seconds))


def find_leader(assembly: Assembly) -> str:
    """The controller that leads now, empty for none; one GET."""
    lease = assembly.settings.lease
    return assembly.reads.get_lease_holder(lease.name, namespace=lease.namespace, now=assembly.clock.now())


def refuse_beside_leader(assembly: Assembly) -> None:
    """`Leading` when a controller leads, whose work this process would do a second time; one GET.

    Where nothing may be written there is nothing to collide with.
    """
    leader = "" if assembly.settings.policy.mode == Mode.OBSERVE else find_leader(assembly)
    if leader:
        hint = "see what it does: lbctl status; let run what it holds: lbctl apply --approve DIGEST; or stop it first"
        raise Leading(f"{leader} leads, and two would work on the same balancers", hint=hint)


def _approved(results: Sequence[Result], digests: Iterable[str]) -> list[Result]:
    by_digest: dict[str, Result] = {}
    for result in results:
        if result.plan is not None:
            by_digest |= {name: result for name in (result.plan.digest, result.plan.held_digest) if name}
    unknown = [digest for digest in digests if digest not in by_digest]
    if unknown:
        raise PlanChanged(
            f"no plan has the digest {', '.join(unknown)} (any more); nothing was done",
            hint="look at the newest with: lbctl plan",
        )
    return [by_digest[digest] for digest in dict.fromkeys(digests)]


def _do_here(assembly: Assembly, results: Sequence[Result], *, seconds: float) -> bool:
    controller = assembly.controller
    controller.approve(result.plan.held_digest for result in results if result.plan and result.plan.held)
    controller.limit_to((result.account, result.scope) for result in results)
    return run_until_idle(controller, assembly.clock, deadline=assembly.clock.monotonic() + seconds)


def _leave_to_leader(
    at: Desk, results: Sequence[Result], services: Sequence[tuple[Account, Tracked]], *, seconds: float
) -> bool:
    clock = at.assembly.clock
    _refuse_without_writes(at.assembly)
    for result in results:
        if result.plan is not None and result.plan.held:
            _annotate(at, result)
    give_up_at = clock.monotonic() + seconds
    while [tracked for account, tracked in services if not _is_settled(at.assembly, account, tracked)]:
        if clock.monotonic() > give_up_at:
            return False
        clock.wait(LOOK_SECONDS)
    return True


def _refuse_without_writes(assembly: Assembly) -> None:
    if assembly.settings.policy.mode == Mode.OBSERVE:
        raise PlanChanged("the policy is observe: nothing is ever done", hint="give --policy sync")


def _annotate(at: Desk, result: Result) -> None:
    assert result.plan is not None
    body = {"metadata": {"annotations": {APPROVE: result.plan.held_digest}}}
    for key in result.services:
        namespace, _, name = key.partition("/")
        at.rest.send("patch", SERVICES.one(name, namespace=namespace), body=body, content_type=MERGE_PATCH)


def _is_settled(assembly: Assembly, account: Account, tracked: Tracked) -> bool:
    """Whether the leader is done with a Service, which is taken over as the API server has it now."""
    service = assembly.reads.get_service(tracked.identity.namespace, tracked.identity.name)
    if service is None:
        account.forget(tracked.identity)
        return True
    tracked.service = service
    return summarise(service).state is State.READY


def _concerned(assembly: Assembly, results: Sequence[Result]) -> Iterable[tuple[Account, Tracked]]:
    keys = {key for result in results for key in result.services}
    for account in assembly.accounts.values():
        yield from ((account, t) for t in account.services.values() if t.identity.key in keys)
