"""Calls that each operation takes, counted on the server without polls: the rows that the bench prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.server import CloudStackServer
from tests.clouds.cloudstack.topology import add_machine, add_network, add_pool, add_shared, add_tier
from tests.cloudstack.stage import Stage
from tests.world import change, node, service

MODES = {"isolated": add_network, "vpc": add_tier, "shared": add_shared}
JOB_SECONDS = 0.1
LONG = 120.0


def rows(services: int) -> Iterator[dict[str, Any]]:
    """One row a mode and operation, with Services of two ports."""
    for mode, make in MODES.items():
        cloud = Cloud()
        cloud.jobs.seconds = JOB_SECONDS
        add_pool(cloud, services + 20)
        with CloudStackServer(cloud) as server:
            stage = Stage(server, make(cloud))
            for operation, act in operations(stage, services).items():
                cloud.faults.clear()
                act()
                stage.settle(LONG)
                counts = {"reads": cloud.faults.reads, "writes": cloud.faults.writes}
                yield {"driver": "cloudstack", "mode": mode, "operation": operation, "services": services, **counts}
            stage.driver.close()


def operations(stage: Stage, services: int) -> dict[str, Callable[[], None]]:
    """What is done, in this order, to the same Services."""
    return {
        "create": partial(create, stage, services),
        "unchanged": partial(touch, stage),
        "port-added": partial(edit, stage, ports=service(ports=(80, 443, 8443)).spec.ports),
        "node-joins": partial(join, stage),
        "node-leaves": partial(stage.see_node, None, "n3"),
        "source-ranges": partial(edit, stage, load_balancer_source_ranges=("10.0.0.0/8",)),
        "restart": stage.crash,
        "delete": partial(delete, stage),
    }


def create(stage: Stage, services: int) -> None:
    """Make all Services."""
    for number in range(services):
        stage.kube.put(service(f"s{number}", ports=(80, 443)))


def edit(stage: Stage, **spec: Any) -> None:
    """Change every Service's spec."""
    for live in list(stage.kube.services.values()):
        stage.kube.put(change(live, spec=change(live.spec, **spec)))


def touch(stage: Stage) -> None:
    """Change something of every Service that no balancer depends on."""
    for live in list(stage.kube.services.values()):
        stage.kube.put(change(live, metadata=change(live.metadata, labels={"touched": "1"})))


def join(stage: Stage) -> None:
    """A third node comes."""
    add_machine(stage.cloud, "n3", stage.network)
    stage.see_node(node("n3"))


def delete(stage: Stage) -> None:
    """Delete every Service."""
    for key in list(stage.kube.services):
        stage.kube.delete(key)
