"""What the commands at the desk share: one round of reading, and the Services that were asked for."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from lbctl.cli.progress import progress
from lbctl.clock import SystemClock
from lbctl.engine.account import Account
from lbctl.engine.assembly import Assembly, assemble
from lbctl.engine.controller import Task
from lbctl.engine.runner import exhaust
from lbctl.engine.tracked import Tracked
from lbctl.kube.access import Access
from lbctl.kube.events import Recorder
from lbctl.kube.fence import NoLease
from lbctl.kube.reads import Cluster
from lbctl.kube.rest import Rest
from lbctl.kube.throttle import Rate
from lbctl.model.objects import Service
from lbctl.obs.log import set_up
from lbctl.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """An assembly that has read the cluster, and the connection that it reads by."""

    assembly: Assembly
    rest: Rest

    def read_clouds(self) -> None:
        """Read what every account holds; raises the first account's error."""
        with progress("reading what the clouds hold"):
            _read(self.assembly)
        failed = [(a.name, a.last_snapshot_error) for a in self.assembly.accounts.values() if a.last_snapshot_error]
        for name, error in failed[1:]:
            log.error("could not read what account %s holds: %s", name, error)
        if failed:
            raise failed[0][1]


def connect(settings: Settings) -> Rest:
    """A connection to the API server; makes no call."""
    access = Access(kubeconfig=settings.kube.kubeconfig, context=settings.kube.context)
    return Rest(access, SystemClock(), rate=Rate(settings.kube.qps, settings.kube.burst))


@contextlib.contextmanager
def desk(settings: Settings) -> Iterator[Desk]:
    """A desk that has read the cluster and is about to work; Events are sent at the end."""
    set_up(form=settings.obs.log_format, verbosity=settings.obs.verbosity)
    clock = SystemClock()
    rest = connect(settings)
    recorder = Recorder(rest, clock)
    assembly = assemble(settings, rest=rest, recorder=recorder, clock=clock, fence=NoLease())
    try:
        with progress("reading the cluster"):
            assembly.start()
        yield Desk(assembly, rest)
    finally:
        recorder.drain(clock.monotonic())
        assembly.close()


def find_service(reads: Cluster, key: str) -> Service:
    """The Service `namespace/name` as the server holds it now; `UsageError` when there is none."""
    namespace, _, name = key.partition("/")
    service = reads.get_service(namespace, name) if name else None
    if service is None:
        raise click.UsageError(f"There is no Service {key}. Name it as NAMESPACE/NAME; see: kubectl get services -A")
    return service


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
    return assembly.controller.intake.claim_of(service).why


def _read(assembly: Assembly) -> None:
    """Do the snapshots that are queued; other work that becomes due meanwhile stays queued."""
    controller = assembly.controller
    aside = []
    while any(_is_unread(account) for account in assembly.accounts.values()):
        work = controller.next_work()
        if work is None:
            break
        if work.task is Task.SNAPSHOT:
            exhaust(controller, work)
        else:
            aside.append(work)
    for work in aside:
        controller.put_back(work)


def _is_unread(account: Account) -> bool:
    return account.snapshot_at is None and account.last_snapshot_error is None
