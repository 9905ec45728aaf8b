"""The plan for each recorded state as text, and what it costs; `python -m tests.aws.golden` writes the files again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import moto_fixtures
from lbctl.plan.render import plan_lines
from moto_fixtures.server import CREDENTIALS, REGION, AwsServer
from moto_fixtures.world import AwsWorld
from tests.aws.recorded import RECORDED, begin

FOLDER = Path(moto_fixtures.__file__).parent / "golden"
LONG_ENOUGH = 900.0


def golden(aws: AwsWorld, topology: str) -> str:
    """What is planned first on this state, then every write until nothing is left to do, in order."""
    cluster = begin(aws, topology)
    aws.calls.clear()
    plans = cluster.plans()
    reads = len(cluster.read_calls())
    cluster.settle(LONG_ENOUGH)
    assert not cluster.bugs
    assert not cluster.plans()
    return "\n".join(_lines(plans, reads, cluster.write_calls())) + "\n"


def _lines(plans: list[object], reads: int, writes: list[str]) -> Iterator[str]:
    yield f"{reads} reads show:"
    for plan in plans:
        yield from plan_lines(plan)  # type: ignore[arg-type] # as tests.world makes them
    if not plans:
        yield "  nothing to do"
    yield f"{len(writes)} writes until it is so:"
    yield from (f"  {call}" for call in writes)


def main() -> None:
    """Write every file, on a server of its own."""
    os.environ.update({name.upper(): value for name, value in CREDENTIALS.items()})
    os.environ.update(AWS_REGION=REGION, AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE="/dev/null")
    server = AwsServer()
    server.start()
    for topology in RECORDED:
        (FOLDER / f"{topology}.txt").write_text(golden(AwsWorld(server), topology))
    server.stop()


if __name__ == "__main__":
    main()
