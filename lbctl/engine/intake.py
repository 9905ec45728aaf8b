"""Which Services concern which account, and what about them has changed.

Level-based: a Service is compared with what is remembered of it, and only a difference that decides something dirties
its scopes. Called under the controller's lock; knows no queue, only whom to tell.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from lbctl.driver import World
from lbctl.engine.account import Account
from lbctl.engine.claim import Claim, ClaimRules, Standing, claim, leave_first
from lbctl.engine.passes import Shared
from lbctl.engine.planning import build_world, holds
from lbctl.engine.reconcile import NO_OBJECTS
from lbctl.engine.tracked import Tracked
from lbctl.errors import InvalidService
from lbctl.model.intent import Intent, identity_of
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.model.resource import Identity, Scope

log = logging.getLogger(__name__)


class Touch(Protocol):
    """Told which scopes of an account have to be worked on; `going` when something is on its way out."""

    def __call__(self, account: Account, scopes: Iterable[Scope], *, going: bool = False) -> None:
        """Have the scopes worked on soon."""


class Intake:
    """The Services that were seen, and to which account each belongs."""

    def __init__(self, accounts: Mapping[str, Account], *, rules: ClaimRules, shared: Shared, touch: Touch) -> None:
        self._accounts = accounts
        self._rules = rules
        self._shared = shared
        self._touch = touch
        self._services: dict[str, Service] = {}
        self._stumbled: set[str] = set()

    def __iter__(self) -> Iterator[Service]:
        """Every Service that was seen, as of now."""
        return iter(list(self._services.values()))

    def find(self, key: str) -> Service | None:
        """The newest object of `namespace/name`."""
        return self._services.get(key)

    def see(self, service: Service) -> None:
        """Take note of a Service that exists."""
        self._services[service.key] = service
        self.consider(service)

    def claim_of(self, service: Service) -> Claim:
        """Whose the Service is and why."""
        holder = self._holder(identity_of(service))
        decision = claim(service, self._rules, has_objects=holder.name if holder is not None else None)
        if decision.standing is not Standing.WANTED or decision.account is None:
            return decision
        account = self._accounts[decision.account]
        if not account.driver.claims(service):
            return Claim(Standing.FOREIGN, row=2, why="the driver leaves it to another controller")
        if holder is not None and self._serves_nothing_of(account, identity_of(service)):
            return leave_first(service, decision, holder.name)
        return decision

    def _holder(self, identity: Identity) -> Account | None:
        return next((account for account in self._accounts.values() if holds(account, identity)), None)

    def _serves_nothing_of(self, account: Account, identity: Identity) -> bool:
        """True when the account is sure to hold nothing of a Service; two accounts may well see the same cloud."""
        tracked = account.services.get(identity)
        served = tracked is not None and tracked.standing is Standing.WANTED and tracked.had_objects
        return account.snapshot_at is not None and not served and not holds(account, identity)

    @property
    def classes(self) -> tuple[str, ...]:
        """Every load balancer class that is served here."""
        return tuple(sorted(self._rules.classes))

    def tracked(self, identity: Identity) -> tuple[Account, Tracked] | None:
        """What is remembered of a Service, and by which account."""
        for account in self._accounts.values():
            if identity in account.services:
                return account, account.services[identity]
        return None

    def foreign(self) -> list[tuple[Service, Claim]]:
        """The Services that were seen and are not ours, with the reason; looks at every Service."""
        known = list(self._services.values())
        claims = ((service, self.claim_of(service)) for service in known if self.tracked(identity_of(service)) is None)
        return [(service, claim) for service, claim in claims if claim.standing is Standing.FOREIGN]

    def consider(self, service: Service) -> None:
        """Compare a Service with what is remembered of it, and have its scopes worked on if that decides anything.

        A bug that one Service trips costs the others nothing; it is told, and tried again by `reconsider`.
        """
        try:
            self._consider(service)
        except Exception as bug:
            log.exception("cannot take in Service %s; this is a bug", service.key)
            self._shared.on_bug(bug)
            self._stumbled.add(service.key)
        else:
            self._stumbled.discard(service.key)

    def reconsider(self) -> None:
        """Try again those Services that tripped a bug."""
        for service in [service for key, service in self._services.items() if key in self._stumbled]:
            self.consider(service)

    def _consider(self, service: Service) -> None:
        identity = identity_of(service)
        known = self.tracked(identity)
        if known is not None and service.metadata.is_older_than(known[1].service.metadata):
            return  # the echo of a state that a write of ours has already replaced
        decision = self.claim_of(service)
        if decision.standing in (Standing.FOREIGN, Standing.UNCONCERNED) or decision.account is None:
            if known is not None:
                known[0].forget(identity)
            return
        account = self._accounts[decision.account]
        if known is not None and known[0] is not account:
            known[0].forget(identity)
            known = None
        tracked = (
            known[1] if known else Tracked(identity, service, decision.standing, since=self._shared.clock.monotonic())
        )
        if decision.standing is Standing.LEAVING:
            self._consider_leaving(account, tracked, service, decision)
        else:
            self._consider_wanted(account, tracked, service, decision, is_new=known is None)

    def _consider_wanted(
        self, account: Account, tracked: Tracked, service: Service, decision: Claim, *, is_new: bool
    ) -> None:
        intent, problems = _parse(account, service)
        returned = tracked.standing is not Standing.WANTED
        changed = is_new or returned or intent != tracked.intent or problems != tracked.problems
        if returned:
            tracked.changing = None
            tracked.applied.clear()
            tracked.published, tracked.rewrites = None, ()  # the server itself clears what is no balancer's
        changed = changed or service.key in self._stumbled
        changed = changed or self._needs_repair(account, tracked, service, decision)
        tracked.service, tracked.finalizer = service, decision.finalizer
        tracked.standing, tracked.leaving_confirmed = Standing.WANTED, False
        if not changed:
            return
        tracked.problems = problems
        if not problems:
            tracked.intent, tracked.references = intent, account.info.references(service)
        left = account.track(tracked, self._scopes(account, tracked))
        self._retry_afresh(account, tracked)
        self._touch(account, account.scopes_of(tracked) | left)

    def _consider_leaving(self, account: Account, tracked: Tracked, service: Service, decision: Claim) -> None:
        is_new = tracked.standing is not Standing.LEAVING or tracked.identity not in account.services
        unchanged = tracked.considered == service.metadata.annotations
        tracked.service, tracked.finalizer, tracked.standing = service, decision.finalizer, Standing.LEAVING
        tracked.considered = service.metadata.annotations
        if tracked.intent is None:
            intent, problems = _parse(account, service)
            tracked.intent = intent if not problems else None
            tracked.references = account.info.references(service)
        account.track(tracked, tracked.scopes or self._scopes(account, tracked))
        if is_new:
            _look_where_nothing_is_proven(account, tracked)
        if is_new or not unchanged:
            tracked.changing = None
            self._touch(account, account.scopes_of(tracked), going=True)

    def vanish(self, service: Service) -> None:
        """Take note of a Service that is gone without our clean-up: what it had is removed by its identity."""
        identity = identity_of(service)
        self._services.pop(service.key, None)
        self._stumbled.discard(service.key)
        known = self.tracked(identity)
        if known is None:
            return
        account, tracked = known
        tracked.vanished, tracked.leaving_confirmed = True, True
        if tracked.standing is not Standing.LEAVING:
            tracked.standing, tracked.changing = Standing.LEAVING, None
            _look_where_nothing_is_proven(account, tracked)
        self._touch(account, account.scopes_of(tracked), going=True)

    def _needs_repair(self, account: Account, tracked: Tracked, service: Service, decision: Claim) -> bool:
        """True when our finalizer is not where it has to be, or somebody wrote another address."""
        if decision.finalizer not in service.metadata.finalizers and account.has_objects(tracked.identity):
            return True
        ingress = service.status.load_balancer.ingress
        return tracked.published is not None and ingress != tracked.service.status.load_balancer.ingress

    def _scopes(self, account: Account, tracked: Tracked) -> tuple[Scope, ...]:
        if tracked.intent is not None:
            world = self._light_world(account, tracked)
            return account.driver.scopes(tracked.intent, world)
        return tuple(sorted(account.scopes_with(tracked.identity))) or (Scope(NO_OBJECTS, tracked.identity.uid),)

    def _light_world(self, account: Account, tracked: Tracked) -> World:
        return build_world(account, (tracked,), cluster=self._shared.cluster, now=self._shared.clock.now())

    def _retry_afresh(self, account: Account, tracked: Tracked) -> None:
        for scope in tracked.scopes:
            self._shared.backoff.reset((account.name, scope))

    def forget(self, account: Account, identity: Identity) -> None:
        """Drop a Service of which nothing is left in an account, and go on with what is next.

        That is what it has in another account, what it has become, or one of the same name that came meanwhile. Nobody
        tells of a Service that is no balancer any more once its finalizer is off, so its object goes too.
        """
        tracked = account.services.get(identity)
        account.forget(identity)
        if tracked is not None:
            self._go_on(account, tracked)
        newest = self._services.get(identity.key)
        if newest is not None and newest.spec.type != "LoadBalancer" and self.tracked(identity_of(newest)) is None:
            del self._services[identity.key]

    def _go_on(self, account: Account, left: Tracked) -> None:
        newest = self._services.get(left.identity.key)
        if left.vanished:
            self._leave_next(left)
        elif newest is not None and newest.metadata.is_older_than(left.service.metadata):
            newest = left.service
        if newest is not None and (identity_of(newest) != left.identity or not left.vanished):
            decision = self.claim_of(newest)
            if (decision.standing, decision.account) != (Standing.LEAVING, account.name):
                self.consider(newest)

    def _leave_next(self, vanished: Tracked) -> None:
        """Have what a Service that exists no more has in another account removed as well."""
        identity, service, holder = vanished.identity, vanished.service, self._holder(vanished.identity)
        if holder is not None and identity not in holder.services:
            heir = Tracked(identity, service, Standing.LEAVING, vanished=True, leaving_confirmed=True)
            decision = Claim(Standing.LEAVING, holder.name, vanished.finalizer)
            self._consider_leaving(holder, heir, service, decision)


def _look_where_nothing_is_proven(account: Account, tracked: Tracked) -> None:
    """Have the scopes of a Service that begins to leave read once more where only lists say what is there."""
    if not tracked.had_objects and not account.has_objects(tracked.identity):
        tracked.unproven.update(scope for scope in tracked.scopes if scope.kind != NO_OBJECTS)
    account.track(tracked, tuple(dict.fromkeys((*tracked.scopes, *sorted(tracked.unproven)))))


def _parse(account: Account, service: Service) -> tuple[Intent | None, tuple[Problem, ...]]:
    try:
        return account.driver.parse(service), ()
    except InvalidService as error:
        return None, error.problems
