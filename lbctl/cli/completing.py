"""Words for the shells' completion: names of drivers and of Services, and the form in which kubectl asks for them."""

from __future__ import annotations

import sys
from typing import Any

import click

NO_FILES = ":4"
"""The directive by which kubectl is told not to offer files."""


def complete_provider(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """Installed drivers; loads none."""
    from lbctl.registry import known_providers  # noqa: PLC0415 - only for completion

    return [name for name in known_providers() if name.startswith(incomplete)]


def complete_service(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Services of type LoadBalancer as `namespace/name`; nothing when the API server does not answer."""
    from lbctl.cli.desk import connect  # noqa: PLC0415 - only for completion
    from lbctl.errors import LbctlError  # noqa: PLC0415 - as above
    from lbctl.kube.reads import Cluster  # noqa: PLC0415 - as above
    from lbctl.settings import KubeSettings, Settings  # noqa: PLC0415 - as above

    kube = KubeSettings(kubeconfig=ctx.params.get("kubeconfig") or "", context=ctx.params.get("context") or "")
    given: Any = ctx.params.get(param.name or "") or ()
    try:
        services = Cluster(connect(Settings(kube=kube))).list_services()
        keys = sorted(service.key for service in services if service.spec.type == "LoadBalancer")
    except LbctlError:
        return []
    return [key for key in keys if key.startswith(incomplete) and key not in given]


def kubectl_complete() -> None:
    """Answer kubectl, which asks plugins for words by a command of their own: `kubectl_complete-lb`."""
    from click.shell_completion import ShellComplete  # noqa: PLC0415 - only for completion

    from lbctl.cli.main import COMPLETE, root  # noqa: PLC0415 - as above

    *before, incomplete = sys.argv[1:] or [""]
    for word in ShellComplete(root, {}, "lbctl", COMPLETE).get_completions(before, incomplete):
        click.echo(f"{word.value}\t{word.help}" if word.help else word.value)
    click.echo(NO_FILES)
