"""Calls of each operation of the AWS driver, counted on the counterpart; `tests.bench.calls` prints them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moto_fixtures.server import CREDENTIALS, REGION, AwsServer
from moto_fixtures.world import AwsWorld
from tests.aws.cluster import CLASSIC, EXTERNAL, NLB, PODS, Cluster, service
from tests.world import change

FIRST_NODE_PORT = 30000
MODES = {"clb": CLASSIC, "nlb-legacy": NLB, "nlb-instance": EXTERNAL, "nlb-ip": PODS}


def services(
    cluster: Cluster, number: int, annotations: dict[str, str], *, ports: tuple[int, ...], **spec: Any
) -> None:
    """Create or change this many Services at once."""
    for index in range(number):
        node_ports = {port: FIRST_NODE_PORT + 3 * index + place for place, port in enumerate(ports)}
        wanted = service(f"s{index}", ports=ports, annotations=annotations, node_ports=node_ports, **spec)
        live = cluster.kube.services.get(wanted.key)
        cluster.kube.put(wanted if live is None else change(live, spec=wanted.spec))


def operations(cluster: Cluster, number: int, annotations: dict[str, str]) -> Iterator[tuple[str, Callable[[], None]]]:
    """The life of the Services, step by step."""
    node = next(iter(cluster.kube.nodes.values()))
    ranges = ("10.0.0.0/8",)

    def resync() -> None:
        for scope in cluster.account.all_scopes():
            cluster.controller.resync(cluster.account, scope)

    def delete() -> None:
        for key in list(cluster.kube.services):
            cluster.kube.delete(key)

    yield "create", lambda: services(cluster, number, annotations, ports=(80, 443))
    yield "unchanged", resync
    yield "port-added", lambda: services(cluster, number, annotations, ports=(80, 443, 8080))
    yield "node-leaves", lambda: cluster.see_node(None, node.metadata.name)
    yield "node-joins", lambda: cluster.see_node(node)
    yield (
        "source-ranges",
        lambda: services(cluster, number, annotations, ports=(80, 443, 8080), load_balancer_source_ranges=ranges),
    )
    yield "restart", cluster.crash
    yield "delete", delete


def rows(aws: AwsWorld, number: int) -> Iterator[dict[str, Any]]:
    """The measured rows of every mode."""
    for mode, marks in MODES.items():
        cluster = Cluster.begin(aws)
        aws.quotas.update({"network-load-balancers": 1000, "classic-load-balancers": 1000})
        for operation, act in operations(cluster, number, marks):
            aws.calls.clear()
            act()
            cluster.settle(60)
            done = [call for call in aws.calls if call.outcome == "ok"]
            writes = sum(call.writes for call in done)
            yield {
                "driver": "aws",
                "mode": mode,
                "operation": operation,
                "services": number,
                "reads": len(done) - writes,
                "writes": writes,
            }


def measure(numbers: Iterable[int]) -> list[dict[str, Any]]:
    """All rows for each number of Services, on a server of their own."""
    os.environ.update({name.upper(): value for name, value in CREDENTIALS.items()})
    os.environ.update(AWS_REGION=REGION, AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE="/dev/null")
    server = AwsServer()
    server.start()
    found = [row for number in numbers for row in rows(AwsWorld(server), number)]
    server.stop()
    return found
