"""Options that many commands share, the way from them to settings, and `lbctl options`, which lists them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lbctl.cli.completing import complete_provider, complete_service

if TYPE_CHECKING:
    from lbctl.settings import Loaded

F = TypeVar("F", bound=Callable[..., Any])

CONFIG_VARIABLE = "LBCTL_CONFIG"
SETTINGS_LINE = ("--provider, --config, …", "Settings: see `lbctl options`.")
FLAGS = {
    "kubeconfig": "kube.kubeconfig",
    "context": "kube.context",
    "cluster_name": "cluster.name",
    "cluster_id": "cluster.id",
    "policy": "policy.mode",
    "hazard": "policy.highest_hazard",
    "verbosity": "obs.verbosity",
    "logging_format": "obs.log_format",
}


class SettingsOption(click.Option):
    """An option from which settings are loaded; the help of a command has one line for all of them."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:  # noqa: ARG002 - click's signature
        """The line for all, with the first of them."""
        return SETTINGS_LINE if self.name == "config" else None

    def own_record(self, ctx: click.Context) -> tuple[str, str]:
        """Names and help of this one."""
        record = super().get_help_record(ctx)
        assert record is not None
        return record


setting = functools.partial(click.option, cls=SettingsOption)


def output_option(*forms: str) -> Callable[[F], F]:
    """`-o FORM`; the first form is the default."""
    listed = f"{', '.join(forms[:-1])} or {forms[-1]}."
    kind = click.Choice(forms)
    return click.option("-o", "--output", type=kind, metavar="FORM", default=forms[0], show_default=True, help=listed)


def service_argument(command: F) -> F:
    """`NAMESPACE/NAME`, completed by the shell."""
    return click.argument("service", metavar="NAMESPACE/NAME", shell_complete=complete_service)(command)


def services_argument(command: F) -> F:
    """Any number of `NAMESPACE/NAME`s, completed by the shell."""
    return click.argument("services", nargs=-1, metavar="[NAMESPACE/NAME]...", shell_complete=complete_service)(command)


def settings_options(command: F) -> F:
    """Options from which settings are loaded; the command receives them as `loaded`."""

    @setting("--config", type=click.Path(path_type=Path, dir_okay=False), help=f"Settings file [${CONFIG_VARIABLE}].")
    @setting(
        "--provider",
        shell_complete=complete_provider,
        help="Serve everything with this driver, by its accounts in the file or by a new one; see `lbctl providers`.",
    )
    @setting("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Set one value, as in queue.workers=8.")
    @setting("--kubeconfig", help="Kubeconfig file; default as for kubectl.")
    @setting("--context", help="Context in the kubeconfig.")
    @setting("--cluster-name", help="Cluster name that goes into upstream's names.")
    @setting("--cluster-id", help="Cluster id that proves ownership; default: uid of namespace kube-system.")
    @setting("--policy", help="sync, no-delete, create-only or observe.")
    @setting("--hazard", help="Worst effect on traffic that needs no approval.")
    @setting("-v", "--verbosity", type=int, help="More logs.")
    @setting("--logging-format", help="json, text or auto.")
    @functools.wraps(command)
    def wrapped(
        config: Path | None,
        provider: str | None,
        assignments: tuple[str, ...],
        **options: Any,  # noqa: ANN401 - click's
    ) -> Any:  # noqa: ANN401 - the command's own
        from lbctl.settings import load  # noqa: PLC0415 - help costs no YAML and no msgspec

        flags: dict[str, object] = {FLAGS[name]: options.pop(name) for name in FLAGS}
        flags |= dict(_assignment(text) for text in assignments)
        environ = dict(os.environ)
        named = environ.pop(CONFIG_VARIABLE, "")
        loaded = load(file=config or (Path(named) if named else None), environ=environ, flags=flags, provider=provider)
        return command(loaded=loaded, **options)

    return wrapped  # type: ignore[return-value]  # the decorators change the signature


@click.command()
@settings_options
def _bearer(loaded: Loaded) -> None:
    """Whatever bears them bears the same."""


def listed_options() -> list[SettingsOption]:
    """The options from which settings are loaded, in the order in which they are listed."""
    return [option for option in _bearer.params if isinstance(option, SettingsOption)]


@click.command(
    short_help="List the options that set settings.",
    epilog="Examples:  lbctl options    lbctl plan --config prod.yaml --provider aws --set queue.workers=8",
)
@click.pass_context
def command(context: click.Context) -> None:
    """List the options from which settings are loaded: every command that reads settings takes them."""
    formatter = context.make_formatter()
    formatter.write_dl([option.own_record(context) for option in listed_options()])
    click.echo(formatter.getvalue(), nl=False)


def _assignment(text: str) -> tuple[str, str]:
    path, found, value = text.partition("=")
    if not found or not path:
        raise click.BadParameter(f"{text!r} is not PATH=VALUE", param_hint="--set")
    return path, value
