"""What moves a Service's targets, or adds to its wish, while Service and Nodes stay as they are.

That is its endpoints, the Pods behind them as far as they have readiness gates, and the objects that it refers to.
Called under the controller's lock; knows no queue, only whom to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from lbctl.driver import Referred
from lbctl.engine.account import Account
from lbctl.engine.gates import GateKeeper
from lbctl.engine.intake import Intake
from lbctl.engine.queue import Priority
from lbctl.engine.references import service_reference
from lbctl.engine.tracked import Tracked
from lbctl.model.intent import identity_of
from lbctl.model.objects import EndpointSlice, Pod
from lbctl.model.resource import Scope


class Touch(Protocol):
    """Told which scope of an account has to be worked on, and how urgent that is."""

    def __call__(self, account: Account, scope: Scope, priority: Priority) -> None:
        """Have the scope worked on soon."""


class Moves:
    """Takes note of the changes, in the accounts whose drivers look at such objects."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        intake: Intake,
        keepers: Mapping[str, GateKeeper],
        *,
        touch: Touch,
        look_at_gates: Callable[[Account, float | None], None],
    ) -> None:
        self._accounts = accounts
        self._intake = intake
        self._keepers = keepers
        self._touch = touch
        self._look_at_gates = look_at_gates

    def see_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """Take note of a change of a Service's endpoints."""
        for account in self._accounts.values():
            if "endpointslices" in account.info.watches:
                self._see_slice(account, old, new)

    def see_pod(self, old: Pod | None, new: Pod | None) -> None:
        """Take note of a change of a Pod that carries readiness gates."""
        for account in self._accounts.values():
            news = self._keepers[account.name].see(old, new)
            self._look_at_gates(account, news.look_at)
            pod = new or old
            if news.moves_targets and pod is not None:
                self._move_targets(account, account.served_by(pod))

    def see_referred(self, resource: str, old: Referred | None, new: Referred | None) -> None:
        """Take note of a change of an object that Services may refer to."""
        for account in self._accounts.values():
            for tracked in account.tracked(account.references.see(resource, old, new)):
                tracked.edits += 1
                for scope in tracked.scopes:
                    self._touch(account, scope, Priority.USER)

    def _see_slice(self, account: Account, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        if old is not None:
            account.forget_slice(old)
        if new is not None:
            account.slices.setdefault(new.service_key, {})[new.key] = new
        for key in {view.service_key for view in (old, new) if view is not None}:
            service = self._intake.find(key)
            own = {identity_of(service)} if service is not None else set()
            self._move_targets(account, account.tracked(own | account.references.referrers(service_reference(key))))

    def _move_targets(self, account: Account, moved: Iterable[Tracked]) -> None:
        for tracked in moved:
            tracked.moves += 1
            for scope in tracked.scopes:
                self._touch(account, scope, Priority.NODES)
