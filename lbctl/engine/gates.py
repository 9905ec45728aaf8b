"""Readiness gates: Pods that are not ready before the cloud finds their targets healthy.

The kubelet calls such a Pod ready when its containers are and every condition that its gates name is True; a rollout
goes on only then. A gate is opened when the cloud says so, and closed again only when the Pod's own containers are not
ready: its target is taken out then, and has to prove itself anew. What befalls the cloud later, or us, never makes a
served Pod unready: that is for the balancer's checks to judge.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbctl.driver import Gate, Judgement, JudgesGates
from lbctl.engine.account import Account
from lbctl.engine.backoff import FIRST_SECONDS, Backoff
from lbctl.engine.passes import Shared, Steps
from lbctl.engine.planning import build_world
from lbctl.engine.publish import MESSAGE_LIMIT, with_stable_time
from lbctl.errors import CloudError, KubeConflict, KubeDenied, KubeError, KubeGone
from lbctl.model.objects import CONTAINERS_READY, Condition, Pod
from lbctl.plan.policy import Mode

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 30.0
CONTAINERS_FAILED = Judgement(
    healthy=False, reason="ContainersNotReady", message="The Pod's containers are not ready, so it is no target"
)


@dataclass(frozen=True, slots=True)
class News:
    """What a Pod's change asks for: a look at the gates at a time (monotonic), work on the Services that list it."""

    look_at: float | None = None
    moves_targets: bool = False


@dataclass(frozen=True, slots=True)
class _Undone:
    """A gate that has to be opened, or closed for a reason that is known without asking the cloud."""

    pod: Pod
    condition: str
    judgement: Judgement | None = None

    @property
    def gate(self) -> Gate:
        return Gate(self.pod.metadata.uid, self.condition, self.pod.addresses)


class GateKeeper:
    """The gates of one account's Pods: `see` is called for every change of a Pod, `look` by one worker at a time.

    `has_unknown` is True while a Pod waits for a target group that nobody here has, which may only not be made yet.
    """

    def __init__(self, account: Account, shared: Shared, source: random.Random) -> None:
        self.has_unknown = False
        self._account = account
        self._shared = shared
        self._backoff = Backoff(source, longest=LONGEST_PAUSE_SECONDS)
        self._asked: frozenset[Gate] = frozenset()
        self._lock = threading.Lock()

    def see(self, old: Pod | None, new: Pod | None) -> News:
        """Take note of a Pod that came, changed or went."""
        gates = self._account.gates
        if gates is None:
            return News()
        if new is not None and not _gates_of(new, gates):
            new = None
        with self._lock:
            before = self._account.pods.pop(old.metadata.uid, None) if old is not None else None
            if new is not None:
                self._account.pods[new.metadata.uid] = new
        undone = list(_undone(new, gates)) if new is not None else []
        return News(self._first_look(undone), _standing(before, gates) != _standing(new, gates))

    def look(self) -> Generator[str, None, float | None]:
        """Ask the cloud for the gates that are not open and tell the Pods; returns when to look again, if at all.

        Costs what the driver needs to judge them, nothing when all are open, and one PATCH for each that changes.
        """
        gates = self._account.gates
        if gates is None or self._account.snapshot_at is None or self._shared.policy.mode is Mode.OBSERVE:
            return None
        try:
            pause = yield from self._open_all(gates)
        except (CloudError, KubeError) as error:
            log.warning("readiness gates of account %s: %s", self._account.name, error)
            pause = max(error.after_seconds, self._backoff.failed(self._account.name))
        return self._shared.clock.monotonic() + pause if pause is not None else None

    def _open_all(self, gates: JudgesGates) -> Generator[str, None, float | None]:
        account = self._account
        found = [one for pod in list(account.pods.values()) for one in _undone(pod, gates)]
        members = list(account.services.values()) if found else []
        world = build_world(account, members, cluster=self._shared.cluster, now=self._shared.clock.now())
        known = gates.known_gates({one.condition for one in found}, world)
        self.has_unknown = any(one.condition not in known for one in found)
        undone = [one for one in found if one.condition in known]
        asked = frozenset(one.gate for one in undone if one.judgement is None)
        if asked - self._asked:
            self._backoff.reset(account.name)
        self._asked = asked
        yield from self._tell(undone, gates.judge(asked, world) if asked else {})
        left = (one for pod in list(account.pods.values()) for one in _undone(pod, gates))
        return self._backoff.failed(account.name) if any(one.condition in known for one in left) else None

    def _tell(self, undone: Iterable[_Undone], judged: Mapping[Gate, Judgement]) -> Steps:
        refused: KubeDenied | None = None
        for one in undone:
            judgement = one.judgement or judged.get(one.gate)
            wanted = self._condition(one, judgement) if judgement is not None else None
            if wanted is None or wanted == one.pod.condition(one.condition):
                continue
            yield "write readiness gate"
            self._shared.may_write()
            try:
                self._write(one.pod, wanted)
            except KubeDenied as error:  # an admission rule may refuse one Pod and let all others pass
                refused = refused or error
        if refused is not None:
            # The others go on at their own pace, so the pause that a missing right earns elsewhere does not count here.
            log.warning("readiness gates of account %s: %s", self._account.name, refused)

    def _condition(self, one: _Undone, judgement: Judgement) -> Condition:
        stored = one.pod.condition(one.condition)
        wanted = Condition(
            type=one.condition,
            status="True" if judgement.healthy else "False",
            reason=judgement.reason,
            message=judgement.message[:MESSAGE_LIMIT],
            last_transition_time=self._shared.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        return with_stable_time(stored, wanted) if stored is not None else wanted

    def _write(self, pod: Pod, condition: Condition) -> None:
        try:
            written = self._shared.pod_writer.write_pod_condition(pod, condition)
        except (KubeGone, KubeConflict) as error:
            log.debug("Pod %s is left alone: %s", pod.key, error)
            return
        log.info("Pod %s: %s is %s %s", pod.key, condition.type, condition.status, condition.reason)
        with self._lock:
            # The watch may have been faster, and with something newer.
            if self._account.pods.get(pod.metadata.uid) is pod:
                self._account.pods[pod.metadata.uid] = written

    def _first_look(self, undone: list[_Undone]) -> float | None:
        """When to look for a Pod that has just changed; no check of a cloud is quicker than the first pause."""
        if not undone:
            return None
        at_once = any(one.judgement is not None for one in undone)
        return self._shared.clock.monotonic() + (0.0 if at_once else FIRST_SECONDS)


def _gates_of(pod: Pod, gates: JudgesGates) -> tuple[str, ...]:
    """The Pod's gates that are the driver's to judge, once each."""
    return tuple(dict.fromkeys(name for name in pod.gates if name.startswith(gates.gate_prefix)))


def _undone(pod: Pod, gates: JudgesGates) -> Iterator[_Undone]:
    if pod.metadata.deletion_timestamp is not None:
        return
    serves = pod.is_true(CONTAINERS_READY)
    for name in _gates_of(pod, gates):
        is_open = pod.is_true(name)
        if serves and not is_open:
            yield _Undone(pod, name)
        elif is_open and not serves:
            yield _Undone(pod, name, CONTAINERS_FAILED)


def _standing(pod: Pod | None, gates: JudgesGates) -> object:
    """Everything about a Pod by which a driver may decide whether it is a target; what we write is no part of it."""
    if pod is None:
        return None
    conditions = {(c.type, c.status) for c in pod.status.conditions if not c.type.startswith(gates.gate_prefix)}
    return pod.metadata.uid, pod.metadata.deletion_timestamp, pod.spec, frozenset(conditions)
