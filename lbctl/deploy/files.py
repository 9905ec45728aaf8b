"""Everything under `manifests/` that is rendered, by its path there. Pure but for finding the drivers."""

from __future__ import annotations

from collections.abc import Iterable

from lbctl.deploy.chart import chart_files
from lbctl.deploy.kustomize import base_files, overlay_files
from lbctl.deploy.objects import build
from lbctl.deploy.text import HEAD, documents
from lbctl.deploy.variants import PLACES, variant_of
from lbctl.driver import DriverInfo


def rendered_files(infos: Iterable[DriverInfo]) -> dict[str, str]:
    """Text by path, for the drivers that the project has."""
    variants = {info.name: variant_of(info) for info in infos if info.name in PLACES}
    files = {f"base/{name}": text for name, text in base_files().items()}
    for provider, variant in variants.items():
        files |= {f"overlays/{provider}/{name}": text for name, text in overlay_files(variant).items()}
        files[f"install/{provider}.yaml"] = HEAD + documents(build(variant))
    return files | {f"chart/{name}": text for name, text in chart_files(variants).items()}
