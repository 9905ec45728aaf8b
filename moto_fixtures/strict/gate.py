"""The layer in front of moto that makes it answer as AWS would.

Runs the hooks of the switches that are on around moto's own work, one call at a time: moto's backends have no locks of
their own, and a driver's threads call it at once. An answer that moto could not give at all (its code raised) is
recorded as a breakdown, so that no test takes a broken counterpart for an error of the cloud.
"""

from __future__ import annotations

import copy
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from moto_fixtures import wire
from moto_fixtures.clock import CloudClock
from moto_fixtures.strict.cloud import Cloud
from moto_fixtures.strict.ledger import Ledger
from moto_fixtures.strict.quotas import AWS_QUOTAS
from moto_fixtures.strict.switch import Before, Rewrite, Switch
from moto_fixtures.wire import Call, Environ, Json, RefusedError, Reply, StartResponse, WsgiApp

_STRICT_SERVICES = {"ec2", "elb", "elbv2"}


class StrictGate:
    """A WSGI application around moto's; every switch is on until a test turns it off."""

    def __init__(self, moto: WsgiApp, switches: Iterable[Switch], clock: CloudClock) -> None:
        self._moto = moto
        self._switches = {switch.name: switch for switch in switches}
        self._off: set[str] = set()
        self.lock = threading.RLock()
        self.ledger = Ledger()
        self.clock = clock
        self.quotas = dict(AWS_QUOTAS)
        self.breakdowns: list[str] = []

    @property
    def switches(self) -> dict[str, Switch]:
        """Every switch by name."""
        return self._switches

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """Turn switches off for the length of a `with` block: there, moto answers as it likes."""
        unknown = set(names) - set(self._switches)
        if unknown:
            raise KeyError(f"turning off switches {sorted(unknown)}: there are only {sorted(self._switches)}")
        with self._with_off(self._off | set(names)):
            yield

    def strictly(self) -> AbstractContextManager[None]:
        """Turn every switch on for the length of a `with` block, as while a scene is set."""
        return self._with_off(set())

    @contextmanager
    def _with_off(self, names: set[str]) -> Iterator[None]:
        before, self._off = self._off, names
        try:
            yield
        finally:
            self._off = before

    def forget(self) -> None:
        """Remember nothing: no ledger, AWS's quotas, no breakdowns."""
        self.ledger = Ledger()
        self.quotas = dict(AWS_QUOTAS)
        self.breakdowns.clear()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        with self.lock:
            call = wire.read_call(environ)
            reply = self._plain(environ) if call is None else self.reply(call, environ)
        return reply.send(start_response)

    def reply(self, call: Call, environ: Environ) -> Reply:
        """The strict answer to a call, as HTTP; holds the lock, so callers see whole calls only."""
        with self.lock:
            try:
                return self._strict(call, environ) if call.service in _STRICT_SERVICES else self._plain(environ)
            except RefusedError as refusal:
                return wire.write_refusal(call, refusal)
            except Exception as broken:  # noqa: BLE001 - whatever moto raises must reach the test, not the thread's end
                self.breakdowns.append(f"{call.service}:{call.operation} {call.params}\n{traceback.format_exc()}")
                return wire.write_refusal(call, RefusedError("InternalFailure", f"the counterpart broke: {broken!r}"))

    def ask(self, call: Call) -> Json:
        """The parsed answer to a call made inside the process; RefusedError when the cloud refuses it."""
        reply = self.reply(call, wire.request_environ(call))
        if not reply.ok:
            raise RefusedError("InternalFailure", f"{call.operation} inside the cloud: {reply.body.decode()}")
        return wire.read_answer(call, reply)

    def _plain(self, environ: Environ) -> Reply:
        return wire.run(self._moto, environ)

    def _strict(self, call: Call, environ: Environ) -> Reply:
        cloud = self._cloud(call.region)
        on = [switch for name, switch in self._switches.items() if name not in self._off]
        key = (call.service, call.operation)
        settled = _first_answer(call, cloud, [hook for one in on for hook in one.hooks(one.befores, key)])
        if settled is not None:
            return wire.write_answer(call, settled)
        afters = [hook for one in on for hook in one.hooks(one.afters, key)]
        answer = _first_answer(call, cloud, [hook for one in on for hook in one.hooks(one.insteads, key)])
        if answer is None:
            rewrites = [hook for one in on for hook in one.hooks(one.rewrites, key)]
            reply = self._ask_moto(call, environ, rewrites, cloud)
            if not afters or not reply.ok:
                return reply
            answer = wire.read_answer(call, reply)
        for after in afters:
            after(call, cloud, answer)
        return wire.write_answer(call, answer)

    def _ask_moto(self, call: Call, environ: Environ, rewrites: list[Rewrite], cloud: Cloud) -> Reply:
        if not rewrites:
            return wire.run(self._moto, environ)
        params = copy.deepcopy(call.params)
        for rewrite in rewrites:
            rewrite(call, cloud, params)
        return wire.run(self._moto, environ, (call, params))

    def _cloud(self, region: str) -> Cloud:
        def ask(service: str, operation: str, params: Json) -> Json:
            return self.ask(Call(service, operation, params, {}, region, 1))

        return Cloud(region, self.ledger, self.clock.now(), ask, self.quotas)


def _first_answer(call: Call, cloud: Cloud, hooks: list[Before]) -> Json | None:
    """Run the hooks in turn until one answers; the ones after it are not run."""
    for hook in hooks:
        answer = hook(call, cloud)
        if answer is not None:
            return answer
    return None
