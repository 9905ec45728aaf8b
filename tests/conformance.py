"""Which promises of the conformance lists have a test: a page for people, and an exit code for machines.

`python -m tests.conformance` collects the tests marked `@pytest.mark.spec(ids…)` without running them, writes
`docs/reference/conformance.md`, and fails while an id of a finished list has no test. A docstring is the promise. An id
that turned out wrong is struck in `STRUCK` with the reason.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import defaultdict
from pathlib import Path

import pytest

LISTS = {
    "SC": ("The core: services, nodes, status, queue, watch", 95),
    "AWS": ("AWS: classic and network load balancers", 96),
    "AZ": ("Azure: standard load balancer", 97),
    "GCE": ("GCE: forwarding rules, backend services, target pools", 100),
    "OS": ("OpenStack: Octavia", 94),
    "CS": ("CloudStack: load balancer rules", 80),
}
STRUCK: dict[str, str] = {
    "AWS-068": "AWS checks the targets of a group only while a listener uses it, so that a new group cannot become "
    "healthy first (decision 0005). That its targets are in before the listener moves is held by tests without an id",
}
PAGE = Path(__file__).parent.parent / "docs" / "reference" / "conformance.md"


class Collector:
    """A pytest plugin that notes which ids each test carries."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, str]] = defaultdict(dict)
        self.unknown: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note the ids of every collected test."""
        known = set(every_id())
        for item in items:
            for mark in item.iter_markers("spec"):
                for spec_id in mark.args:
                    name = item.nodeid.split("[")[0]
                    self.tests[spec_id][name] = promise(item)
                    if spec_id not in known:
                        self.unknown.append(f"{name} carries {spec_id}, which is in no list")


def every_id() -> list[str]:
    """All ids of all lists, in order."""
    return [spec_id for prefix in LISTS for spec_id in _ids(prefix)]


def _ids(prefix: str) -> list[str]:
    return [f"{prefix}-{number:03d}" for number in range(1, LISTS[prefix][1] + 1)]


def _wanted_and_struck(prefix: str) -> tuple[list[str], list[str]]:
    struck = [spec_id for spec_id in _ids(prefix) if spec_id in STRUCK]
    return [spec_id for spec_id in _ids(prefix) if spec_id not in STRUCK], struck


def promise(item: pytest.Item) -> str:
    """The first sentence of a test's docstring."""
    doc = getattr(getattr(item, "obj", None), "__doc__", None) or ""
    return " ".join(doc.split("\n\n")[0].split())


def page(tests: dict[str, dict[str, str]]) -> str:
    """The page: a summary, then every id with its tests."""
    lines = [
        "# Conformance",
        "",
        "Made by `make conformance`; each promise is the docstring of the test that holds it.",
        "",
    ]
    lines += ["| list | covered | of | struck |", "|---|---|---|---|"]
    for prefix, (title, _) in LISTS.items():
        wanted, struck = _wanted_and_struck(prefix)
        covered = sum(1 for spec_id in wanted if tests.get(spec_id))
        lines.append(f"| {prefix}: {title} | {covered} | {len(wanted)} | {len(struck)} |")
    for prefix, (title, _) in LISTS.items():
        lines += ["", f"## {title}", ""]
        for spec_id in _ids(prefix):
            lines += _entry(spec_id, tests.get(spec_id, {}))
    return "\n".join(lines) + "\n"


def _entry(spec_id: str, tests: dict[str, str]) -> list[str]:
    if spec_id in STRUCK:
        return [f"- {spec_id} struck: {STRUCK[spec_id]}"]
    if not tests:
        return [f"- {spec_id} not covered"]
    return [f"- {spec_id} {text} (`{name.split('::')[-1]}`)" for name, text in sorted(tests.items())]


def main() -> int:
    """Collect, write the page, and tell what is missing; 1 while anything is."""
    collector = Collector()
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main(["--collect-only", "-qq", "-p", "no:randomly", "tests"], plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        sys.stderr.write("the tests could not be collected\n")
        return int(code)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(collector.tests), encoding="utf-8")
    missing = [spec_id for spec_id in every_id() if spec_id not in collector.tests and spec_id not in STRUCK]
    for complaint in sorted(set(collector.unknown)):
        sys.stderr.write(complaint + "\n")
    for prefix in LISTS:
        wanted, struck = _wanted_and_struck(prefix)
        mine = [spec_id for spec_id in wanted if spec_id in missing]
        said = f", {len(struck)} struck" if struck else ""
        sys.stdout.write(f"{prefix}: {len(wanted) - len(mine)} of {len(wanted)} covered{said}\n")
        if mine:
            sys.stdout.write(f"  missing: {' '.join(mine)}\n")
    return 1 if missing or collector.unknown else 0


if __name__ == "__main__":
    sys.exit(main())
