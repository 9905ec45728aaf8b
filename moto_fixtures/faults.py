"""Faults that a test programs: throttles, errors, denials, latency, lost answers, stale reads, death.

The outermost layer, so a fault looks to the SDK as one of the network or of the service. Operations are named by
pattern: `CreateListener`, `elbv2:Create*`, `*`. Each fault says from which matching call on it acts and how often; the
first that still has work acts. Nothing here knows what a driver does.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from moto_fixtures import policies, snapshot, wire
from moto_fixtures.calls import CallLog
from moto_fixtures.strict.gate import StrictGate
from moto_fixtures.wire import Call, Environ, RefusedError, Reply, StartResponse

FOREVER = 1_000_000_000
_BACKSTAGE = "/backstage"
# What each service says when it is called too often.
_THROTTLES = {"ec2": ("RequestLimitExceeded", "Request limit exceeded.")}
_THROTTLE = ("Throttling", "Rate exceeded")

Forward = Callable[[], Reply]
_Act = Callable[[Call, Forward], "Reply | None"]


@dataclass(slots=True)
class _Fault:
    """`act` answers in the service's place; None drops the connection. `skip` and `left` count matching calls."""

    pattern: str
    act: _Act
    skip: int
    left: int

    def matches(self, call: Call) -> bool:
        names = (call.operation, f"{call.service}:{call.operation}")
        return any(fnmatchcase(name, self.pattern) for name in names)


@dataclass(slots=True)
class _Death:
    """The k-th write from arming on is the last that is done (`after`) or the first that is not (before)."""

    write: int
    after: bool
    seen: int = 0
    dead: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The programme of one test; every method may be called while a driver's threads are at work."""

    def __init__(self, gate: StrictGate) -> None:
        self._gate = gate
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []
        self._death: _Death | None = None
        self._look: Callable[[], None] = _see_nothing
        self._denied: list[str] = []

    def fail(self, operation: str, *, code: str, message: str = "injected", nth: int = 1, times: int = 1) -> None:
        """Answer with an error, nothing done; the HTTP status follows from the code."""

        def refuse(call: Call, _forward: Forward) -> Reply:
            return wire.write_refusal(call, RefusedError(code, message))

        self._add(operation, refuse, nth=nth, times=times)

    def throttle(self, operation: str, *, code: str | None = None, nth: int = 1, times: int = 1) -> None:
        """Answer as the service does when it is called too often; `code` names another of its throttle codes."""

        def refuse(call: Call, _forward: Forward) -> Reply:
            usual, message = _THROTTLES.get(call.service, _THROTTLE)
            return wire.write_refusal(call, RefusedError(code or usual, message))

        self._add(operation, refuse, nth=nth, times=times)

    def deny(self, operation: str, *, times: int = FOREVER) -> None:
        """Answer that the caller lacks the permission, in the words of the service."""

        def refuse(call: Call, _forward: Forward) -> Reply:
            return wire.write_refusal(call, _denial(call))

        self._add(operation, refuse, nth=1, times=times)
        self._denied.append(operation)

    def is_denied(self, action: str) -> bool:
        """Whether a call is denied, by its IAM action: what a simulation of the caller's policies says."""
        operation = action.partition(":")[2]
        return any(fnmatchcase(operation, pattern.rpartition(":")[2]) for pattern in self._denied)

    def lose_answer(self, operation: str, *, nth: int = 1, times: int = 1) -> None:
        """Do what is asked and drop the connection instead of answering."""

        def forward_only(_call: Call, forward: Forward) -> None:
            forward()

        self._add(operation, forward_only, nth=nth, times=times)

    def garble(self, operation: str, *, nth: int = 1, times: int = 1) -> None:
        """Do what is asked, and answer with the error page of a proxy on the way."""
        page = Reply("502 Bad Gateway", [("Content-Type", "text/html")], b"<!doctype html><title>Bad Gateway</title>")

        def forward_and_garble(_call: Call, forward: Forward) -> Reply:
            forward()
            return page

        self._add(operation, forward_and_garble, nth=nth, times=times)

    def drop(self, operation: str, *, nth: int = 1, times: int = 1) -> None:
        """Drop the connection, nothing done."""
        self._add(operation, lambda _call, _forward: None, nth=nth, times=times)

    def delay(self, operation: str, *, seconds: float, nth: int = 1, times: int = FOREVER) -> None:
        """Answer after `seconds` of real time, other calls not held up."""

        def wait(_call: Call, forward: Forward) -> Reply:
            threading.Event().wait(seconds)
            return forward()

        self._add(operation, wait, nth=nth, times=times)

    def see_old(self, operation: str, *, nth: int = 1, times: int = 1) -> None:
        """Let the matching calls see the cloud as it is at this moment, whatever is written meanwhile.

        A read is answered from then. A write is refused when the cloud of then would refuse it (a new security group
        is not yet known), and otherwise done to the cloud of now.
        """
        then = snapshot.take(self._gate)

        def answer_from_then(call: Call, forward: Forward) -> Reply:
            with self._gate.lock:
                present = snapshot.swap_in(self._gate, then)
                try:
                    reply = forward()
                finally:
                    snapshot.swap_back(self._gate, present)
                return forward() if call.writes and reply.ok else reply

        self._add(operation, answer_from_then, nth=nth, times=times)

    def die_before(self, write: int) -> threading.Event:
        """From the `write`-th write on, counted from now, nothing is done and no call is answered, until revive().

        The event is set at the moment of death, so that the test can stop the driver it has "killed".
        """
        return self._arm(_Death(write, after=False))

    def die_after(self, write: int) -> threading.Event:
        """The same, but the `write`-th write is done and its answer lost."""
        return self._arm(_Death(write, after=True))

    def look_around_writes(self, look: Callable[[], None]) -> None:
        """Call `look` before and after each write, until reset(); the client waits meanwhile."""
        self._look = look

    def revive(self) -> None:
        """Answer again: the next process starts."""
        with self._lock:
            self._death = None

    def reset(self) -> None:
        """No faults."""
        with self._lock:
            self._faults.clear()
            self._denied.clear()
            self._death = None
            self._look = _see_nothing

    def pending(self) -> list[str]:
        """Patterns of the faults that have not acted as often as they were to; endless ones are not listed."""
        with self._lock:
            return [fault.pattern for fault in self._faults if 0 < fault.left < FOREVER // 2]

    def answer(self, call: Call, forward: Forward) -> Reply | None:
        """What the client gets; None for a dropped connection. Called by the gate, once an attempt."""
        if not self._alive(call):
            return None
        if call.writes:
            self._look()
        act = self._next(call)
        reply = act(call, forward) if act else forward()
        if call.writes:
            self._look()
        return None if self._just_died(call) else reply

    def _add(self, pattern: str, act: _Act, *, nth: int, times: int) -> None:
        with self._lock:
            self._faults.append(_Fault(pattern, act, skip=nth - 1, left=times))

    def _next(self, call: Call) -> _Act | None:
        with self._lock:
            for fault in self._faults:
                if not fault.left or not fault.matches(call):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.left -= 1
                return fault.act
        return None

    def _arm(self, death: _Death) -> threading.Event:
        with self._lock:
            self._death = death
        return death.dead

    def _alive(self, call: Call) -> bool:
        with self._lock:
            death = self._death
            if death is None:
                return True
            if death.dead.is_set():
                return False
            death.seen += call.writes
            if death.seen < death.write + death.after or not call.writes:
                return True
            death.dead.set()
            return False

    def _just_died(self, call: Call) -> bool:
        with self._lock:
            death = self._death
            if death is None or not death.after or not call.writes or death.seen < death.write:
                return False
            death.dead.set()
            return True


def _see_nothing() -> None:
    """What looks around a write when nobody does."""


def _denial(call: Call) -> RefusedError:
    user = "arn:aws:iam::123456789012:user/lbctl"
    if call.service == "ec2":
        return RefusedError("UnauthorizedOperation", "You are not authorized to perform this operation.")
    action = f"{'elasticloadbalancing' if call.service.startswith('elb') else call.service}:{call.operation}"
    message = f"User: {user} is not authorized to perform: {action} because no identity-based policy allows the action"
    return RefusedError("AccessDenied", message)


class FaultGate:
    """The WSGI application that clients talk to: faults and the call log in front of the strict gate."""

    def __init__(self, strict: StrictGate, faults: Faults, calls: CallLog) -> None:
        self._strict = strict
        self._faults = faults
        self._calls = calls

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; those under /backstage see neither faults nor log."""
        if environ.get("PATH_INFO", "").startswith(_BACKSTAGE):
            environ["PATH_INFO"] = "/"
            return self._strict(environ, start_response)
        call = wire.read_call(environ)
        if call is None:
            return self._strict(environ, start_response)
        return self._answer(call, environ, start_response)

    def _answer(self, call: Call, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        done: list[Reply] = []

        def forward() -> Reply:
            if (call.service, call.operation) == ("iam", "SimulatePrincipalPolicy"):
                done.append(policies.simulate(call, self._faults.is_denied))
            else:
                done.append(self._strict.reply(call, wire.rewound(environ)))
            return done[-1]

        reply = self._faults.answer(call, forward)
        self._calls.note(call, _outcome(reply, done))
        if reply is None:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError("the connection is dropped on purpose")
        return reply.send(start_response)


def _outcome(reply: Reply | None, done: list[Reply]) -> str:
    if reply is None:
        return "lost" if done else "dropped"
    return "ok" if reply.ok else reply.error_code
