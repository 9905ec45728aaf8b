"""`lbctl sandbox`: a little cluster with real traffic, for as long as one wants it."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lbctl.errors import LbctlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbctl.sandbox.sandbox import Sandbox

LOOK_SECONDS = 1.0


@click.command(
    short_help="Keep a little cluster with real traffic on this machine.",
    epilog="Examples:  lbctl sandbox    lbctl sandbox --nodes 5 --no-controller --kubeconfig /tmp/sandbox.yaml",
)
@click.option("--nodes", type=click.IntRange(min=1), default=3, show_default=True, help="How many nodes to simulate.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of the API server; 0 takes a free one.",
)
@click.option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), help="Also write the kubeconfig here.")
@click.option("--no-controller", is_flag=True, help="Leave lbctl's controller out, to run your own.")
def command(*, nodes: int, port: int, kubeconfig: Path | None, no_controller: bool) -> None:
    """Keep a cluster with simulated nodes and real traffic up until Ctrl-C, then leave nothing behind.

    kubectl works on it. Every Service gets three pods that say who answered; the annotation
    sandbox.lbctl.io/replicas changes their number.
    """
    from lbctl.cli.interrupts import ending_cleanly  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.engine.process import Process  # noqa: PLC0415 - as above
    from lbctl.obs.log import set_up  # noqa: PLC0415 - as above

    set_up(form="auto", verbosity=0)
    with ending_cleanly(), contextlib.ExitStack() as ending:
        sandbox = _opened(ending, nodes=nodes, port=port)
        path = ending.enter_context(_copied(sandbox, kubeconfig))
        if not no_controller:
            sandbox.start_controller(Process(sandbox.settings, clock=sandbox.clock))
        click.echo(f"export KUBECONFIG={path} LBCTL_CONFIG={sandbox.config}")
        _say_how(with_controller=not no_controller)
        with contextlib.suppress(KeyboardInterrupt):
            while not sandbox.clock.wait(LOOK_SECONDS):
                sandbox.check_controller()


def _opened(ending: contextlib.ExitStack, *, nodes: int, port: int) -> Sandbox:
    from lbctl.sandbox.sandbox import Sandbox  # noqa: PLC0415 - loaded by the command, not by its help

    try:
        return ending.enter_context(Sandbox(nodes=nodes, api_port=port))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        hint = "Give another --port, or 0 for a free one"
        raise LbctlError(f"cannot listen on port {port}: {os.strerror(error.errno)}", hint=hint) from None


@contextlib.contextmanager
def _copied(sandbox: Sandbox, path: Path | None) -> Iterator[Path]:
    """Where the kubeconfig is: a copy at `path`, which goes with the sandbox, or the sandbox's own."""
    if path is None:
        yield sandbox.kubeconfig
        return
    try:
        path.touch(mode=0o600)
        path.write_text(sandbox.kubeconfig.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        hint = "Name a file of a folder that exists and can be written"
        raise LbctlError(f"cannot write the kubeconfig {path}: {error.strerror}", hint=hint) from None
    try:
        yield path.absolute()
    finally:
        path.unlink(missing_ok=True)


def _say_how(*, with_controller: bool) -> None:
    lines = ["The sandbox is up. Give the line above in another shell for kubectl and lbctl. Ctrl-C ends it."]
    if not with_controller:
        lines.append("No controller runs; start one there with: lbctl run")
    click.echo("\n".join(lines), err=True)
