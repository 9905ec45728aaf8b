"""`lbctl completion`: the shells' completion scripts."""

from __future__ import annotations

import click


@click.command(
    short_help="Print a shell's completion script.",
    epilog="Examples:  source <(lbctl completion bash)    lbctl completion fish | source",
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - loaded by the command, not by its help

    from lbctl.cli.main import COMPLETE, root  # noqa: PLC0415 - as above

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root, {}, "lbctl", COMPLETE).source())
