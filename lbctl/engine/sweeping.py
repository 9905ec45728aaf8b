"""Looks for orphans in the clouds and removes them, without touching anything else.

Whatever an orphan shares with somebody stays, and a plan that would do more than remove what is the orphans' alone is
refused whole. Works for a cluster that is gone too: then nothing of it is wanted, and no API server is asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from lbctl.clock import Clock
from lbctl.driver import Cluster, World
from lbctl.engine.account import Account
from lbctl.engine.assembly import Assembly, connect_accounts, read_policy
from lbctl.engine.carrying import Carrier
from lbctl.engine.collecting import NOBODY, Living, Orphan, find_orphans
from lbctl.errors import LbctlError, OwnedByOther
from lbctl.model.intent import identity_of
from lbctl.model.objects import Service
from lbctl.model.resource import Desired, Identity, Observed, Scope
from lbctl.plan.actions import Plan, Verb
from lbctl.plan.policy import Policy, allow
from lbctl.settings import Settings

CLUSTER = frozenset({NOBODY})
Swept = Plan | LbctlError
"""What became of one scope: the plan whose held actions are left, or the error that ended the work on it."""


@dataclass(frozen=True, slots=True)
class Search:
    """One cluster's accounts, and how to learn which Services exist; `gone` when the cluster does not."""

    accounts: Mapping[str, Account]
    cluster: Cluster
    clock: Clock
    policy: Policy
    list_services: Callable[[], Iterable[Service]]
    gone: bool = False

    @classmethod
    def in_cluster(cls, assembly: Assembly) -> Search:
        """A search of the cluster that the assembly has read."""
        policy = read_policy(assembly.settings)
        reads = assembly.reads
        return cls(assembly.accounts, assembly.cluster, assembly.clock, policy, reads.list_services)

    @classmethod
    def of_gone_cluster(cls, settings: Settings, cluster: Cluster, clock: Clock) -> Search:
        """A search for everything of a cluster that does not exist any more; connects to the clouds only."""
        source = random.Random()  # noqa: S311 - spreads retries, guards nothing
        accounts = connect_accounts(settings, cluster=cluster, rest=None, clock=clock, source=source)
        return cls(accounts, cluster, clock, read_policy(settings), tuple, gone=True)

    def look(self) -> list[Orphan]:
        """The orphans of all accounts; one list of the Services, before and after one snapshot an account.

        A Service that appeared in between is alive.
        """
        before = list(self.list_services())
        seen = {name: account.driver.snapshot(self._world(account, before)) for name, account in self.accounts.items()}
        living = Living.of([*before, *self.list_services()])
        for name, observed in seen.items():
            for one in observed.values():
                self.accounts[name].see(one, now=self.clock.monotonic())
        return [o for name, s in seen.items() for o in find_orphans(name, s, living, everything=self.gone)]

    def remove(self, orphans: Collection[Orphan], *, deadline: float) -> dict[tuple[str, Scope], Swept]:
        """What became of each scope in which an orphan has something, from the highest rank down in each account.

        Scopes of lower rank are tried also when a higher one failed: the cloud refuses what is still in use.
        """
        swept: dict[tuple[str, Scope], Swept] = {}
        services = list(self.list_services())
        for name, account in self.accounts.items():
            mine = [orphan for orphan in orphans if orphan.account == name]
            carrier = Carrier(account, self._world(account, services), self.clock, deadline)
            sweep = Sweep(carrier, self.policy, frozenset(orphan.owner for orphan in mine))
            scopes = {scope for orphan in mine for scope in orphan.scopes}
            for scope in sorted(scopes, key=lambda scope, a=account: (a.rank(scope), scope), reverse=True):  # type: ignore[misc]
                swept[name, scope] = sweep.run(scope)
        return swept

    def _world(self, account: Account, services: Iterable[Service]) -> World:
        """What the driver may know: every Service that exists, also those of other controllers."""
        return World(
            cluster=self.cluster,
            now=self.clock.now(),
            nodes=account.nodes.current,
            intents=account.intents(account.services.values()),
            services={identity_of(service): service for service in services},
            observed=dict(account.observed),
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """The removal of orphans from one account; `NOBODY` among the doomed stands for what is the cluster's own."""

    carrier: Carrier
    policy: Policy
    doomed: frozenset[Identity]

    def run(self, scope: Scope) -> Swept:
        """Empty one scope of what is the orphans' alone."""
        try:
            return self.carrier.carry_out(scope, self.plan)
        except LbctlError as error:
            return error

    def plan(self, observed: Observed) -> Plan:
        """The deletion of what only the doomed own; raises `OwnedByOther` rather than touch anything else."""
        world = self.carrier.seen_world
        full = plan_removal(self.carrier.account, observed, world, doomed=self.doomed)
        return allow(full, self.policy, leaving=self.doomed)


def plan_removal(account: Account, observed: Observed, world: World, *, doomed: frozenset[Identity]) -> Plan:
    """The deletion of what only the doomed own in one scope, before any policy.

    Raises `OwnedByOther` when the plan would do more than that.
    """

    def goes(owners: frozenset[Identity]) -> bool:
        return (owners or CLUSTER) <= doomed

    staying = (seen for seen in observed.resources.values() if seen.ours and not goes(seen.resource.owners))
    desired = Desired(observed.scope, {seen.key: seen.resource for seen in staying})
    plan = account.driver.plan(desired, observed, world)
    for step in (step for action in plan.actions for step in action.steps):
        if step.verb is not Verb.UPDATE and not goes(step.owners):
            raise OwnedByOther(
                f"removing what is left in {observed.scope} would {step.verb} {step.key}, which is not theirs alone",
                hint="nothing was done there; report this with the output of: lbctl gc -o json",
            )
    return plan
