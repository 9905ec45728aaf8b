"""Prints the cloud calls of each operation of each driver as one JSON array, as counted on its counterpart.

`python -m tests.bench.calls [N ...]`: N are the numbers of Services, 1 and 100 without any. A row has driver, mode,
operation, services, reads and writes; polls of operations under way are left out.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from typing import Any

from tests.aws import bench_calls as aws
from tests.azure import test_budget as azure
from tests.cloudstack import bench_calls as cloudstack
from tests.gce import bench_calls as gce
from tests.openstack import bench_calls as openstack


def measure(numbers: Iterable[int]) -> list[dict[str, Any]]:
    """All rows; with 100 Services it takes some minutes."""
    counts = tuple(numbers)
    made = [row for count in counts for driver in (azure, cloudstack) for row in driver.rows(count)]
    return [*aws.measure(counts), *made, *gce.measure(counts), *openstack.measure(counts)]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps(measure([int(text) for text in sys.argv[1:]] or [1, 100]), indent=1))
