"""Tells logs, metrics and traces what a running process does; decides nothing."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lbctl.clock import Clock
from lbctl.driver import Figure
from lbctl.engine.account import Account
from lbctl.engine.controller import Work
from lbctl.obs.context import about
from lbctl.obs.metrics import Metrics
from lbctl.obs.tracing import Tracing

log = logging.getLogger(__name__)

NAMED_SERVICES = 3


class Telling:
    """The measures of a process (`lbctl.engine.stages.Measures`), and what surrounds each piece of its work."""

    def __init__(self, metrics: Metrics, tracing: Tracing, clock: Clock) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock
        self.accounts: Mapping[str, Account] = {}

    @contextmanager
    def around(self, work: Work) -> Iterator[None]:
        """Log lines of this piece of work say what it is about, and its cloud calls are in one span."""
        fields = self._fields(work)
        with about(**fields), self._tracing.span(work.task.name.lower(), fields):
            yield

    def record_call(self, provider: str, operation: str, code: str, seconds: float) -> None:
        """Count, trace and, when asked for much, log a cloud call."""
        self._metrics.record_call(provider, operation, code, seconds)
        self._tracing.call(provider, operation, code, ended=self._clock.now(), seconds=seconds)
        log.debug("%s: %s in %.3f s", operation, code or "ok", seconds)

    def record_stage(self, provider: str, stage: str, seconds: float) -> None:
        """Count a stage."""
        self._metrics.record_stage(provider, stage, seconds)

    def show(self, provider: str, figure: Figure, label: str, value: float) -> None:
        """Show a figure of the cloud."""
        self._metrics.show(provider, figure, label, value)

    def _fields(self, work: Work) -> dict[str, str]:
        account = self.accounts.get(work.account)
        fields = {"reconcile": uuid.uuid4().hex[:12], "account": work.account}
        if account is None:
            return fields
        fields["provider"] = account.info.name
        if work.scope is not None:
            members = [tracked.identity.key for tracked in account.members(work.scope)]
            more = len(members) - NAMED_SERVICES
            fields["service"] = ",".join(members[:NAMED_SERVICES]) + (f",+{more}" if more > 0 else "")
            fields["scope"] = str(work.scope)
        return fields
