"""Gathers what `lbctl explain` knows of a Service: from the API server, from the cloud, from a plan."""

from __future__ import annotations

from lbctl.cli.approval import find_leader
from lbctl.cli.desk import Desk, find_service
from lbctl.cli.pulse import health_of
from lbctl.driver import Finding, Health
from lbctl.engine.assembly import Assembly
from lbctl.engine.explain import Facts, Told
from lbctl.engine.plans import Result, plans_of
from lbctl.engine.summary import State, summarise
from lbctl.errors import LbctlError
from lbctl.model.intent import identity_of
from lbctl.model.objects import Service


def gather(at: Desk, key: str) -> Facts:
    """The facts about `namespace/name`; costs a snapshot of the cloud, three GETs, what the plan and the health read.

    Of a Service that is pending or failed the driver checks itself too, for quotas and rights, as `lbctl doctor` has it
    do. A cloud that cannot be read is a fact too. `UsageError` when there is no such Service.
    """
    assembly = at.assembly
    service = find_service(assembly.reads, key)
    cloud_error: LbctlError | None = None
    try:
        at.read_clouds()
    except LbctlError as error:
        cloud_error = error
    return _facts(assembly, service, cloud_error)


def _facts(assembly: Assembly, service: Service, cloud_error: LbctlError | None) -> Facts:
    claim = assembly.controller.intake.claim_of(service)
    known = assembly.controller.intake.tracked(identity_of(service))
    plans: tuple[Result, ...] = ()
    health: Health | None = None
    checks: tuple[Finding, ...] = ()
    if known is not None and cloud_error is None:
        plans = tuple(plans_of(assembly, [known], everything=False))
        try:
            health = health_of(assembly, known[0], [known[1]]).get(known[1].identity)
            if summarise(service, claim).state in (State.PENDING, State.FAILED):
                checks = tuple(known[0].driver.check())
        except LbctlError as error:
            cloud_error = error
    account = assembly.accounts.get(claim.account or "")
    return Facts(
        service=service,
        claim=claim,
        leader=find_leader(assembly),
        classes=assembly.controller.intake.classes,
        finalizers=assembly.finalizers,
        eligible_nodes=len(account.nodes.current) if account is not None else 0,
        tracked=known[1] if known is not None else None,
        plans=plans,
        health=health,
        checks=checks,
        warnings=tuple(
            Told(event.reason, event.message, event.count)
            for event in assembly.reads.list_events(service)
            if event.type == "Warning"
        ),
        cloud_error=cloud_error,
    )
