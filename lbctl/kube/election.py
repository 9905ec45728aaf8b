"""Leader election over a Lease: the requests and the loop around the rules of `lease`.

One thread runs it. It opens the fence with each renewal; whoever writes asks the fence. It must not know what leaders
do: when the Lease is lost it returns, and the process is expected to end.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from lbctl.errors import KubeConflict, KubeError, KubeGone, LostLease
from lbctl.kube.answers import decoding
from lbctl.kube.damping import Reference
from lbctl.kube.lease import Lease, LeaseState, LeaseTimes, Move
from lbctl.kube.target import LEASES
from lbctl.model.status import Notice, Severity

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from lbctl.clock import Clock
    from lbctl.kube.fence import LeaseFence
    from lbctl.kube.rest import Rest

log = logging.getLogger(__name__)

DEFAULT_NAME = "lbctl"
DEFAULT_NAMESPACE = "kube-system"

_LEASE = msgspec.json.Decoder(Lease)


class Election:
    """One candidate.

    `leading` is set while this process is the leader. `holder` names who leads as far as this candidate knows. `emit`
    takes the Events on the Lease that tell of both ends of a leadership, in the words of client-go.
    """

    def __init__(
        self,
        *,
        rest: Rest,
        clock: Clock,
        rng: random.Random,
        fence: LeaseFence,
        identity: str,
        name: str = DEFAULT_NAME,
        namespace: str = DEFAULT_NAMESPACE,
        times: LeaseTimes | None = None,
        emit: Callable[[Reference, Notice], None] = lambda _lease, _notice: None,
    ) -> None:
        self.leading = threading.Event()
        self._rest = rest
        self._clock = clock
        self._rng = rng
        self._fence = fence
        self._target = LEASES.one(name, namespace=namespace)
        self._times = times or LeaseTimes()
        self._state = LeaseState(identity, self._times)
        self._renewed_at = float("-inf")
        self._waits_for = ""
        self._emit = emit

    @property
    def holder(self) -> str:
        """Identity of the last seen holder, empty for none."""
        return self._state.holder

    def run(self, stop: threading.Event) -> None:
        """Stand for election and lead until `stop` is set, then give the Lease back.

        Raises LostLease when this process led and the Lease could not be renewed in time, or is somebody else's.
        """
        pause = 0.0
        while not self._clock.wait(pause, stop):
            pause = self.step()
        self.release()

    def step(self) -> float:
        """One try; returns the seconds until the next. Raises LostLease like `run`."""
        try:
            self._try()
        except KubeError as error:
            log.warning("%s", error)
        if self.leading.is_set():
            self._check_deadline()
            return self._times.retry_period
        self._say_who_leads()
        # Candidates that poll in step would collide at every release.
        return self._times.retry_period * (1.0 + self._times.jitter * self._rng.random())

    def release(self) -> None:
        """Give the Lease back, so that the next leader need not wait; a failure only makes it wait."""
        self._fence.close()
        if not self.leading.is_set():
            return
        self.leading.clear()
        self._tell("stopped leading")
        try:
            self._write(self._state.build_release(self._clock.now()))
        except KubeError as error:
            log.warning("%s", error)

    def _try(self) -> None:
        """Renew from what we remember, as client-go does; read first when we do not lead, or when that is refused."""
        if not self.leading.is_set():
            self._read()
        try:
            self._move()
        except (KubeConflict, KubeGone):
            self._read()
            if self.leading.is_set() and self._state.holder in {"", self._state.identity}:
                self._move()

    def _move(self) -> None:
        started = self._clock.monotonic()
        if self._state.decide(started) is Move.WAIT:
            return
        self._write(self._state.build_record(self._clock.now()))
        self._renewed_at = started
        # Counted from before the request: the server may have written it as early as that.
        self._fence.open_until(started + self._times.renew_deadline)
        if not self.leading.is_set():
            log.info("became the leader as %s", self._state.identity)
            self._waits_for = ""
            self.leading.set()
            self._tell("became leader")

    def _check_deadline(self) -> None:
        if self._state.is_ours and self._clock.monotonic() < self._renewed_at + self._times.renew_deadline:
            return
        self._fence.close()
        self.leading.clear()
        self._tell("stopped leading")
        raise LostLease(
            f"cannot renew {self._target}: it was not written for {self._times.renew_deadline:g} s, "
            f"its holder is {self._state.holder or 'nobody'}",
            hint="This process ends; another one goes on",
        )

    def _say_who_leads(self) -> None:
        """One line when we begin to wait, and one whenever the leader changes."""
        holder = self._state.holder
        if holder and not self._state.is_ours and holder != self._waits_for:
            log.info("%s leads; this process waits as %s for %s", holder, self._state.identity, self._target)
            self._waits_for = holder

    def _read(self) -> None:
        try:
            lease = self._decode("get", self._rest.send("get", self._target, read_seconds=self._patience))
        except KubeGone:
            lease = None
        self._state.observe(self._clock.monotonic(), lease)

    def _write(self, record: dict[str, Any]) -> None:
        seen = self._state.metadata
        metadata = seen or {"name": self._target.name, "namespace": self._target.namespace}
        body = {"apiVersion": LEASES.group_version, "kind": "Lease", "metadata": metadata, "spec": record}
        verb, target = ("update", self._target) if seen else ("create", self._target.within(self._target.namespace))
        reply = self._rest.send(verb, target, body=body, read_seconds=self._patience)
        self._state.observe(self._clock.monotonic(), self._decode(verb, reply))

    def _decode(self, verb: str, reply: bytes) -> Lease:
        with decoding(verb, self._target):
            return _LEASE.decode(reply)

    def _tell(self, what: str) -> None:
        uid = str(self._state.metadata.get("uid", ""))
        lease = Reference(LEASES.group_version, "Lease", self._target.namespace, self._target.name, uid)
        self._emit(lease, Notice(Severity.NORMAL, "LeaderElection", f"{self._state.identity} {what}"))

    @property
    def _patience(self) -> float:
        """A request may not use up the time in which a second one could still save the Lease."""
        return self._times.renew_deadline / 2.0
