"""The root command; sub-commands are imported when they are run, so that help costs no SDK.

Every command answers on standard output; progress and logs go to standard error. Exit codes are `lbctl.errors.Exit`.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lbctl import __version__
from lbctl.errors import Exit, LbctlError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the writing of an answer may fail with; a pipe whose reader left is ended by click, in silence."""
COMPLETE = "_LBCTL_COMPLETE"
OVERVIEW: tuple[tuple[tuple[str, ...], str], ...] = (
    (("run", "once"), "Run the controller; or one round of it."),
    (("plan", "apply"), "Show what would be done; do what a plan showed."),
    (("status", "explain"), "Show balancers; say why one is as it is."),
    (("doctor", "check"), "Look for what is wrong: in clouds; in files."),
    (("permissions",), "Print the smallest role that a driver needs."),
    (("adopt", "release"), "Show what taking over would do; let go again."),
    (("gc",), "Remove what Services that are gone left behind."),
    (("providers", "annotations"), "List drivers; look annotations up."),
    (("manifests",), "Print the objects that install the controller."),
    (("config", "options"), "Show settings; list the options that set them."),
    (("sandbox", "demo"), "Keep a little cluster here; play in one."),
    (("completion", "version"), "Print a shell's completion script; the version."),
)
"""All commands, a line for those that belong together: one line each is more than a screen."""
COMMANDS: tuple[str, ...] = tuple(name for names, _ in OVERVIEW for name in names)
"""Each is the `command` of a module of its name."""


class LazyGroup(click.Group):
    """Imports a sub-command only when it is used; help needs the overview only."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"lbctl.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(", ".join(names), what) for names, what in OVERVIEW])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for a name that does not exist."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415 - only for a misspelt command

            nearest = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Examples:  lbctl demo    lbctl plan shop/web    kubectl lb explain shop/web",
)
@click.version_option(__version__, prog_name="lbctl", message="%(prog)s %(version)s")
def root() -> None:
    """Cloud load balancers for Kubernetes Services: plan, reconcile, explain."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code; an expected error is one sentence on standard error."""
    as_plugin = Path(sys.argv[0]).name == "kubectl-lb"
    sys.exit(run(argv, name="kubectl lb" if as_plugin else "lbctl"))


def run(argv: Sequence[str] | None = None, *, name: str = "lbctl") -> int:
    """Run the command line and return its exit code; `name` is what its help calls itself."""
    try:
        return int(root.main(args=argv, prog_name=name, complete_var=COMPLETE, standalone_mode=False) or 0)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.INVALID_INPUT
    except LbctlError as error:
        click.echo(f"lbctl: {error}", err=True)
        return error.exit
    except OSError as error:
        if error.errno not in FULL:
            raise
        _forget_output()
        hint = "Free space where the output goes, or send it elsewhere"
        click.echo(f"lbctl: cannot write: {os.strerror(error.errno)}. {hint}", err=True)
        return Exit.FAILURE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED


def _forget_output() -> None:
    """Drop what is left in the buffer: it would fail again, with a traceback, when the process ends."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
