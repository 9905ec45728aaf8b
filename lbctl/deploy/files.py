"""Everything under `manifests/` that is rendered, by its path there. Pure but for finding the drivers."""

from __future__ import annotations

import json
from collections.abc import Iterable

from lbctl.deploy.admission import admission_policies
from lbctl.deploy.alerts import rules
from lbctl.deploy.chart import ALERTS_FILE, DASHBOARD_FILE, POLICY_FILE, chart_files
from lbctl.deploy.dashboard import dashboard
from lbctl.deploy.kustomize import base_files, overlay_files
from lbctl.deploy.objects import build
from lbctl.deploy.text import HEAD, documents, to_yaml
from lbctl.deploy.variants import PLACES, variant_of
from lbctl.driver import DriverInfo


def rendered_files(infos: Iterable[DriverInfo]) -> dict[str, str]:
    """Text by path, for the drivers that the project has."""
    infos = tuple(infos)
    variants = {info.name: variant_of(info) for info in infos if info.name in PLACES}
    files = {f"base/{name}": text for name, text in base_files().items()}
    for provider, variant in variants.items():
        files |= {f"overlays/{provider}/{name}": text for name, text in overlay_files(variant).items()}
        files[f"install/{provider}.yaml"] = HEAD + documents(build(variant))
    for info in infos:
        if info.name in PLACES:
            policy = HEAD + documents(admission_policies(info))
            files[f"admission/{info.name}.yaml"] = files[f"chart/{POLICY_FILE % info.name}"] = policy
    alerts, board = HEAD + to_yaml(rules()), json.dumps(dashboard(), indent=2) + "\n"
    files |= {"alerts/lbctl.rules.yaml": alerts, "dashboards/lbctl.json": board}
    files |= {f"chart/{ALERTS_FILE}": alerts, f"chart/{DASHBOARD_FILE}": board}
    return files | {f"chart/{name}": text for name, text in chart_files(variants).items()}
