"""What the commands at the desk share: one round of reading, and the Services that were asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import click

from lbctl.clock import SystemClock
from lbctl.engine.assembly import Assembly, assemble
from lbctl.engine.controller import Task
from lbctl.engine.runner import exhaust
from lbctl.engine.tracked import Account, Tracked
from lbctl.errors import InvalidSettings
from lbctl.kube.access import Access
from lbctl.kube.events import Recorder
from lbctl.kube.fence import NoLease
from lbctl.kube.rest import Rest
from lbctl.kube.throttle import Rate
from lbctl.obs.log import set_up
from lbctl.settings import Settings


@contextlib.contextmanager
def desk(settings: Settings) -> Iterator[Assembly]:
    """An assembly that has read cluster and cloud once and is about to work; Events are sent at the end."""
    set_up(form=settings.obs.log_format, verbosity=settings.obs.verbosity)
    clock = SystemClock()
    access = Access(kubeconfig=settings.kube.kubeconfig, context=settings.kube.context)
    rest = Rest(access, clock, rate=Rate(settings.kube.qps, settings.kube.burst))
    recorder = Recorder(rest, clock)
    assembly = assemble(settings, rest=rest, recorder=recorder, clock=clock, fence=NoLease())
    try:
        assembly.start()
        _read_clouds(assembly)
        yield assembly
    finally:
        recorder.drain(clock.monotonic())
        assembly.close()


def selected(assembly: Assembly, names: Sequence[str]) -> list[tuple[Account, Tracked]]:
    """The Services of these `namespace/name`s, or all; an unknown one is an error that says why it is not served."""
    every = [(account, t) for account in assembly.accounts.values() for t in account.services.values()]
    if not names:
        return sorted(every, key=lambda pair: pair[1].identity)
    by_key = {tracked.identity.key: (account, tracked) for account, tracked in every}
    for name in names:
        if name not in by_key:
            raise click.UsageError(f"Service {name} is not served here: {_why_not(assembly, name)}.")
    return [by_key[name] for name in names]


def _why_not(assembly: Assembly, name: str) -> str:
    namespace, found, short = name.partition("/")
    if not found:
        return "name it as NAMESPACE/NAME"
    service = assembly.reads.get_service(namespace, short)
    if service is None:
        return "it does not exist"
    return assembly.controller.claim_of(service).why


def _read_clouds(assembly: Assembly) -> None:
    controller = assembly.controller
    for account in assembly.accounts.values():
        work = controller.next_work()
        while work is not None and work.task is not Task.SNAPSHOT:
            controller.done(work)
            work = controller.next_work()
        if work is not None:
            exhaust(controller, work)
        if account.last_snapshot_error is not None:
            raise account.last_snapshot_error
    if not assembly.accounts:
        raise InvalidSettings("no account is configured")
