"""Lets go of a Service: our marks come off what it has in the cloud and off its object, and everything stays.

The reverse of adopting: afterwards nobody of ours cleans up after it, and another controller may take it over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lbctl.engine.account import Account
from lbctl.engine.carrying import Carrier
from lbctl.engine.claim import OWN_FINALIZER, SHARED_FINALIZER
from lbctl.engine.publish import READY_CONDITION
from lbctl.engine.tracked import Tracked
from lbctl.kube.patches import Clearing
from lbctl.kube.writes import ServiceWriter
from lbctl.model.objects import Service
from lbctl.model.resource import Seen
from lbctl.plan.order import build_plan


@dataclass(frozen=True, slots=True)
class Release:
    """What letting go of one Service means: what stays in the cloud, and which finalizers go."""

    account: Account
    tracked: Tracked

    @property
    def objects(self) -> tuple[Seen, ...]:
        """What the Service has, as it was last read."""
        identity = self.tracked.identity
        scopes = sorted(self.account.scopes_with(identity))
        seen = (one for scope in scopes for one in self.account.look(scope).resources.values())
        return tuple(one for one in seen if one.ours and identity in one.resource.owners)

    @property
    def finalizers(self) -> tuple[str, ...]:
        """Ours among the Service's finalizers; upstream's is, on a Service of ours without a class."""
        names = {self.tracked.finalizer, *self.account.info.own_finalizers}
        if self.tracked.service.spec.load_balancer_class is None or self.objects:
            names |= {SHARED_FINALIZER, OWN_FINALIZER}
        return tuple(name for name in self.tracked.service.metadata.finalizers if name in names)

    def unmark_cloud(self, carrier: Carrier, writer: ServiceWriter) -> None:
        """Take our marks off what the Service has; a call for each object that carries one."""
        identity = self.tracked.identity
        for scope in sorted(self.account.scopes_with(identity), key=self.account.rank, reverse=True):
            plan = build_plan(scope, self.account.driver.release(identity, carrier.observe(scope)))
            for action in plan.actions:
                if action.annotations:
                    self._annotate(writer, action.annotations.get(identity, {}))
                else:
                    carrier.insist(scope, action)

    def unmark_service(self, writer: ServiceWriter) -> Service:
        """Take our finalizers and our condition off, and leave the address where it is; one write."""
        names = self.finalizers
        if names:
            clearing = Clearing(ingress=False, condition_types=(READY_CONDITION,))
            self.tracked.service = writer.remove_finalizers(self.tracked.service, names, clearing=clearing)
        return self.tracked.service

    def _annotate(self, writer: ServiceWriter, changes: Mapping[str, str | None]) -> None:
        service = self.tracked.service
        self.tracked.service = writer.write_status(
            service,
            ingress=service.status.load_balancer.ingress,
            conditions=service.status.conditions,
            annotations=changes,
        )
