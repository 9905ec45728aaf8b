"""What each operation may cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clouds.openstack.cloud import Cloud
from tests.openstack.bench_calls import rows

PORTS = 2
# operation -> writes of an internal Service; an external one has its floating IP made and deleted on top
WRITES = {
    "create": 1,
    "unchanged": 0,
    "port-added": 3,
    "node-joins": PORTS + 1,
    "node-leaves": PORTS + 1,
    "source-ranges": PORTS + 1,
    "restart": 0,
    "delete": 1,
}
FLOATING = {"create": 1, "delete": 1}
# A restart asks for the version, four lists of Octavia, floating IPs, groups, and the members of each pool.
MOST_READS = {"unchanged": 0, "restart": 8 + PORTS + 1}


@pytest.mark.spec("OS-027", "OS-053", "OS-080")
def test_every_operation_keeps_its_budget(cloud: Cloud, tmp_path: Path):
    """One POST and a floating IP to create, one PUT a pool when nodes change, nothing while nothing changes."""
    measured = list(rows(cloud, tmp_path, "external", 1))
    assert {row["operation"]: row["writes"] for row in measured} == {
        operation: writes + FLOATING.get(operation, 0) for operation, writes in WRITES.items()
    }
    reads = {row["operation"]: row["reads"] for row in measured}
    assert {operation: reads[operation] <= most for operation, most in MOST_READS.items()} == dict.fromkeys(
        MOST_READS, True
    )
