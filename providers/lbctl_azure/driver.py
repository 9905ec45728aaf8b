"""The Azure driver: the stages joined over one account."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.driver import DriverInfo, Finding, Health, Outcome, Pending, Refs, Setup, World
from lbctl.errors import LbctlError
from lbctl.model.intent import Intent
from lbctl.model.node import NodeSet
from lbctl.model.objects import Service
from lbctl.model.resource import Desired, Identity, Observed, Outputs, Scope
from lbctl.model.status import Status
from lbctl.plan.actions import Action, Plan
from lbctl_azure.account import BALANCER_SCOPE, MEMBERSHIP_SCOPE, SECURITY_SCOPE, Account
from lbctl_azure.apply import Writer
from lbctl_azure.check import findings
from lbctl_azure.client import Client
from lbctl_azure.facts import FactReader, Facts
from lbctl_azure.health import read_health
from lbctl_azure.membership import Machines, model_members
from lbctl_azure.model import model_balancer
from lbctl_azure.observe import Observer
from lbctl_azure.operations import Operations
from lbctl_azure.parse import parse_service
from lbctl_azure.placement import scope_of
from lbctl_azure.plan import make_plan
from lbctl_azure.releasing import release_actions
from lbctl_azure.security import model_security
from lbctl_azure.sources import Source
from lbctl_azure.status import status_of
from lbctl_azure.wish import Wish, wishes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Connection:
    """What one azure.json led to; replaced as a whole when that changes."""

    account: Account
    client: Client
    source: Source


class AzureDriver:
    """One cluster in one subscription. `renew` tells the connection to use from now on where azure.json has changed."""

    def __init__(
        self,
        info: DriverInfo,
        setup: Setup,
        connection: Connection,
        *,
        renew: Callable[[], Connection | None] = lambda: None,
    ) -> None:
        self.info = info
        self._clock = setup.clock
        self._renew = renew
        self._nodes = NodeSet()
        self._clients: list[Client] = []
        self._use(connection)

    def _use(self, connection: Connection) -> None:
        account, client = connection.account, connection.client
        self._clients.append(client)
        self._source = connection.source
        self.account = account
        self._client = client
        self._facts = FactReader(account, client, self._clock)
        self._observer = Observer(account, client, self._clock, self._node_ranges)
        self._operations = Operations(client, self._clock)
        self._writer = Writer(account, client, self._operations, self._node_ranges)

    def _follow_configuration(self) -> None:
        """Go on with a changed azure.json; one that cannot be used changes nothing but the log."""
        try:
            connection = self._renew()
        except LbctlError as error:
            log.error("azure.json has changed and cannot be used, so the one before counts: %s", error)  # noqa: TRY400
            return
        if connection is not None:
            log.warning("%s has changed and is used from now on", connection.source.origin)
            self._use(connection)

    def claims(self, service: Service) -> bool:
        """Every Service that the class allows."""
        return bool(service.metadata.name)

    def parse(self, service: Service) -> Intent:
        """What the Service asks for."""
        return parse_service(service, config=self.account.config, settings=self.account.settings)

    def scopes(self, intent: Intent, world: World) -> tuple[Scope, ...]:
        """Its load balancer, the security group, and the members of pools where interfaces join."""
        assert isinstance(intent, Wish)
        shared = [self.account.security] if self.account.config.security_group else []
        if not self.account.config.uses_node_ips:
            shared.append(self.account.membership)
        return (scope_of(intent, world, self.account), *shared)

    def facts(self, scope: Scope, world: World) -> Facts | Machines:
        """Zones, subnets and pinned addresses for a balancer; the nodes' machines for the members of pools."""
        if scope.kind == MEMBERSHIP_SCOPE:
            known = Machines.observed_in(world.observed.get(scope, Observed(scope)))
            return self._facts.machines(world.nodes, known)
        if scope.kind != BALANCER_SCOPE:
            return Facts()
        sitting = [wish for wish in wishes(world) if scope_of(wish, world, self.account) == scope]
        return self._facts.for_wishes(sitting, world.observed.get(scope, Observed(scope)))

    def model(self, scope: Scope, world: World, facts: Any) -> Desired:  # noqa: ANN401 - the contract's type
        """What the scope should hold."""
        if scope.kind == SECURITY_SCOPE:
            return model_security(scope, world, self.account)
        if scope.kind == BALANCER_SCOPE:
            return model_balancer(scope, world, facts, self.account)
        return model_members(scope, world, facts, self.account)

    def snapshot(self, world: World) -> Mapping[Scope, Observed]:
        """Everything of the cluster, by what azure.json says now."""
        self._nodes = world.nodes
        self._follow_configuration()
        self.account.placements.keep(world.services)
        return self._observer.snapshot(world)

    def observe(self, scope: Scope, world: World) -> Observed:
        """One scope."""
        return self._observer.observe(scope, world)

    def plan(self, desired: Desired, observed: Observed, world: World) -> Plan:
        """What to call."""
        return make_plan(desired, observed, world, self.account)

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """One call."""
        return self._writer.apply(action, refs)

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """What is over."""
        return self._operations.poll(pending)

    def status(self, identity: Identity, world: World) -> Status:
        """What can be published."""
        return status_of(identity, world, self.account)

    def health(self, identities: Iterable[Identity], world: World) -> Mapping[Identity, Health]:
        """What the probes find of the members behind these Services' rules: one question a rule, and its polls."""
        return read_health(self._client, self._clock, identities, world)

    def release(self, identity: Identity, observed: Observed) -> tuple[Action, ...]:
        """Writes that make its addresses the user's own."""
        return release_actions(identity, observed)

    def check(self) -> Iterator[Finding]:
        """One finding for everything that serving needs; nodes are looked at as the last snapshot knew them."""
        return findings(self.account, self._client, self._source, self._nodes)

    def close(self) -> None:
        """Let go of connections, those of an earlier azure.json too: calls may have been under way by them."""
        for client in self._clients:
            client.close()

    def _node_ranges(self) -> tuple[str, ...]:
        subnet = self._facts.subnet(self.account.config.subnet_name) if self.account.config.subnet_name else None
        return subnet.ranges if subnet else ()
