"""One action -> one write: a reservation, a change of the discovery files, or a start of Envoy.

Every write may be repeated. Writes to the discovery files come back as `Pending` until Envoy has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from lbctl.clock import Clock
from lbctl.driver import Pending, Refs
from lbctl.errors import CloudBug, Conflict, NotReady
from lbctl.model.resource import Identity, Key, Outputs, Seen
from lbctl.plan.actions import Action, Step, Verb
from lbctl_local import plan
from lbctl_local.dataplane import Change, DataPlane
from lbctl_local.interface import add_address, remove_address
from lbctl_local.observe import seen_address
from lbctl_local.process import EnvoyProcess
from lbctl_local.render import Json, render_cluster, render_listener
from lbctl_local.spec import listener_of, pool_of
from lbctl_local.state import Reservation, StateDir

START_OPERATION = "envoy/start"
POLL_SECONDS = 0.05
START_POLL_SECONDS = 0.2
RELEASED = "released by "


@dataclass(frozen=True, slots=True)
class Writer:
    """Everything that can be written for one cluster."""

    cluster: str
    interface: str
    drain_seconds: int
    clock: Clock
    state: StateDir
    data_plane: DataPlane
    process: EnvoyProcess
    watch: Callable[[], None]

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """Run one action; `NotReady` while Envoy is being started, which the first write of a listener or pool does."""
        return CALLS[action.call](self, action, refs)

    def restart(self, _action: Action, _refs: Refs) -> Pending:
        """End the Envoy that runs with another bootstrap or version; `poll` starts the new one."""
        running = self.process.running()
        if running is not None and running.bootstrap != self.process.bootstrap_digest:
            self.process.terminate()
        return Pending(START_OPERATION, POLL_SECONDS)

    def reserve(self, action: Action, _refs: Refs) -> Outputs:
        """Reserve an address and put it on the interface; `Conflict` when another Service was faster."""
        (step,) = action.steps
        wanted = self._reservation(step)
        self.state.create()
        holder = self.state.reserve(wanted)
        if (holder.cluster, holder.uid) != (self.cluster, wanted.uid):
            raise Conflict(f"address {wanted.address} was taken by {holder.namespace}/{holder.name} meanwhile")
        if holder != wanted:
            self.state.amend(wanted)
        if self.interface:
            add_address(self.interface, wanted.address)
        return Outputs((seen_address(wanted, interface=self.interface),))

    def retire(self, action: Action, _refs: Refs) -> Outputs:
        """Note when the address may leave the interface: connections of the removed listeners drain until then."""
        (step,) = action.steps
        leaves_at = self.clock.now() + timedelta(seconds=self.drain_seconds)
        reservation = self._reservation(step, leaves_at=leaves_at.isoformat())
        self.state.amend(reservation)
        return Outputs((seen_address(reservation, interface=self.interface),))

    def free(self, action: Action, _refs: Refs) -> Outputs:
        """Take an address off the interface and give it back."""
        (step,) = action.steps
        if step.seen is not None and step.seen.resource.fields["interface"]:
            remove_address(str(step.seen.resource.fields["interface"]), step.key.id)
        self.state.free(step.key.id)
        return Outputs(gone=(step.key,))

    def put(self, action: Action, _refs: Refs) -> Outputs | Pending:
        """Write the pools and listeners of the action's steps."""
        patches: dict[str, dict[str, Json | None]] = {"pool": {}, "listener": {}}
        for step in action.steps:
            patches[step.key.kind][step.name] = None if step.verb is Verb.DELETE else self._render(step)
        change = Change(patches["pool"], patches["listener"])
        if self.process.is_alive():
            return self._submit(change, _confirmed(action.steps))
        if all(step.verb is Verb.DELETE for step in action.steps):
            self.data_plane.write_unread(change)
            return _confirmed(action.steps)
        self.state.create()
        self.process.start()
        self.watch()
        raise NotReady("Envoy is being started", after_seconds=START_POLL_SECONDS)

    def release(self, action: Action, _refs: Refs) -> Outputs | Pending:
        """Take our marks off; what was ours then counts as somebody else's and is never touched again."""
        clusters = self.state.read_entries(self.state.clusters).by_name
        listeners = self.state.read_entries(self.state.listeners).by_name
        names: dict[str, list[str]] = {step.key.kind: [] for step in action.steps}
        for step in action.steps:
            names[step.key.kind].append(step.key.id if step.key.kind == "address" else step.name)
        for address in names.get("address", ()):
            self._release_address(address)
        outputs = Outputs(gone=tuple(step.key for step in action.steps))
        change = Change(
            {name: self._unmarked(clusters[name]) for name in names.get("pool", ()) if name in clusters},
            {name: self._unmarked(listeners[name]) for name in names.get("listener", ()) if name in listeners},
        )
        return self._submit(change, outputs) if change.names else outputs

    def _submit(self, change: Change, outputs: Outputs) -> Pending:
        return Pending(self.data_plane.submit(change), POLL_SECONDS, payload=outputs)

    def _render(self, step: Step) -> Json:
        if step.desired is None:
            raise CloudBug(f"{step.key} has nothing to write")
        marks = self._marks(_owner(step), step.name.partition("/")[0])
        if step.key.kind == "pool":
            return render_cluster(step.name, pool_of(step.desired.fields), marks=marks)
        return render_listener(step.name, listener_of(step.desired.fields), marks=marks)

    def _marks(self, owner: Identity, balancer: str) -> dict[str, str]:
        return {
            "cluster": self.cluster,
            "balancer": balancer,
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
        }

    def _reservation(self, step: Step, *, leaves_at: str = "") -> Reservation:
        marks = self._marks(_owner(step), step.name)
        return Reservation(address=step.key.id, leaves_at=leaves_at, **marks)

    def _release_address(self, address: str) -> None:
        reservation = self.state.reservation(address)
        if reservation is not None and reservation.cluster == self.cluster:
            self.state.amend(msgspec.structs.replace(reservation, cluster=RELEASED + self.cluster))

    def _unmarked(self, entry: Json) -> Json:
        metadata = entry["metadata"]["filter_metadata"]
        marks = {mark: {**value, "cluster": RELEASED + self.cluster} for mark, value in metadata.items()}
        return {**entry, "metadata": {"filter_metadata": marks}}


Call = Callable[[Writer, Action, Refs], Outputs | Pending]
CALLS: Mapping[str, Call] = {
    plan.RESTART: Writer.restart,
    plan.RESERVE: Writer.reserve,
    plan.RETIRE: Writer.retire,
    plan.FREE: Writer.free,
    plan.PUT: Writer.put,
    plan.DROP: Writer.put,
    plan.RELEASE: Writer.release,
}


def _confirmed(steps: Iterable[Step]) -> Outputs:
    seen: list[Seen] = []
    gone: list[Key] = []
    for step in steps:
        if step.desired is None:
            gone.append(step.key)
        else:
            seen.append(Seen(step.desired))
    return Outputs(tuple(seen), tuple(gone))


def _owner(step: Step) -> Identity:
    (owner,) = step.owners
    return owner
