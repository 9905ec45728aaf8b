"""Puts a process together from settings: API access, driver accounts, controller.

`run`, `once`, `plan` and the other commands at the desk share it, so that they decide alike.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from lbctl import __version__
from lbctl.clock import Clock
from lbctl.driver import Cluster, DriverInfo, Setup
from lbctl.engine.account import Account
from lbctl.engine.backoff import Backoff
from lbctl.engine.claim import OWN_FINALIZER, SHARED_FINALIZER, ClaimRules
from lbctl.engine.controller import Controller
from lbctl.engine.passes import Recorder, Shared
from lbctl.engine.stages import Measures, timed
from lbctl.errors import InvalidSettings, KubeDenied
from lbctl.kube.fence import Fence
from lbctl.kube.reads import Cluster as ClusterReads
from lbctl.kube.resources import pod_resource
from lbctl.kube.rest import Rest
from lbctl.kube.write_lease import WriteLease
from lbctl.kube.writes import PodWriter, ServiceWriter
from lbctl.model.objects import Pod, Service
from lbctl.model.reference import SERVICES, Reference
from lbctl.plan.actions import Action, Hazard
from lbctl.plan.policy import Mode, Policy
from lbctl.registry import connect, find_provider
from lbctl.settings import AccountSettings, Settings, decode

log = logging.getLogger(__name__)

FindProvider = Callable[[str], DriverInfo]


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts of one process."""

    settings: Settings
    clock: Clock
    reads: ClusterReads
    controller: Controller
    cluster: Cluster
    finalizers: frozenset[str]

    @property
    def accounts(self) -> dict[str, Account]:
        """Driver accounts by name."""
        return self.controller.accounts

    @property
    def watches_slices(self) -> bool:
        """True when some driver targets pods."""
        return any("endpointslices" in account.info.watches for account in self.accounts.values())

    @property
    def gate_prefixes(self) -> tuple[str, ...]:
        """What the types of the readiness gates begin with that some driver judges."""
        return tuple(sorted({a.gates.gate_prefix for a in self.accounts.values() if a.gates is not None}))

    def may_gate(self, services: Iterable[Service]) -> bool:
        """True when Pods may wait for targets of one of these Services, so that Pods have to be known."""
        judges = [account.gates for account in self.accounts.values() if account.gates is not None]
        return any(judge.may_gate(service) for service in (services if judges else ()) for judge in judges)

    def references_of(self, services: Iterable[Service]) -> frozenset[Reference]:
        """What these Services refer to, as the drivers of all accounts read their annotations."""
        infos = [account.info for account in self.accounts.values() if account.info.refers_to]
        listed = services if infos else ()
        return frozenset(reference for service in listed for info in infos for reference in info.references(service))

    def read_referred(self, services: Iterable[Service]) -> None:
        """Load the objects of custom kinds that these Services refer to; one GET each.

        The Services that they refer to are told to the controller with all others.
        """
        for reference in sorted(self.references_of(services)):
            if reference.resource != SERVICES:
                self._read_referred(reference)

    def _read_referred(self, reference: Reference) -> None:
        try:
            found = self.reads.get_custom(reference)
        except KubeDenied as error:
            log.warning("%s is taken as missing: %s", reference, error)
            return
        if found is not None:
            self.controller.see_referred(reference.resource, None, found)

    def start(self) -> None:
        """Load Services, Nodes, endpoints, gated Pods and what Services refer to, as commands do that run once."""
        services = list(self.reads.list_services())
        self.read_referred(services)
        for pod in self._gated_pods(services):
            self.controller.see_pod(None, pod)
        if self.watches_slices:
            for endpoint_slice in self.reads.list_slices():
                self.controller.see_slice(None, endpoint_slice)
        self.controller.start(services, self.reads.list_nodes())

    def _gated_pods(self, services: Iterable[Service]) -> list[Pod]:
        """Those near the Services whose targets Pods may wait for; none, with a warning, when they may not be read."""
        keeps = pod_resource(self.gate_prefixes).keeps
        near = sorted({service.metadata.namespace for service in services if self.may_gate((service,))})
        try:
            return [pod for namespace in near for pod in self.reads.list_pods(namespace) if keeps(pod)]
        except KubeDenied as error:
            log.warning("readiness gates are not looked at: %s", error)
            return []

    def close(self) -> None:
        """Let every driver go."""
        for account in self.accounts.values():
            account.driver.close()


def assemble(
    settings: Settings,
    *,
    rest: Rest,
    recorder: Recorder,
    clock: Clock,
    fence: Fence,
    find: FindProvider = find_provider,
    measures: Measures | None = None,
    on_bug: Callable[[BaseException], None] = lambda _error: None,
    on_applied: Callable[[Account, Action], None] = lambda _account, _action: None,
) -> Assembly:
    """Connect to API server and clouds; one GET for the cluster's id unless the settings name it."""
    reads = ClusterReads(rest)
    cluster = Cluster(settings.cluster.name, settings.cluster.id or reads.get_cluster_uid())
    source = random.Random()  # noqa: S311 - spreads retries, guards nothing
    accounts = connect_accounts(
        settings, cluster=cluster, rest=rest, clock=clock, source=source, find=find, measures=measures
    )
    infos = {name: account.info for name, account in accounts.items()}
    shared = Shared(
        writer=ServiceWriter(rest),
        pod_writer=PodWriter(rest),
        reads=reads,
        recorder=recorder,
        clock=clock,
        backoff=Backoff(source),
        cluster=cluster,
        policy=read_policy(settings),
        may_write=fence.check,
        on_bug=on_bug,
        on_applied=on_applied,
    )
    controller = Controller(
        accounts,
        rules=claim_rules(settings, infos),
        shared=shared,
        source=source,
        list_services=reads.list_services,
        list_nodes=reads.list_nodes,
        drift_seconds=settings.queue.drift_seconds,
    )
    own = frozenset(name for info in infos.values() for name in info.own_finalizers)
    return Assembly(settings, clock, reads, controller, cluster, own | {SHARED_FINALIZER, OWN_FINALIZER})


def connect_accounts(
    settings: Settings,
    *,
    cluster: Cluster,
    rest: Rest | None,
    clock: Clock,
    source: random.Random,
    find: FindProvider = find_provider,
    measures: Measures | None = None,
) -> dict[str, Account]:
    """Every driver account of the settings, connected, by name.

    Without `rest` there is no cluster any more: no document of it is read, and there is nobody to take turns with.
    """
    infos = {name: find(account.provider) for name, account in _accounts(settings).items()}
    return {
        name: _connect(
            name,
            info,
            settings.accounts[name],
            cluster=cluster,
            rest=rest,
            clock=clock,
            source=source,
            measures=measures,
        )
        for name, info in infos.items()
    }


def read_policy(settings: Settings) -> Policy:
    """The policy that the settings name."""
    hazards = {hazard.name.lower().replace("_", "-"): hazard for hazard in Hazard}
    try:
        mode = Mode(settings.policy.mode)
    except ValueError:
        words = ", ".join(mode.value for mode in Mode)
        raise InvalidSettings(f"policy.mode {settings.policy.mode!r} is unknown", hint=f"use one of {words}") from None
    if settings.policy.highest_hazard not in hazards:
        hint = f"use one of {', '.join(hazards)}"
        raise InvalidSettings(f"policy.highest_hazard {settings.policy.highest_hazard!r} is unknown", hint=hint)
    return Policy(mode, hazards[settings.policy.highest_hazard])


def claim_rules(settings: Settings, infos: dict[str, DriverInfo]) -> ClaimRules:
    """Which account serves which class, and the Services without one."""
    classes: dict[str, str] = {}
    for name, info in infos.items():
        own = settings.accounts[name].classes or info.served_classes
        for load_balancer_class in own:
            if load_balancer_class in classes:
                both = f"{classes[load_balancer_class]} and {name}"
                raise InvalidSettings(f"the class {load_balancer_class} is served by two accounts: {both}")
            classes[load_balancer_class] = name
    unclassed = settings.claim.unclassed
    if unclassed == "none":
        return ClaimRules(None, classes)
    if unclassed == "auto":
        return ClaimRules(next(iter(infos)), classes)
    if unclassed not in infos:
        hint = f"use auto, none, or one of {', '.join(infos)}"
        raise InvalidSettings(f"claim.unclassed names the account {unclassed!r}, which does not exist", hint=hint)
    return ClaimRules(unclassed, classes)


def _accounts(settings: Settings) -> dict[str, AccountSettings]:
    if not settings.accounts:
        hint = "give --provider NAME, or accounts in the settings file; `lbctl providers` lists the names"
        raise InvalidSettings("no account is configured", hint=hint)
    return settings.accounts


def _connect(
    name: str,
    info: DriverInfo,
    account: AccountSettings,
    *,
    cluster: Cluster,
    rest: Rest | None,
    clock: Clock,
    source: random.Random,
    measures: Measures | None,
) -> Account:
    setup = Setup(
        cluster=cluster,
        clock=clock,
        settings=decode(account.settings, info.settings, where=f"accounts.{name}.settings"),
        user_agent=f"lbctl/{__version__} ({info.name})",
        random=source.random,
        read_document=ClusterReads(rest).get_document if rest is not None else _no_document,
    )
    if measures is not None:
        setup = replace(setup, record=partial(measures.record_call, info.name), show=partial(measures.show, info.name))
    lease = WriteLease(info.write_lease, rest=rest, clock=clock) if info.write_lease and rest is not None else None
    driver = connect(info, setup)
    if measures is not None:
        driver = timed(info.name, driver, clock, measures)
    return Account(name, info, driver, write_lease=lease)


def _no_document(_key: str) -> None:
    """Nothing is left of a cluster that is gone."""
