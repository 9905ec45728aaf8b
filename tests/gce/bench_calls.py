"""Calls of each operation, counted on the counterpart, as one JSON array: `python -m tests.gce.bench_calls [N ...]`.

Rows have driver, mode, operation, services, reads and writes; polls of running operations are left out.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lbctl.clock import ManualClock
from tests.clouds.gce.server import ComputeServer
from tests.clouds.gce.world import Google
from tests.world import change, service

CLASS = "networking.gke.io/l4-regional-"
MODES = {
    "netlb-rbs": f"{CLASS}external",
    "netlb-tp": f"{CLASS}external-legacy",
    "netlb-neg": "",
    "ilb-ig": f"{CLASS}internal-legacy",
    "ilb-neg": f"{CLASS}internal",
    "neg-only": "networking.gke.io/standalone-passthrough-lb-neg",
}
"""Class of each kind; endpoint groups behind an external balancer are told by upstream's finalizer alone."""


def put_all(world: Google, number: int, mode: str, **spec: Any) -> None:
    """Create or change this many Services at once."""
    marks = () if MODES[mode] else ("gke.networking.io/l4-netlb-v3",)
    for index in range(number):
        wanted = service(f"s{index}", load_balancer_class=MODES[mode] or None, **spec)
        live = world.kube.services.get(wanted.key)
        new = change(wanted, metadata=change(wanted.metadata, finalizers=marks))
        world.kube.put(new if live is None else change(live, spec=wanted.spec))


def operations(world: Google, number: int, mode: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """The life of the Services, step by step."""

    def resync() -> None:
        for scope in world.account.all_scopes():
            world.controller.resync(world.account, scope)

    def delete() -> None:
        for key in list(world.kube.services):
            world.kube.delete(key)

    ranges = ("10.0.0.0/8",)
    yield "create", lambda: put_all(world, number, mode)
    yield "unchanged", resync
    yield "port-added", lambda: put_all(world, number, mode, ports=(80, 443))
    yield "node-joins", lambda: world.join("n9")
    yield "node-leaves", lambda: world.see_node(None, "n9")
    yield (
        "source-ranges",
        lambda: put_all(world, number, mode, ports=(80, 443), load_balancer_source_ranges=ranges),
    )
    yield "restart", world.crash
    yield "delete", delete


def rows(mode: str, number: int) -> Iterator[dict[str, Any]]:
    """The measured rows of one mode, in a cloud of its own."""
    with ComputeServer(ManualClock().monotonic) as server, tempfile.TemporaryDirectory() as folder:
        world = Google(server, Path(folder))
        world.settle()
        for operation, act in operations(world, number, mode):
            server.compute.journal.clear()
            act()
            world.settle(60)
            journal = server.compute.journal
            row = {"driver": "gce", "mode": mode, "operation": operation, "services": number}
            yield {**row, "reads": journal.reads, "writes": journal.writes}
        world.driver.close()


def measure(numbers: Iterable[int]) -> list[dict[str, Any]]:
    """All rows for these numbers of Services."""
    return [row for number in numbers for mode in MODES for row in rows(mode, number)]


def main() -> None:
    """Print the rows."""
    numbers = [int(text) for text in sys.argv[1:]] or [1, 100]
    sys.stdout.write(json.dumps(measure(numbers), indent=1) + "\n")


if __name__ == "__main__":
    main()
