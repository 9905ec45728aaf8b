"""`lbctl run`: the controller."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import click

from lbctl import __version__
from lbctl.cli.options import settings_options

if TYPE_CHECKING:
    from lbctl.settings import Loaded


@click.command(
    short_help="Run the controller until stopped.",
    epilog="Examples:  lbctl run --provider local    lbctl run --config /etc/lbctl/settings.yaml -v 2",
)
@settings_options
def command(loaded: Loaded) -> None:
    """Run the controller: watch Services and Nodes, keep the cloud as they ask, until SIGTERM or Ctrl-C."""
    from lbctl.clock import SystemClock  # noqa: PLC0415 - loaded by the command, not by its help
    from lbctl.engine.process import Process  # noqa: PLC0415 - as above
    from lbctl.obs.log import set_up  # noqa: PLC0415 - as above
    from lbctl.obs.tracing import find_tracing  # noqa: PLC0415 - as above

    settings = loaded.settings
    set_up(form=settings.obs.log_format, verbosity=settings.obs.verbosity, secrets=loaded.secrets())
    process = Process(settings, clock=SystemClock(), tracing=find_tracing(os.environ, version=__version__))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop())
    process.run()
