"""`lbctl manifests`: the objects that install the controller in a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from lbctl.cli.completing import complete_provider
from lbctl.cli.options import output_option


@click.command(
    short_help="Print the objects that install the controller.",
    epilog="Examples:  lbctl manifests --provider local -o name    lbctl manifests --provider aws --config my.yaml",
)
@click.option(
    "--provider", required=True, shell_complete=complete_provider, help="The driver to install; see `lbctl providers`."
)
@click.option("--image", metavar="NAME:TAG", default="", help="The image in your registry; none is public.")
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings file that the controller is to read."
)
@output_option("yaml", "json", "table", "name")
def command(provider: str, image: str, config: Path | None, output: str) -> None:
    """Print the objects that install the controller for one cloud, least rights and all: settings, roles, Deployment.

    YAML and JSON are for `kubectl apply -f -`, so JSON is a List without a version of ours. Asks neither cluster nor
    cloud.
    """
    import json  # noqa: PLC0415 - loaded by the command, not by its help

    import msgspec  # noqa: PLC0415 - as above

    from lbctl.cli.documents import Manifests  # noqa: PLC0415 - as above
    from lbctl.deploy.objects import build  # noqa: PLC0415 - as above
    from lbctl.deploy.owner import installation  # noqa: PLC0415 - as above
    from lbctl.deploy.text import documents  # noqa: PLC0415 - as above
    from lbctl.registry import find_provider  # noqa: PLC0415 - as above
    from lbctl.settings import load, read_file  # noqa: PLC0415 - as above
    from lbctl.text import table  # noqa: PLC0415 - as above

    info = find_provider(provider)
    loaded = load(file=config, environ={}, flags={}) if config else None
    given = read_file(config) if config else None
    objects = build(installation(info, image=image, loaded=loaded, given=given))
    names = [(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in objects]
    if output == "yaml":
        click.echo(documents(objects), nl=False)
    elif output == "json":
        click.echo(json.dumps(msgspec.to_builtins(Manifests("v1", "List", objects)), indent=2))
    elif output == "name":
        click.echo("\n".join(f"{kind.lower()}/{name}" for kind, _, name in names))
    else:
        click.echo(table(("KIND", "NAMESPACE", "NAME"), names))
