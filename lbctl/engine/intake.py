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
from lbctl.engine.claim import Claim, ClaimRules, Standing, claim
from lbctl.engine.passes import Shared
from lbctl.engine.planning import build_world
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
        identity = identity_of(service)
        owner = next((name for name, account in self._accounts.items() if account.has_objects(identity)), None)
        decision = claim(service, self._rules, has_objects=owner)
        if decision.standing is Standing.WANTED and decision.account is not None:
            driver = self._accounts[decision.account].driver
            if not driver.claims(service):
                return Claim(Standing.FOREIGN, row=2, why="the driver leaves it to another controller")
        return decision

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
        changed = changed or service.key in self._stumbled
        if tracked.service is not service:
            changed = changed or self._needs_repair(tracked, service, decision)
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
        unchanged = tracked.service.metadata.annotations == service.metadata.annotations
        tracked.service, tracked.finalizer, tracked.standing = service, decision.finalizer, Standing.LEAVING
        if tracked.intent is None:
            intent, problems = _parse(account, service)
            tracked.intent = intent if not problems else None
            tracked.references = account.info.references(service)
        account.track(tracked, tracked.scopes or self._scopes(account, tracked))
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
        self._touch(account, account.scopes_of(tracked), going=True)

    def _needs_repair(self, tracked: Tracked, service: Service, decision: Claim) -> bool:
        """True when somebody took our finalizer off or wrote another address."""
        had_mark = decision.finalizer in tracked.service.metadata.finalizers
        if had_mark and decision.finalizer not in service.metadata.finalizers:
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
        """Drop a Service that is gone with all that it had; one of the same name that came meanwhile is next.

        Nobody tells of a Service that is no balancer any more once its finalizer is off, so its object goes too.
        """
        tracked = account.services.get(identity)
        account.forget(identity)
        newest = self._services.get(identity.key)
        if tracked is not None and newest is not None and identity_of(newest) != identity:
            self.consider(newest)
        elif newest is not None and newest.spec.type != "LoadBalancer" and self.tracked(identity) is None:
            del self._services[identity.key]


def _parse(account: Account, service: Service) -> tuple[Intent | None, tuple[Problem, ...]]:
    try:
        return account.driver.parse(service), ()
    except InvalidService as error:
        return None, error.problems
