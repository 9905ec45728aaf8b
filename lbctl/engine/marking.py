"""Finalizers: on before the first thing is made, off after the last thing is gone."""

from __future__ import annotations

from functools import partial

from lbctl.annotations import DELETION_POLICY
from lbctl.engine.account import Account
from lbctl.engine.claim import OWN_FINALIZER, SHARED_FINALIZER, Standing
from lbctl.engine.passes import Pass, Shared, Steps, retry_conflicts
from lbctl.engine.publish import READY_CONDITION
from lbctl.engine.tracked import Tracked
from lbctl.errors import KubeError, KubeGone
from lbctl.kube.patches import Clearing
from lbctl.plan.policy import Mode


def is_retained(tracked: Tracked) -> bool:
    """True when the Service goes and its author wants the balancer to stay."""
    policy = tracked.service.metadata.annotations.get(DELETION_POLICY, "").strip()
    return tracked.standing is Standing.LEAVING and policy == "retain"


class Marker:
    """Puts finalizers on the Services of a scope and takes them off again."""

    def __init__(self, account: Account, shared: Shared) -> None:
        self._account = account
        self._shared = shared

    def mark(self, state: Pass) -> Steps:
        """Mark what is wanted and look once more at what is leaving; a Service where this fails is frozen.

        Only the pass of its home scope writes to a Service; in other scopes it is frozen until it is marked.
        """
        if self._shared.policy.mode is Mode.OBSERVE:
            return
        for tracked in self._account.members(state.scope):
            try:
                if tracked.standing is Standing.LEAVING:
                    yield from self._confirm_leaving(tracked)
                elif tracked.home == state.scope:
                    yield from retry_conflicts(tracked, self._shared.reads, partial(self._add, state, tracked))
                    yield from self._clear_stale_address(tracked)
                elif self._missing(tracked):
                    state.unmarked.add(tracked.identity)
            except KubeError as error:
                state.unmarked.add(tracked.identity)
                state.errors[tracked.identity] = error

    def shed(self, tracked: Tracked) -> Steps:
        """Take off upstream's finalizers of former modes, of which nothing is left when all is as wished."""
        yield from retry_conflicts(tracked, self._shared.reads, lambda: self._shed(tracked))

    def _shed(self, tracked: Tracked) -> Steps:
        info, intent = self._account.info, tracked.intent
        if intent is None or self._shared.policy.mode is Mode.OBSERVE:
            return
        former = info.own_finalizers.difference(info.finalizers(intent))
        names = tuple(name for name in tracked.service.metadata.finalizers if name in former)
        if names:
            yield "remove finalizer of a former mode"
            self._shared.may_write()
            tracked.service = self._shared.writer.remove_finalizers(tracked.service, names)

    def let_go(self, tracked: Tracked) -> Steps:
        """Take our finalizers, conditions and result annotations off and empty the ingress, in one write."""
        if not tracked.vanished:
            yield from retry_conflicts(tracked, self._shared.reads, lambda: self._remove(tracked))

    def _remove(self, tracked: Tracked) -> Steps:
        names = self._removable(tracked)
        if not names:
            return
        yield "remove finalizer"
        self._shared.may_write()
        results = self._account.info.result_annotations.intersection(tracked.service.metadata.annotations)
        told = {c.type for c in tracked.service.status.conditions} & self._account.info.result_conditions
        types = (READY_CONDITION, *sorted(told))
        clearing = Clearing(condition_types=types, annotations=tuple(sorted(results)))
        tracked.service = self._shared.writer.remove_finalizers(tracked.service, names, clearing=clearing)

    def _add(self, state: Pass, tracked: Tracked) -> Steps:
        missing = self._missing(tracked)
        if not missing:
            return
        yield "add finalizer"
        self._shared.may_write()
        tracked.service = self._shared.writer.add_finalizers(tracked.service, missing)
        state.marked.add(tracked.identity)

    def _missing(self, tracked: Tracked) -> tuple[str, ...]:
        if tracked.intent is None and not self._account.has_objects(tracked.identity):
            return ()
        own = self._account.info.finalizers(tracked.intent) if tracked.intent is not None else ()
        return tuple(n for n in (tracked.finalizer, *own) if n not in tracked.service.metadata.finalizers)

    def _clear_stale_address(self, tracked: Tracked) -> Steps:
        """A Service restored from a backup still shows its former self's address; nobody must be sent there."""
        stored = tracked.service.status.load_balancer.ingress
        if not stored or tracked.published is not None or tracked.intent is None or self._may_be_ours(tracked):
            return
        yield "clear stale address"
        self._shared.may_write()
        conditions = tracked.service.status.conditions
        tracked.service = self._shared.writer.write_status(tracked.service, ingress=(), conditions=conditions)

    def _may_be_ours(self, tracked: Tracked) -> bool:
        # A driver that keeps addresses in the status (it offers requested addresses) finds them again from there.
        keeps_addresses = self._account.info.capabilities.requested_address
        return keeps_addresses or self._account.has_objects(tracked.identity)

    def _confirm_leaving(self, tracked: Tracked) -> Steps:
        """Read the live object before the first deletion, because the watch may be behind."""
        if tracked.leaving_confirmed:
            return
        yield "confirm leaving"
        live = self._shared.reads.get_service(tracked.identity.namespace, tracked.identity.name)
        if live is None or live.metadata.uid != tracked.identity.uid:
            tracked.vanished = True
        else:
            wanted_again = live.metadata.deletion_timestamp is None and live.spec == tracked.service.spec
            if live.metadata.deletion_timestamp is None and not wanted_again and live.spec.type == "LoadBalancer":
                raise KubeGone(f"Service {tracked.identity} changed meanwhile", hint="the next pass sees the newest")
            tracked.service = live
        tracked.leaving_confirmed = True

    def _removable(self, tracked: Tracked) -> tuple[str, ...]:
        names = {tracked.finalizer, *self._account.info.own_finalizers}
        if tracked.had_objects or tracked.service.spec.load_balancer_class is None:
            names |= {SHARED_FINALIZER, OWN_FINALIZER}
        return tuple(name for name in tracked.service.metadata.finalizers if name in names)
