"""Options that many commands share, and the way from them to settings."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lbctl.cli.completing import complete_provider, complete_service

F = TypeVar("F", bound=Callable[..., Any])

CONFIG_VARIABLE = "LBCTL_CONFIG"
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


def output_option(*forms: str) -> Callable[[F], F]:
    """`-o FORM`; the first form is the default."""
    return click.option(
        "-o", "--output", type=click.Choice(forms), default=forms[0], show_default=True, help="Form of the answer."
    )


def service_argument(command: F) -> F:
    """`NAMESPACE/NAME`, completed by the shell."""
    return click.argument("service", metavar="NAMESPACE/NAME", shell_complete=complete_service)(command)


def services_argument(command: F) -> F:
    """Any number of `NAMESPACE/NAME`s, completed by the shell."""
    return click.argument("services", nargs=-1, metavar="[NAMESPACE/NAME]...", shell_complete=complete_service)(command)


def settings_options(command: F) -> F:
    """Options from which settings are loaded; the command receives them as `loaded`."""

    @click.option(
        "--config", type=click.Path(path_type=Path, dir_okay=False), help=f"Settings file [${CONFIG_VARIABLE}]."
    )
    @click.option(
        "--provider",
        shell_complete=complete_provider,
        help="Serve everything with this driver, by its accounts in the file or by a new one; see `lbctl providers`.",
    )
    @click.option(
        "--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Set one value, as in queue.workers=8."
    )
    @click.option("--kubeconfig", help="Kubeconfig file; default as for kubectl.")
    @click.option("--context", help="Context in the kubeconfig.")
    @click.option("--cluster-name", help="Cluster name that goes into upstream's names.")
    @click.option("--cluster-id", help="Cluster id that proves ownership; default: uid of namespace kube-system.")
    @click.option("--policy", help="sync, no-delete, create-only or observe.")
    @click.option("--hazard", help="Worst effect on traffic that needs no approval.")
    @click.option("-v", "--verbosity", type=int, help="More logs.")
    @click.option("--logging-format", help="json, text or auto.")
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


def _assignment(text: str) -> tuple[str, str]:
    path, found, value = text.partition("=")
    if not found or not path:
        raise click.BadParameter(f"{text!r} is not PATH=VALUE", param_hint="--set")
    return path, value
