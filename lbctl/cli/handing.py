"""Lets go of one Service for `lbctl release`: in this process, or by the controller that leads, never by both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lbctl.annotations import DELETION_POLICY
from lbctl.cli import documents
from lbctl.cli.approval import LOOK_SECONDS, find_leader
from lbctl.cli.consent import ask_consent
from lbctl.cli.desk import Desk, find_service
from lbctl.cli.progress import progress
from lbctl.engine.carrying import Carrier
from lbctl.engine.claim import Standing
from lbctl.engine.planning import build_world
from lbctl.engine.releasing import Release
from lbctl.errors import LbctlError, OwnedByOther
from lbctl.kube.rest import MERGE_PATCH
from lbctl.kube.target import SERVICES
from lbctl.kube.writes import ServiceWriter
from lbctl.model.intent import identity_of
from lbctl.model.objects import Service
from lbctl.plan.render import label


class StillServed(LbctlError):
    """A controller leads that would take the Service back at once."""

    reason = "StillServed"


@dataclass(frozen=True, slots=True)
class Released:
    """What was let go of: objects that stay, finalizers that went, and those of others that hold the Service."""

    service: str
    objects: tuple[tuple[str, str], ...]
    finalizers: tuple[str, ...]
    blockers: tuple[str, ...]
    forgotten: bool = False
    in_time: bool = True

    def lines(self) -> Iterator[str]:
        """For people."""
        if not self.in_time:
            yield f"{self.service} is not released yet: the controller that leads is still at it"
        else:
            marks = "with lbctl's marks on what it has in the cloud" if self.forgotten else "its balancer stays"
            yield f"{self.service} is released; {marks}"
        width = max((len(kind) for kind, _ in self.objects), default=0)
        yield from (f"  > {kind:<{width}} {name}" for kind, name in self.objects)
        for name in self.blockers:
            yield f"  x it waits for the finalizer {name} of another controller"
            yield "      do this: run that controller until it lets go, or remove the finalizer if it is gone for good"

    def document(self) -> documents.Release:
        """For programs."""
        kept = [documents.Kept(kind, name) for kind, name in self.objects]
        return documents.Release(self.service, self.in_time, kept, list(self.finalizers), list(self.blockers))


def let_go(at: Desk, key: str, *, forget: bool, yes: bool, seconds: float) -> Released:
    """Release `namespace/name`; with `forget` the cloud is not asked.

    `UsageError` when there is no such Service, `OwnedByOther` when it is not ours, `StillServed` while a controller
    would take it back.
    """
    release = _find(at, key)
    leaving = release.tracked.standing is Standing.LEAVING
    leader = find_leader(at.assembly)
    if leader and not leaving:
        raise StillServed(
            f"{leader} leads and would take {key} back at once",
            hint="stop it first, or delete the Service, with lbctl.io/deletion-policy: retain to keep its balancer",
        )
    objects = tuple((seen.key.kind, label(seen.key, seen.resource.name)) for seen in release.objects)
    ask_consent(f"Let go of {key}? Nobody cleans up after its {len(objects)} objects then.", yes=yes)
    finalizers = release.finalizers
    in_time = True
    if leader and not forget:
        in_time = _leave_to_leader(at, key, finalizers, seconds=seconds)
    else:
        _let_go_here(at, release, forget=forget, seconds=seconds)
    return Released(key, objects, finalizers, _blockers(at, key, finalizers), forgotten=forget, in_time=in_time)


def _find(at: Desk, key: str) -> Release:
    assembly = at.assembly
    service = find_service(assembly.reads, key)
    known = assembly.controller.intake.tracked(identity_of(service))
    if known is None:
        raise OwnedByOther(
            f"{key} is not lbctl's: {assembly.controller.intake.claim_of(service).why}", hint=_who(service)
        )
    account, tracked = known
    tracked.service = service
    return Release(account, tracked)


def _who(service: Service) -> str:
    held = service.metadata.deletion_timestamp is not None and service.metadata.finalizers
    names = ", ".join(service.metadata.finalizers)
    return f"it waits for {names}: run the controller that it belongs to" if held else "there is nothing to release"


def _let_go_here(at: Desk, release: Release, *, forget: bool, seconds: float) -> None:
    assembly = at.assembly
    writer = ServiceWriter(at.rest)
    if not forget:
        account = release.account
        members = list(account.services.values())
        world = build_world(account, members, cluster=assembly.cluster, now=assembly.clock.now())
        deadline = assembly.clock.monotonic() + seconds
        with progress("taking the marks off"):
            release.unmark_cloud(Carrier(account, world, assembly.clock, deadline), writer)
    release.unmark_service(writer)


def _leave_to_leader(at: Desk, key: str, finalizers: tuple[str, ...], *, seconds: float) -> bool:
    """Have the controller keep what it would delete, and wait until it has let go."""
    namespace, _, name = key.partition("/")
    body = {"metadata": {"annotations": {DELETION_POLICY: "retain"}}}
    at.rest.send("patch", SERVICES.one(name, namespace=namespace), body=body, content_type=MERGE_PATCH)
    clock = at.assembly.clock
    give_up_at = clock.monotonic() + seconds
    with progress("waiting for the controller that leads"):
        while not set(finalizers).isdisjoint(_finalizers(at, key)):
            if clock.monotonic() > give_up_at:
                return False
            clock.wait(LOOK_SECONDS)
    return True


def _blockers(at: Desk, key: str, ours: tuple[str, ...]) -> tuple[str, ...]:
    """Finalizers of others that keep a Service from going away."""
    namespace, _, name = key.partition("/")
    service = at.assembly.reads.get_service(namespace, name)
    if service is None or service.metadata.deletion_timestamp is None:
        return ()
    return tuple(held for held in service.metadata.finalizers if held not in ours)


def _finalizers(at: Desk, key: str) -> tuple[str, ...]:
    namespace, _, name = key.partition("/")
    service = at.assembly.reads.get_service(namespace, name)
    return service.metadata.finalizers if service is not None else ()
