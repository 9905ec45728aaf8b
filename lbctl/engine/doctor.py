"""What is wrong with the place in which lbctl runs: API server, rights, leases, nodes, settings, clouds.

`lbctl doctor` shows it. Every finding that is not fine says what to do. Reads only; what cannot be looked at is a
finding too, so that all of it is told at once.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lbctl.clock import Clock
from lbctl.driver import Driver, DriverInfo, Finding, Level
from lbctl.engine.advice import advice
from lbctl.errors import InvalidSettings, KubeUnreachable, LbctlError
from lbctl.kube.reads import Cluster
from lbctl.kube.rights import needed_rights
from lbctl.kube.target import Target
from lbctl.model.node import UNINITIALIZED_TAINT, has_taint, is_eligible
from lbctl.model.objects import Node
from lbctl.plan.policy import Mode
from lbctl.settings import Settings, decode

SKEW_WARNS = dt.timedelta(seconds=5)
SKEW_FAILS = dt.timedelta(seconds=240)
"""Clouds refuse signatures that are five minutes off."""
SHOWN_NAMES = 5

Connect = Callable[[str], Driver]
"""Connects the account of this name; raises any `LbctlError`."""


@dataclass(frozen=True, slots=True)
class Doctor:
    """Looks at one cluster and its accounts; `infos` are the drivers by account."""

    settings: Settings
    reads: Cluster
    clock: Clock
    infos: Mapping[str, DriverInfo]
    connect: Connect

    def findings(self) -> Iterator[Finding]:
        """Every finding, from the API server outwards; `KubeUnreachable` when there is no API server to ask."""
        yield from self._settings()
        yield from self._guarded("API server", self._server)
        yield from self._guarded("rights", self._rights)
        yield from self._guarded("lease", self._own_lease)
        yield from self._guarded("other controllers", self._others)
        yield from self._guarded("nodes", self._nodes)
        for account in self.infos:
            yield from self._cloud(account)

    def _guarded(self, subject: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
        try:
            yield from look()
        except KubeUnreachable:
            raise
        except LbctlError as error:
            hint = error.hint or "see the findings above"
            yield Finding(Level.FAILED, subject, error.message, hint)

    # -- settings and API server ------------------------------------------------------------------------------------

    def _settings(self) -> Iterator[Finding]:
        policy = self.settings.policy
        if policy.mode == Mode.OBSERVE:
            hint = "set policy.mode to sync when the plans are to be carried out"
            yield Finding(Level.WARNING, "settings", "policy.mode is observe: nothing is ever changed", hint)
        if self.settings.claim.unclassed == "none":
            text = "claim.unclassed is none: Services without a class are left to another controller"
            yield Finding(Level.OK, "settings", text)
        if not self.settings.lease.enabled:
            hint = "set lease.enabled to true unless there is exactly one process"
            yield Finding(Level.WARNING, "settings", "lease.enabled is false: two processes would both write", hint)
        accounts = ", ".join(f"{name} ({info.name})" for name, info in self.infos.items())
        yield Finding(Level.OK, "settings", f"accounts: {accounts}")

    def _server(self) -> Iterator[Finding]:
        yield Finding(Level.OK, "API server", f"Kubernetes {self.reads.get_version()} answers")
        before = self.clock.now()
        theirs = self.reads.get_clock()
        ours = before + (self.clock.now() - before) / 2
        if theirs is not None:
            # The header is cut to whole seconds.
            yield _skew(ours - theirs - dt.timedelta(seconds=0.5))

    def _rights(self) -> Iterator[Finding]:
        lease = self.settings.lease
        needed = needed_rights(self.infos.values(), lease=(lease.namespace, lease.name), documents=self._documents())
        for (verb, target), optional in needed.items():
            yield self._right(verb, target, optional=optional)

    def _documents(self) -> list[str]:
        found: set[str] = set()
        for account, info in self.infos.items():
            # Settings that cannot be read are told with their account.
            with contextlib.suppress(InvalidSettings):
                found.update(info.documents(self._decoded(account)))
        return sorted(found)

    def _right(self, verb: str, target: Target, *, optional: bool) -> Finding:
        if self.reads.can_i(verb, target):
            return Finding(Level.OK, "right", f"may {verb} {target}")
        where = f" in namespace {target.namespace}" if target.namespace else ""
        hint = f"grant the verb {verb} on {target.right}{where} to the identity that runs lbctl"
        return Finding(Level.WARNING if optional else Level.FAILED, "right", f"may not {verb} {target}", hint)

    # -- who else is here -------------------------------------------------------------------------------------------

    def _own_lease(self) -> Iterator[Finding]:
        lease = self.settings.lease
        holder, age = self._holder(f"{lease.namespace}/{lease.name}")
        if holder:
            yield Finding(Level.OK, "lease", f"{holder} leads, renewed {age:.0f} s ago")
        else:
            hint = "start one: lbctl run, or see why its pod does not run"
            yield Finding(Level.WARNING, "lease", f"no controller holds {lease.namespace}/{lease.name}", hint)

    def _others(self) -> Iterator[Finding]:
        own = f"{self.settings.lease.namespace}/{self.settings.lease.name}"
        names = {(name, info.name) for info in self.infos.values() for name in info.controller_leases if name != own}
        alive = False
        for name, provider in sorted(names):
            holder, age = self._holder(name)
            if holder:
                alive = True
                text = f"{holder} holds {name}, renewed {age:.0f} s ago: another controller of {provider} runs here"
                hint = "turn its Services off (--controllers=*,-service-lb-controller), or stop it"
                yield Finding(Level.WARNING, "other controllers", text, hint)
        if names and not alive:
            yield Finding(Level.OK, "other controllers", "none of this cloud runs here")

    def _holder(self, lease: str) -> tuple[str, float]:
        namespace, _, name = lease.partition("/")
        record = self.reads.get_lease(name, namespace=namespace)
        age = record.age_at(self.clock.now()) if record is not None else None
        holder = record.holder_at(self.clock.now()) if record is not None else ""
        return holder, max(age.total_seconds(), 0.0) if age is not None else 0.0

    # -- nodes and clouds -------------------------------------------------------------------------------------------

    def _nodes(self) -> Iterator[Finding]:
        eligible = [node for node in self.reads.list_nodes() if is_eligible(node)]
        for account, info in self.infos.items():
            yield from self._nodes_of(self._subject(account, "nodes"), info, eligible)

    def _nodes_of(self, subject: str, info: DriverInfo, eligible: list[Node]) -> Iterator[Finding]:
        fresh = [node for node in eligible if has_taint(node, UNINITIALIZED_TAINT)]
        useless = [node for node in eligible if node not in fresh and not info.ready_node(node)]
        usable = len(eligible) - len(fresh) - len(useless)
        if fresh:
            hint = "run the cloud's node controller, which takes the taint off"
            yield Finding(Level.WARNING, subject, f"not initialized, so no targets: {_names(fresh)}", hint)
        if useless:
            hint = "let the cloud's node controller set spec.providerID and the addresses"
            text = f"without an id or address that {info.name} knows, so no targets: {_names(useless)}"
            yield Finding(Level.WARNING, subject, text, hint)
        if usable:
            yield Finding(Level.OK, subject, f"{usable} nodes can be targets")
        else:
            hint = "look at: kubectl get nodes; node.kubernetes.io/exclude-from-external-load-balancers counts too"
            yield Finding(Level.FAILED, subject, "no node can be a target", hint)

    def _cloud(self, account: str) -> Iterator[Finding]:
        try:
            yield from self._config_file(account)
            driver = self.connect(account)
        except LbctlError as error:
            hint = error.hint or "correct the account's settings; see: lbctl config show"
            yield Finding(Level.FAILED, self._subject(account, "settings"), error.message, hint)
            return
        try:
            for finding in driver.check():
                yield replace(finding, subject=self._subject(account, finding.subject))
        except LbctlError as error:
            hint = error.hint or advice(error.reason, "NAMESPACE/NAME")
            yield Finding(Level.FAILED, self._subject(account, "cloud"), error.message, hint)
        finally:
            driver.close()

    def _config_file(self, account: str) -> Iterator[Finding]:
        for fault in self.infos[account].config_faults(self._decoded(account)):
            hint = "correct it, or take it out if nothing needs it; lbctl run only warns of it"
            yield Finding(Level.FAILED, self._subject(account, "configuration file"), fault, hint)

    def _decoded(self, account: str) -> Any:  # noqa: ANN401 - the driver's own type
        where = f"accounts.{account}.settings"
        return decode(self.settings.accounts[account].settings, self.infos[account].settings, where=where)

    def _subject(self, account: str, subject: str) -> str:
        return f"{account} {subject}" if len(self.infos) > 1 else subject


def _skew(off: dt.timedelta) -> Finding:
    seconds = off.total_seconds()
    if abs(off) <= SKEW_WARNS:
        return Finding(Level.OK, "clock", "this machine and the API server agree on the time")
    level = Level.FAILED if abs(off) > SKEW_FAILS else Level.WARNING
    which = "ahead of" if seconds > 0 else "behind"
    text = f"this machine is {abs(seconds):.0f} s {which} the API server"
    return Finding(level, "clock", text, "set the clock of the one that is wrong; clouds refuse old signatures")


def _names(nodes: list[Node]) -> str:
    names = sorted(node.metadata.name for node in nodes)
    rest = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")
