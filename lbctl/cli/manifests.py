"""`lbctl manifests`: the objects that install the controller in a cluster."""

from __future__ import annotations

import click

from lbctl.cli.completing import complete_provider
from lbctl.cli.options import output_option


@click.command(
    short_help="Print the objects that install the controller.",
    epilog="Examples:  lbctl manifests --provider aws | kubectl apply -f -    lbctl manifests --provider local -o name",
)
@click.option(
    "--provider", required=True, shell_complete=complete_provider, help="The driver to install; see `lbctl providers`."
)
@output_option("yaml", "json", "table", "name")
def command(provider: str, output: str) -> None:
    """Print the objects that install the controller for one cloud, least rights and all: settings, roles, Deployment.

    YAML and JSON are for `kubectl apply -f -`, so JSON is a List without a version of ours. Asks neither cluster nor
    cloud.
    """
    import json  # noqa: PLC0415 - loaded by the command, not by its help

    import msgspec  # noqa: PLC0415 - as above

    from lbctl.cli.documents import Manifests  # noqa: PLC0415 - as above
    from lbctl.deploy.objects import build  # noqa: PLC0415 - as above
    from lbctl.deploy.text import documents  # noqa: PLC0415 - as above
    from lbctl.deploy.variants import variant_of  # noqa: PLC0415 - as above
    from lbctl.registry import find_provider  # noqa: PLC0415 - as above
    from lbctl.text import table  # noqa: PLC0415 - as above

    objects = build(variant_of(find_provider(provider)))
    names = [(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in objects]
    if output == "yaml":
        click.echo(documents(objects), nl=False)
    elif output == "json":
        click.echo(json.dumps(msgspec.to_builtins(Manifests("v1", "List", objects)), indent=2))
    elif output == "name":
        click.echo("\n".join(f"{kind.lower()}/{name}" for kind, _, name in names))
    else:
        click.echo(table(("KIND", "NAMESPACE", "NAME"), names))
