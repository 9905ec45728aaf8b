"""Events on Services and other objects: queued by whoever has news, sent by one thread.

Sending never fails for the caller and never holds it up: the queue is bounded and drops, and what the cluster refuses
(a namespace that is being deleted, a missing right) is counted and forgotten. What is worth a write is `damping`'s
decision. The source is the upstream controller's, since people and dashboards look for it.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import logging
import threading
from typing import TYPE_CHECKING, Any

from lbctl.errors import KubeDenied, KubeError, KubeGone, KubeThrottled, KubeUnreachable
from lbctl.kube.damping import Damping, Reference, Write
from lbctl.kube.rest import STRATEGIC_PATCH
from lbctl.kube.target import EVENTS
from lbctl.model.objects import Service
from lbctl.model.status import Notice

if TYPE_CHECKING:
    from lbctl.clock import Clock
    from lbctl.kube.rest import Rest

log = logging.getLogger(__name__)

SOURCE = "service-controller"
LONGEST_QUEUE = 1000
LONGEST_MESSAGE = 1024
RETRY_SECONDS = 10.0
MOST_TRIES = 12
_CLUSTER_SCOPED_NAMESPACE = "default"


@dataclasses.dataclass(slots=True)
class RecorderStats:
    """Counters of one recorder: Event objects made, counts raised, news refused by the cluster, news lost."""

    created: int = 0
    raised: int = 0
    refused: int = 0
    dropped: int = 0


@dataclasses.dataclass(slots=True)
class _Delivery:
    reference: Reference
    event: Notice
    write: Write
    tries: int = 0


def reference_to(service: Service) -> Reference:
    """The Service as an event names it."""
    meta = service.metadata
    return Reference("v1", "Service", meta.namespace, meta.name, meta.uid)


class Recorder:
    """A queue of events and its one sender."""

    def __init__(self, rest: Rest, clock: Clock) -> None:
        self.stats = RecorderStats()
        self._rest = rest
        self._clock = clock
        self._damping = Damping()
        self._news: collections.deque[tuple[Reference, Notice]] = collections.deque()
        self._unsent: collections.deque[_Delivery] = collections.deque()
        self._wakeup = threading.Event()

    def emit(self, about: Service | Reference, notice: Notice) -> None:
        """Queue an event; returns at once, from any thread. A full queue drops it."""
        if len(self._news) >= LONGEST_QUEUE:
            self.stats.dropped += 1
            return
        self._news.append((reference_to(about) if isinstance(about, Service) else about, notice))
        self._wakeup.set()

    def run(self, stop: threading.Event) -> None:
        """Send what is queued until `stop` is set, and once more then."""
        while not stop.is_set():
            self._clock.wait(RETRY_SECONDS, self._wakeup)
            self._wakeup.clear()
            self.drain(self._clock.monotonic())
        self.drain(self._clock.monotonic())

    def wake(self) -> None:
        """Make `run` look at its stop event."""
        self._wakeup.set()

    def drain(self, now: float) -> None:
        """Send everything that is worth a write; ends early, for a later try, when the server cannot be reached."""
        while self._unsent or self._news:
            delivery = self._unsent.popleft() if self._unsent else self._next(now)
            if delivery is not None and not self._deliver(delivery):
                return

    def _next(self, now: float) -> _Delivery | None:
        reference, event = self._news.popleft()
        event = dataclasses.replace(event, message=event.message[:LONGEST_MESSAGE])
        write = self._damping.decide(now, reference, event)
        return _Delivery(reference, event, write) if write else None

    def _deliver(self, delivery: _Delivery) -> bool:
        """Whether to go on with the next."""
        try:
            self._send(delivery)
        except (KubeUnreachable, KubeThrottled):
            return self._put_back(delivery)
        except (KubeDenied, KubeGone):
            self.stats.refused += 1
        except KubeError as error:
            self.stats.refused += 1
            log.warning("%s", error)
        return True

    def _put_back(self, delivery: _Delivery) -> bool:
        delivery.tries += 1
        if delivery.tries >= MOST_TRIES:
            self.stats.dropped += 1
            return True
        self._unsent.appendleft(delivery)
        return False

    def _send(self, delivery: _Delivery) -> None:
        if delivery.write.name:
            try:
                self._raise_count(delivery)
            except KubeGone:
                pass  # events live for an hour: this one is told again
            else:
                return
        self._create(delivery)

    def _raise_count(self, delivery: _Delivery) -> None:
        self._rest.send(
            "patch",
            EVENTS.one(delivery.write.name, namespace=_namespace(delivery.reference)),
            body={"count": delivery.write.count, "lastTimestamp": self._timestamp()},
            content_type=STRATEGIC_PATCH,
        )
        self.stats.raised += 1

    def _create(self, delivery: _Delivery) -> None:
        body = build_event(delivery.reference, delivery.event, count=delivery.write.count, at=self._timestamp())
        self._rest.send("create", EVENTS.within(_namespace(delivery.reference)), body=body)
        self._damping.written(delivery.reference, delivery.event, body["metadata"]["name"])
        self.stats.created += 1

    def _timestamp(self) -> str:
        return self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def build_event(reference: Reference, event: Notice, *, count: int, at: str) -> dict[str, Any]:
    """The Event object; its name is unique to the object, the news and the second `at` which it is told."""
    identity = f"{reference.uid}\n{event.severity.value}\n{event.reason}\n{event.message}\n{at}"
    suffix = hashlib.sha256(identity.encode()).hexdigest()[:16]
    namespace = _namespace(reference)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{reference.name[:200]}.{suffix}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": reference.api_version,
            "kind": reference.kind,
            "namespace": reference.namespace,
            "name": reference.name,
            "uid": reference.uid,
        },
        "type": event.severity.value,
        "reason": event.reason,
        "message": event.message,
        "count": count,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": SOURCE},
        "reportingComponent": SOURCE,
    }


def _namespace(reference: Reference) -> str:
    return reference.namespace or _CLUSTER_SCOPED_NAMESPACE
