"""Calls that each change costs, counted on the endpoint; `rows` is what the bench prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.azure.cluster import Cluster, cluster
from tests.world import change, service

INTERNAL = {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
NIC_POOLS = {"loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration"}
SEVERAL = {"multipleStandardLoadBalancerConfigurations": [{"name": "kubernetes"}, {"name": "second"}]}
JOINING = 3
"""Writes by which a scale set of two instances joins a pool: its model, and each instance."""


@dataclass(frozen=True)
class Mode:
    """One way to serve: what the Services say, and what azure.json does."""

    annotations: dict[str, str]
    config: dict[str, Any]

    @property
    def has_scale_set(self) -> bool:
        """True where a uniform scale set's interfaces are the members."""
        return self.config is NIC_POOLS


MODES: dict[str, Mode] = {
    "external": Mode({}, {}),
    "internal": Mode(INTERNAL, {}),
    "external-interfaces": Mode({}, NIC_POOLS),
    "internal-interfaces": Mode(INTERNAL, NIC_POOLS),
    "external-several": Mode({}, SEVERAL),
}
WRITES: dict[tuple[str, str], Callable[[int], int]] = {
    **{(mode, operation): lambda _: 0 for mode in MODES for operation in ("unchanged", "restart")},
    ("external", "create"): lambda n: n + 2,
    ("internal", "create"): lambda _: 1,
    ("external", "port-added"): lambda _: 2,
    ("internal", "port-added"): lambda _: 1,
    ("external", "node-joins"): lambda _: 1,
    ("internal", "node-joins"): lambda _: 1,
    ("external", "node-leaves"): lambda _: 1,
    ("internal", "node-leaves"): lambda _: 1,
    ("external", "source-ranges"): lambda _: 1,
    ("internal", "source-ranges"): lambda _: 1,
    ("external", "delete"): lambda n: n + 2,
    ("internal", "delete"): lambda _: 2,
    ("external-interfaces", "create"): lambda n: n + 2 + JOINING,
    ("internal-interfaces", "create"): lambda _: 1 + JOINING,
    ("external-interfaces", "port-added"): lambda _: 2,
    ("internal-interfaces", "port-added"): lambda _: 1,
    ("external-interfaces", "node-joins"): lambda _: 0,
    ("internal-interfaces", "node-joins"): lambda _: 0,
    ("external-interfaces", "node-leaves"): lambda _: 1,
    ("internal-interfaces", "node-leaves"): lambda _: 1,
    ("external-interfaces", "source-ranges"): lambda _: 1,
    ("internal-interfaces", "source-ranges"): lambda _: 1,
    ("external-interfaces", "delete"): lambda n: n + 2 + JOINING,
    ("internal-interfaces", "delete"): lambda _: 2 + JOINING,
    # One write for each of the two balancers that has a Service.
    ("external-several", "create"): lambda n: n + 1 + min(n, 2),
    # A node is in the pools of one balancer; a Service that is alone sits on the other one.
    ("external-several", "node-joins"): lambda n: min(n, 2) - 1,
    ("external-several", "node-leaves"): lambda n: min(n, 2) - 1,
    ("external-several", "port-added"): lambda n: 1 + min(n, 2),
    ("external-several", "source-ranges"): lambda _: 1,
    ("external-several", "delete"): lambda n: n + 1 + min(n, 2),
}
MOST_READS = 3
MOST_READS_OF_INTERFACES = 6


def edit_all(world: Cluster, **spec: object) -> None:
    """Change every Service at once."""
    for key in list(world.kube.services):
        live = world.kube.services[key]
        world.kube.put(change(live, spec=change(live.spec, **spec)))


def operations(world: Cluster, mode: Mode, services: int) -> dict[str, Callable[[], None]]:
    """What is done, in this order, to the same Services."""

    def create() -> None:
        for number in range(services):
            world.kube.put(service(f"s{number}", annotations=mode.annotations))

    def join() -> None:
        if mode.has_scale_set:
            world.add_machines(world.azure.scale_out("nodes"))
        else:
            world.add_nodes("n9")

    def leave() -> None:
        world.see_node(None, max(world.kube.nodes))

    def delete() -> None:
        for key in list(world.kube.services):
            world.kube.delete(key)

    return {
        "create": create,
        "unchanged": lambda: world.settle(60),
        "port-added": lambda: edit_all(world, ports=service(ports=(80, 443)).spec.ports),
        "node-joins": join,
        "node-leaves": leave,
        "source-ranges": lambda: edit_all(world, load_balancer_source_ranges=("198.51.100.0/24",)),
        "restart": world.crash,
        "delete": delete,
    }


def rows(services: int) -> Iterator[dict[str, Any]]:
    """Reads and writes of each operation; polls of operations under way are counted apart and left out."""
    for name, mode in MODES.items():
        with cluster(config=dict(mode.config)) as world:
            if mode.has_scale_set:
                world.add_machines(world.azure.uniform_set(count=2))
            else:
                world.add_nodes("n1", "n2")
            for operation, act in operations(world, mode, services).items():
                world.server.journal.clear()
                act()
                world.settle(90)
                counts = world.server.journal.counts()
                yield {
                    "driver": "azure",
                    "mode": name,
                    "operation": operation,
                    "services": services,
                    "reads": counts.reads,
                    "writes": counts.writes,
                }


@pytest.mark.spec("AZ-019", "AZ-020", "AZ-021", "AZ-022")
@pytest.mark.parametrize("services", [1, 20])
def test_every_operation_keeps_its_budget(services: int) -> None:
    """Writes grow with the public addresses alone; a restart reads three documents."""
    for row in rows(services):
        mode, operation = row["mode"], row["operation"]
        wanted = WRITES[mode, operation](services)
        # A balancer may be asked to go before the last of its machines is out, and is then asked again.
        spare = 1 if mode.endswith("interfaces") and operation == "delete" else 0
        assert wanted <= row["writes"] <= wanted + spare, row
        if operation in ("unchanged", "restart"):
            assert row["reads"] <= (MOST_READS_OF_INTERFACES if mode.endswith("interfaces") else MOST_READS), row
