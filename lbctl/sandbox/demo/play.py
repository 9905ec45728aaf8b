"""Plays the story from an empty machine to an empty machine, and counts what is left of it afterwards."""

from __future__ import annotations

from pathlib import Path

from lbctl.errors import LbctlError
from lbctl.sandbox.demo.report import Report, StepReport
from lbctl.sandbox.demo.stage import Screen, Stage
from lbctl.sandbox.demo.story import ENDING, STEPS, Step
from lbctl.sandbox.nodes.traffic import Traffic
from lbctl.sandbox.sandbox import Sandbox

PROCESSES = Path("/proc")


def play(screen: Screen, *, nodes: int = 3) -> Report:
    """The report of one demo; whatever interrupts it, the sandbox is taken down first."""
    report = Report()
    sandbox = Sandbox(nodes=nodes)
    started = sandbox.clock.monotonic()
    with sandbox, Traffic() as traffic:
        screen.say(f"A cluster with {nodes} nodes is up; its API server is at {sandbox.api.url}")
        stage = Stage(sandbox, traffic, screen, report)
        _play(stage)
    left = count_remains(sandbox.home)
    screen.say(f"Envoy, its state and the cluster are gone; processes and directories left: {left}")
    report.leftovers = None if report.leftovers is None else report.leftovers + left
    report.seconds = sandbox.clock.monotonic() - started
    return report


def count_remains(home: Path, processes: Path = PROCESSES) -> int:
    """The directory, if it is still there, and processes that were started with it (found on Linux only)."""
    lines = (_command_line(entry) for entry in processes.glob("[0-9]*/cmdline"))
    return int(home.exists()) + sum(1 for line in lines if str(home) in line)


def _play(stage: Stage) -> None:
    total = len(STEPS) + len(ENDING)
    for number, (name, step) in enumerate(STEPS, start=1):
        stage.screen.say(f"\n[{number}/{total}] {name}")
        if not _take(stage, name, step):
            break
    for number, (name, step) in enumerate(ENDING, start=len(STEPS) + 1):
        stage.screen.say(f"\n[{number}/{total}] {name}")
        _take(stage, name, step)


def _take(stage: Stage, name: str, step: Step) -> bool:
    clock = stage.sandbox.clock
    started = clock.monotonic()
    problem = ""
    try:
        step(stage)
    except LbctlError as error:
        problem = str(error)
    result = StepReport(name, clock.monotonic() - started, problem)
    stage.report.steps.append(result)
    stage.refresh()
    stage.screen.say(f"  {'ok' if result.ok else f'FAILED: {problem}'} ({result.seconds:.1f} s)")
    return result.ok


def _command_line(entry: Path) -> str:
    try:
        return entry.read_bytes().decode(errors="replace")
    except OSError:
        return ""
