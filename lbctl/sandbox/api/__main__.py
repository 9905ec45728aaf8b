"""`python -m lbctl.sandbox.api`: the API server as a process of its own, until it is told to stop.

Prints the URL on its first line, and writes a kubeconfig where asked. Benches use it so that the server's CPU is not
counted as the controller's.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from lbctl.sandbox.api.server import ApiServer


@click.command()
@click.option("--port", default=0, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="File to write the kubeconfig to.")
@click.option("--bookmark-seconds", default=60.0, show_default=True, help="How often a quiet watch gets a bookmark.")
@click.option("--history", default=10_000, show_default=True, help="Changes that each kind keeps for watches.")
@click.option("--service-cidr", multiple=True, default=("10.96.0.0/16", "fd00:10:96::/112"), show_default=True)
@click.option("--node-ports", default="30000-32767", show_default=True, help="Range of node ports.")
def main(
    *,
    port: int,
    kubeconfig: Path | None,
    bookmark_seconds: float,
    history: int,
    service_cidr: tuple[str, ...],
    node_ports: str,
) -> None:
    """Serve a Kubernetes API on this machine."""
    first, _, last = node_ports.partition("-")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    server = ApiServer(
        port=port,
        bookmark_seconds=bookmark_seconds,
        history=history,
        service_cidrs=service_cidr,
        node_ports=(int(first), int(last or first)),
    )
    with server:
        if kubeconfig is not None:
            kubeconfig.touch(mode=0o600)
            kubeconfig.write_text(server.kubeconfig())
        click.echo(server.url)
        stopped.wait()


if __name__ == "__main__":
    main()
