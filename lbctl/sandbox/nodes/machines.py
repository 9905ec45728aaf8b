"""The simulated nodes: an address, a proxy and a Node object each.

`Cluster` tells them what to serve; people and tests let them join, leave, change their address or become unready.
Cordons and taints are not kept here: the API holds them, and who needs them reads them there.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbctl.errors import KubeError, LbctlError
from lbctl.sandbox.nodes import manifests
from lbctl.sandbox.nodes.addresses import NODE_CIDR, POD_CIDR, AddressPool
from lbctl.sandbox.nodes.choose import Mode
from lbctl.sandbox.nodes.proxy import NodeProxy
from lbctl.sandbox.nodes.rules import NO_RULES, rules_on

if TYPE_CHECKING:
    import datetime as dt
    import random
    from collections.abc import Iterator, Mapping

    from lbctl.clock import Clock
    from lbctl.model.objects import EndpointSlice, Node, Service
    from lbctl.sandbox.nodes.api import Api

log = logging.getLogger(__name__)


class NoSuchNode(LbctlError):
    """No simulated node has this name."""

    reason = "NoSuchNode"


@dataclass(frozen=True, slots=True)
class Options:
    """How the fleet behaves; `heartbeat_seconds` None means that nodes never renew their status."""

    mode: Mode = Mode.ROUND_ROBIN
    node_cidr: str = NODE_CIDR
    pod_cidr: str = POD_CIDR
    heartbeat_seconds: float | None = None


@dataclass(slots=True)
class Machine:
    """One simulated node: its place, its proxy and what its kubelet says, `since` when."""

    name: str
    zone: str
    proxy: NodeProxy
    since: dt.datetime
    ready: bool = True
    uid: str = ""

    @property
    def address(self) -> str:
        """The InternalIP."""
        return self.proxy.address

    @property
    def path(self) -> str:
        """Path of the Node in the API."""
        return node_path(self.name)


class Machines:
    """All simulated nodes by name."""

    def __init__(self, api: Api, *, options: Options, clock: Clock, rng: random.Random) -> None:
        self._api = api
        self._mode = options.mode
        self._clock = clock
        self._rng = rng
        self._addresses = AddressPool(options.node_cidr)
        self._machines: dict[str, Machine] = {}

    def __iter__(self) -> Iterator[Machine]:
        return iter(tuple(self._machines.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._machines

    def get(self, name: str) -> Machine:
        """The node by name; `NoSuchNode` when there is none."""
        if name not in self._machines:
            raise NoSuchNode(f"no simulated node {name}", hint=f"there are: {', '.join(self._machines) or 'none'}")
        return self._machines[name]

    async def join(self, name: str, *, zone: str, labels: Mapping[str, str]) -> Machine:
        """A new node with an address of its own, registered in the API in one to three writes."""
        now = self._clock.now()
        machine = Machine(name, zone, await self._new_proxy(), since=now)
        self._machines[name] = machine
        manifest = manifests.node_manifest(name, address=machine.address, zone=zone, labels=labels, now=now)
        machine.uid = (await self._api.put_in_place(manifest))["metadata"]["uid"]
        return machine

    async def leave(self, name: str) -> None:
        """Take a node away at once, with its Node object."""
        machine = self.get(name)
        await self.switch_off(name)
        await self._api.remove(machine.path)

    async def switch_off(self, name: str) -> None:
        """Close every socket of a node; fine when it is off already."""
        machine = self._machines.pop(name, None)
        if machine is not None:
            await machine.proxy.stop()
            self._addresses.give_back(machine.address)

    async def deleted(self, node: Node) -> bool:
        """True when a node was switched off because its object is gone; one that joined anew under its name stays."""
        machine = self._machines.get(node.key)
        if machine is None or machine.uid != node.metadata.uid:
            return False
        await self.switch_off(machine.name)
        return True

    async def change_address(self, name: str, served: Mapping[str, tuple[Service, tuple[EndpointSlice, ...]]]) -> str:
        """The node's new address; the old one stops answering once the new one serves all of `served`."""
        machine = self.get(name)
        former = machine.proxy
        coming = await self._new_proxy()
        coming.eligible = former.eligible
        for key, (service, slices) in served.items():
            await coming.apply(key, rules_on(name, service=service, slices=slices))
        machine.proxy = coming
        await self.report(machine)
        await former.stop()
        self._addresses.give_back(former.address)
        return machine.address

    async def set_ready(self, name: str, *, ready: bool) -> None:
        """Let the node's kubelet report Ready or not; a node that is not ready goes on forwarding."""
        machine = self.get(name)
        if machine.ready != ready:
            machine.ready, machine.since = ready, self._clock.now()
        await self.report(machine)

    async def apply(self, key: str, *, service: Service | None, slices: tuple[EndpointSlice, ...]) -> bool:
        """Let every node serve a Service, or none when it is gone; False when one could not bind a port."""
        served = True
        for machine in self:
            rules = rules_on(machine.name, service=service, slices=slices) if service else NO_RULES
            served = await machine.proxy.apply(key, rules) and served
        return served

    async def heartbeat(self) -> None:
        """Renew the status of every node, one write each."""
        for machine in self:
            try:
                await self.report(machine)
            except KubeError as error:
                log.warning("heartbeat of node %s is lost: %s", machine.name, error)

    async def report(self, machine: Machine) -> None:
        """Write the status of a node."""
        status = manifests.node_status(
            machine.name,
            address=machine.address,
            condition=manifests.node_condition(ready=machine.ready, since=machine.since, now=self._clock.now()),
        )
        await self._api.patch_status(machine.path, status)

    async def expire(self) -> None:
        """Forget idle UDP flows and affinities that have run out."""
        for machine in self:
            machine.proxy.expire()

    async def stop(self) -> None:
        """Close every socket; the Node objects stay."""
        for machine in self:
            await self.switch_off(machine.name)

    async def _new_proxy(self) -> NodeProxy:
        while True:
            address = self._addresses.take()
            proxy = NodeProxy(address, mode=self._mode, clock=self._clock, rng=self._rng)
            try:
                await proxy.start()
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                log.info("node address %s is used by another sandbox; taking the next one", address)
            else:
                return proxy


def node_path(name: str) -> str:
    """Path of a Node in the API."""
    return f"/api/v1/nodes/{name}"
