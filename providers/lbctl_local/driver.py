"""The class that joins the driver's parts; each method is a few lines, the work is in the modules it names."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from lbctl.driver import DriverInfo, Figure, Finding, Health, Outcome, Pending, Refs, Setup, World
from lbctl.errors import CloudError, Unreachable
from lbctl.model.intent import Intent
from lbctl.model.objects import Service
from lbctl.model.resource import Desired, Identity, Observed, Outputs, Scope
from lbctl.model.status import Status
from lbctl.plan.actions import Action, Plan
from lbctl_local.addresses import capacity
from lbctl_local.apply import START_OPERATION, Writer
from lbctl_local.check import Checks
from lbctl_local.client import Admin, envoy_version, find_envoy
from lbctl_local.dataplane import DataPlane
from lbctl_local.facts import taken_addresses
from lbctl_local.interface import read_addresses
from lbctl_local.model import Facts, model_balancers, model_process
from lbctl_local.names import BALANCER, PROCESS, balancer_scope
from lbctl_local.observe import Reading, observe_balancers, observe_process, seen_process
from lbctl_local.parse import parse_service
from lbctl_local.plan import build_actions, release_actions
from lbctl_local.process import EnvoyProcess
from lbctl_local.settings import LocalSettings, find_state_dir, parse_pools
from lbctl_local.state import StateDir
from lbctl_local.status import build_status
from lbctl_local.supervisor import Supervisor

START_SECONDS = 30.0


class LocalDriver:
    """One Envoy on this host. Safe for several threads, one scope in each."""

    def __init__(self, info: DriverInfo, setup: Setup) -> None:
        settings: LocalSettings = setup.settings
        self.info = info
        self._settings = settings
        self._clock = setup.clock
        self._cluster = setup.cluster.id or setup.cluster.name
        self._pools = parse_pools(settings)
        self._state = StateDir(find_state_dir(settings, environ=os.environ, root=os.geteuid() == 0))
        self._admin = Admin(self._state.admin_socket, clock=setup.clock, record=setup.record)
        self._data_plane = DataPlane(self._state, self._admin, setup.clock)
        self._show = setup.show
        self._start_deadline: float | None = None

    @cached_property
    def _process(self) -> EnvoyProcess:
        binary = find_envoy()
        return EnvoyProcess(self._state, self._settings, binary=binary, version=envoy_version(binary))

    @cached_property
    def _supervisor(self) -> Supervisor:
        return Supervisor(self._process, self._clock)

    @cached_property
    def _writer(self) -> Writer:
        return Writer(
            cluster=self._cluster,
            interface=self._settings.interface,
            drain_seconds=self._settings.drain_seconds,
            clock=self._clock,
            state=self._state,
            data_plane=self._data_plane,
            process=self._process,
            watch=self._supervisor.watch,
        )

    def claims(self, service: Service) -> bool:  # noqa: ARG002 - nobody else serves this host
        """True: nobody else makes local balancers."""
        return True

    def parse(self, service: Service) -> Intent:
        """What the Service asks for; `InvalidService` with all problems."""
        return parse_service(service, pools=self._pools)

    def scopes(self, intent: Intent, world: World) -> tuple[Scope, ...]:  # noqa: ARG002 - the contract's signature
        """The Service's own scope."""
        return (balancer_scope(intent.identity),)

    def facts(self, scope: Scope, world: World) -> Facts:
        """Taken addresses, as far as one has to be chosen; the Envoy that should run."""
        if scope == PROCESS:
            return Facts({}, process=self._wanted_process())
        taken = taken_addresses(scope, world, self._state, cluster=self._cluster)
        return Facts(taken, access_logs=str(self._state.access_logs))

    def model(self, scope: Scope, world: World, facts: Facts) -> Desired:
        """Everything that the scope should hold."""
        if scope == PROCESS:
            return model_process(facts)
        return model_balancers(scope, world, facts, pools=self._pools, interface=self._settings.interface)

    def snapshot(self, world: World) -> Mapping[Scope, Observed]:  # noqa: ARG002 - names and marks tell everything
        """All balancers of this cluster and the process: three files, one per address, one request to Envoy."""
        balancers = observe_balancers(self._read(), cluster=self._cluster, interface=self._settings.interface)
        self._show_pools()
        return {**balancers, PROCESS: self._observe_process()}

    def _show_pools(self) -> None:
        taken = [ipaddress.ip_address(address) for address in self._state.reserved()]
        for pool in self._pools:
            self._show(Figure.ADDRESSES, str(pool), capacity((pool,)))
            self._show(Figure.ADDRESSES_IN_USE, str(pool), sum(address in pool for address in taken))

    def observe(self, scope: Scope, world: World) -> Observed:
        """One scope; costs as much as all, since a discovery file is read as a whole."""
        if scope == PROCESS:
            return self._observe_process()
        found = self.snapshot(world).get(scope)
        return found or Observed(scope, read_at=self._clock.monotonic())

    def plan(self, desired: Desired, observed: Observed, world: World) -> Plan:
        """The differences, folded into writes and ordered."""
        return build_actions(desired, observed, world)

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """One write."""
        result = self._writer.apply(action, refs)
        if isinstance(result, Pending) and result.operation == START_OPERATION:
            self._start_deadline = self._clock.monotonic() + START_SECONDS
        return result

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """What became of the writes: one request to Envoy, whatever their number."""
        by_operation = {item.operation: item for item in pending}
        outcomes: dict[str, Outcome] = {}
        if START_OPERATION in by_operation:
            del by_operation[START_OPERATION]
            outcomes.update(self._poll_start())
        for operation, error in self._data_plane.poll(by_operation).items():
            outputs = by_operation[operation].payload
            assert isinstance(outputs, Outputs)
            outcomes[operation] = error or outputs
        return outcomes

    def status(self, identity: Identity, world: World) -> Status:
        """The addresses on which ports are served; while nothing is, what was published stays."""
        return build_status(identity, world)

    def health(self, identities: Iterable[Identity], world: World) -> Mapping[Identity, Health]:
        """What Envoy's checks found, for all Services with one request; nothing while no Envoy runs."""
        if not self._process.is_alive():
            return {}
        by_name = self._admin.target_health()
        return {identity: found for identity in identities if (found := _health(identity, world, by_name)) is not None}

    def release(self, identity: Identity, observed: Observed) -> tuple[Action, ...]:  # noqa: ARG002 - one owner a scope
        """One write that takes our marks off."""
        return release_actions(observed) if observed.scope.kind == BALANCER else ()

    def check(self) -> Iterator[Finding]:
        """Findings for the doctor."""
        root = os.geteuid() == 0
        return Checks(self._settings, self._pools, self._state, self._admin, sys.platform, root).run()

    def close(self) -> None:
        """Stop watching Envoy; it goes on serving."""
        if "_supervisor" in self.__dict__:
            self._supervisor.close()

    def _wanted_process(self) -> dict[str, str] | None:
        if not self._process.is_alive():
            return None
        return {"version": self._process.version, "bootstrap": self._process.bootstrap_digest}

    def _observe_process(self) -> Observed:
        running = self._process.running()
        if running is not None:
            self._supervisor.watch()
        return observe_process(running, read_at=self._clock.monotonic())

    def _poll_start(self) -> dict[str, Outcome]:
        running = self._process.running()
        if running is None:
            self._process.reap()
            self._process.start()
        elif running.bootstrap == self._process.bootstrap_digest and self._admin.is_live():
            self._supervisor.watch()
            return {START_OPERATION: Outputs((seen_process(running),))}
        if self._start_deadline is None or self._clock.monotonic() < self._start_deadline:
            return {}
        message = f"Envoy does not serve {START_SECONDS:.0f} s after its start"
        return {START_OPERATION: Unreachable(message, hint=f"see {self._state.log}")}

    def _read(self) -> Reading:
        return Reading(
            clusters=self._state.read_entries(self._state.clusters).by_name,
            listeners=self._state.read_entries(self._state.listeners).by_name,
            reservations=self._state.reservations(),
            bound=self._bound(),
            on_interface=read_addresses(self._settings.interface) if self._settings.interface else frozenset(),
            read_at=self._clock.monotonic(),
        )

    def _bound(self) -> frozenset[str] | None:
        if not self._process.is_alive():
            return frozenset()
        try:
            return self._admin.listener_names() if self._admin.is_live() else None
        except CloudError:
            return None


def _health(identity: Identity, world: World, by_name: Mapping[str, tuple[bool, ...]]) -> Health | None:
    """Over all pools of a Service; None when Envoy knows none of them."""
    observed = world.observed.get(balancer_scope(identity))
    names = [seen.resource.name for seen in observed.of_kind("pool")] if observed is not None else []
    targets = [healthy for name in names for healthy in by_name.get(name, ())]
    return Health(sum(targets), len(targets)) if any(name in by_name for name in names) else None
