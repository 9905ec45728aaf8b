"""How long many Azure Services take at real-life latencies and the published rate limits, as one JSON object.

Time is the endpoint's own virtual clock; only CPU seconds are this machine's. The serial figure is that of one Service
after the other, as the upstream controller works: measured on `SERIAL` Services and scaled to all.
"""

from __future__ import annotations

import json
import sys
import time

from tests.azure.cluster import Cluster, cluster
from tests.clouds.azure.cloud import Timing
from tests.clouds.azure.limits import PUBLISHED
from tests.world import service

SERVICES = 500
SERIAL = 20
GIVE_UP_SECONDS = 3600
FIRST_REFUSAL = 400
DRIFT_SECONDS = 660.0
"""Long enough for one look at the whole cloud, which comes every ten minutes, and too short for two."""
LATENCIES = {"loadBalancers": 7.0, "publicIPAddresses": 3.0, "networkSecurityGroups": 3.0}
INTERNAL = {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}


def served(world: Cluster) -> int:
    """How many Services have an address."""
    return sum(bool(s.status.load_balancer.ingress) for s in world.kube.services.values())


def until_served(world: Cluster, count: int) -> float:
    """Virtual seconds until so many Services have an address."""
    start = world.clock.monotonic()
    while served(world) < count and world.clock.monotonic() - start < GIVE_UP_SECONDS:
        world.settle(0.5)
    assert served(world) == count, f"{served(world)} of {count} after {GIVE_UP_SECONDS} s"
    return world.clock.monotonic() - start


def together(count: int, annotations: dict[str, str]) -> dict[str, object]:
    """All Services at once, from nothing."""
    with cluster(limits=PUBLISHED) as world:
        world.add_nodes("n1", "n2", "n3")
        world.azure.cloud.timing = Timing(by_type=LATENCIES)
        world.server.journal.clear()
        cpu = time.process_time()
        for number in range(count):
            world.kube.put(service(f"s{number}", annotations=annotations))
        seconds = until_served(world, count)
        cpu = time.process_time() - cpu
        world.settle(60)
        writes = world.writes()
        written = [call for call in world.server.journal.calls if call.counted.value == "write"]
        world.server.journal.clear()
        world.settle(DRIFT_SECONDS)
        unchanged = world.server.journal.counts()
        world.server.journal.clear()
        world.add_nodes("n4")
        return {
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu, 1),
            "writes": writes,
            "refused_writes": sum(1 for call in written if call.status >= FIRST_REFUSAL),
            "unchanged_pass": {"reads": unchanged.reads, "writes": unchanged.writes},
            "one_node_joins": world.writes(),
        }


def one_by_one(count: int, annotations: dict[str, str]) -> float:
    """Virtual seconds for each Service when the next comes only once the last has its address."""
    with cluster(limits=PUBLISHED) as world:
        world.add_nodes("n1", "n2", "n3")
        world.azure.cloud.timing = Timing(by_type=LATENCIES)
        start = world.clock.monotonic()
        for number in range(count):
            world.kube.put(service(f"s{number}", annotations=annotations))
            until_served(world, number + 1)
        return (world.clock.monotonic() - start) / count


def main(services: int = SERVICES) -> dict[str, object]:
    """All figures."""
    figures: dict[str, object] = {"services": services, "latencies": LATENCIES}
    for mode, given in {"external": {}, "internal": INTERNAL}.items():
        each = one_by_one(SERIAL, given)
        figures[mode] = {
            **together(services, given),
            "serial_seconds_each": round(each, 1),
            "serial_seconds_scaled": round(each * services),
        }
    return figures


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else SERVICES), indent=2))
