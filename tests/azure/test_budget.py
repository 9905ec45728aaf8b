"""Calls that each change costs, counted on the endpoint; `rows` is what the bench prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.azure.cluster import Cluster, cluster
from tests.world import change, service

INTERNAL = {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
MODES: dict[str, dict[str, str]] = {"external": {}, "internal": INTERNAL}
WRITES = {
    ("external", "create"): lambda n: n + 2,
    ("internal", "create"): lambda _: 1,
    ("external", "unchanged"): lambda _: 0,
    ("internal", "unchanged"): lambda _: 0,
    ("external", "restart"): lambda _: 0,
    ("internal", "restart"): lambda _: 0,
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
}
MOST_READS = 3


def edit_all(world: Cluster, **spec: object) -> None:
    """Change every Service at once."""
    for key in list(world.kube.services):
        live = world.kube.services[key]
        world.kube.put(change(live, spec=change(live.spec, **spec)))


def operations(world: Cluster, given: dict[str, str], services: int) -> dict[str, Callable[[], None]]:
    """What is done, in this order, to the same Services."""

    def create() -> None:
        for number in range(services):
            world.kube.put(service(f"s{number}", annotations=given))

    def delete() -> None:
        for key in list(world.kube.services):
            world.kube.delete(key)

    return {
        "create": create,
        "unchanged": lambda: world.settle(60),
        "port-added": lambda: edit_all(world, ports=service(ports=(80, 443)).spec.ports),
        "node-joins": lambda: world.add_nodes("n9"),
        "node-leaves": lambda: world.see_node(None, "n9"),
        "source-ranges": lambda: edit_all(world, load_balancer_source_ranges=("198.51.100.0/24",)),
        "restart": world.crash,
        "delete": delete,
    }


def rows(services: int) -> Iterator[dict[str, Any]]:
    """Reads and writes of each operation; polls of operations under way are counted apart and left out."""
    for mode, given in MODES.items():
        with cluster() as world:
            world.add_nodes("n1", "n2")
            for operation, act in operations(world, given, services).items():
                world.server.journal.clear()
                act()
                world.settle(90)
                counts = world.server.journal.counts()
                yield {
                    "driver": "azure",
                    "mode": mode,
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
        wanted = WRITES[row["mode"], row["operation"]](services)
        assert row["writes"] == wanted, row
        if row["operation"] in ("unchanged", "restart"):
            assert row["reads"] <= MOST_READS, row
