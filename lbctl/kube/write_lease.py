"""A Lease that every writer of a cloud's shared objects takes first, where the cluster has it.

On AKS the provider's own machinery and the cloud controller change the same balancers, and take turns by such a Lease
(cloud-provider-azure, pkg/provider, AzureResourceLocker). It is held from the first write to the end of the last
operation. Many threads write; the Lease is one, so here they are counted.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from lbctl.errors import KubeConflict, KubeError, KubeGone, NotReady
from lbctl.kube.answers import decoding
from lbctl.kube.lease import Lease, micro_time
from lbctl.kube.target import LEASES

if TYPE_CHECKING:
    from collections.abc import Hashable

    from lbctl.clock import Clock
    from lbctl.kube.rest import Rest

log = logging.getLogger(__name__)

HOLDER = "lbctl"
"""One name for all our processes: only the leader writes, and what a dead one held goes on with the next."""
DURATION_SECONDS = 900
RENEW_AFTER_SECONDS = 300.0
RETRY_SECONDS = 15.0

_LEASE = msgspec.json.Decoder(Lease)


class NoWriteLease:
    """The turn of clouds whose objects nobody else writes."""

    def enter(self, user: Hashable) -> None:
        """Let everybody write."""

    def leave(self, user: Hashable) -> None:
        """Nothing was taken."""


class WriteLease:
    """The Lease `namespace/name`, held while it has users; safe to call from any thread."""

    def __init__(self, name: str, *, rest: Rest, clock: Clock) -> None:
        namespace, _, short = name.partition("/")
        self._target = LEASES.one(short, namespace=namespace)
        self._rest = rest
        self._clock = clock
        self._lock = threading.Lock()
        self._users: set[Hashable] = set()
        self._held: Lease | None = None
        self._taken_at = float("-inf")
        self._refusal = ""
        self._refused_at = float("-inf")

    def enter(self, user: Hashable) -> None:
        """Hold the Lease for this user too; a GET and a PUT for the first one and every five minutes, else no call.

        Without such a Lease there is nobody to take turns with. Raises `NotReady` while another holds it, which is
        believed for 15 s without asking again, and `KubeError` when it cannot be read or written.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._refusal and now < self._refused_at + RETRY_SECONDS:
                raise NotReady(self._refusal, after_seconds=RETRY_SECONDS)
            if not self._users or now > self._taken_at + RENEW_AFTER_SECONDS:
                self._take(now)
            self._users.add(user)

    def leave(self, user: Hashable) -> None:
        """This user writes no more; after the last one the others may, for a PUT.

        A failure only makes them wait until the Lease runs out.
        """
        with self._lock:
            if user not in self._users:
                return
            self._users.remove(user)
            if not self._users:
                self._give_back()

    def _take(self, now: float) -> None:
        try:
            self._held = self._acquire()
        except NotReady as refusal:
            self._refusal, self._refused_at = refusal.message, now
            raise
        self._refusal, self._taken_at = "", now

    def _give_back(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        try:
            self._write(held, holder="")
        except (KubeConflict, KubeGone):
            pass  # somebody else's already, or away
        except KubeError as error:
            log.warning("%s", error)

    def _acquire(self) -> Lease | None:
        try:
            with decoding("get", self._target):
                lease = _LEASE.decode(self._rest.get(self._target))
            self._check_free(lease)
            return self._write(lease, holder=HOLDER)
        except KubeGone:
            return None
        except KubeConflict:
            raise self._busy("another writer") from None

    def _check_free(self, lease: Lease) -> None:
        holder = lease.spec.holder_identity or ""
        if holder in ("", HOLDER) or not lease.spec.renew_time:
            return
        renewed = dt.datetime.fromisoformat(lease.spec.renew_time)
        # By the wall clock, as the other writers do it: nobody renews this Lease often enough to be watched.
        if self._clock.now() - renewed < dt.timedelta(seconds=lease.spec.lease_duration_seconds or DURATION_SECONDS):
            raise self._busy(holder)

    def _busy(self, holder: str) -> NotReady:
        return NotReady(
            f"{holder} is changing the cloud's shared objects and holds {self._target}", after_seconds=RETRY_SECONDS
        )

    def _write(self, lease: Lease, *, holder: str) -> Lease:
        at = micro_time(self._clock.now())
        spec = msgspec.structs.replace(
            lease.spec, holder_identity=holder, lease_duration_seconds=DURATION_SECONDS, acquire_time=at, renew_time=at
        )
        body: dict[str, Any] = {
            "apiVersion": LEASES.group_version,
            "kind": "Lease",
            "metadata": lease.metadata,
            "spec": msgspec.to_builtins(spec),
        }
        with decoding("update", self._target):
            return _LEASE.decode(self._rest.send("update", self._target, body=body))
