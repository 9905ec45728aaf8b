"""The page of all metrics, from the registry that `/metrics` serves."""

from __future__ import annotations

from prometheus_client.metrics import MetricWrapperBase

from lbctl.obs.metrics import Metrics
from tests.reference.markdown import code, codes, page, table

OURS = "lbctl_"


def metrics_page() -> str:
    """Every metric with type, labels and the question that it answers: ours, then the names of upstream."""
    declared = list(Metrics().collectors.values())
    columns = ("metric", "type", "labels", "what it says")
    ours = [metric for metric in declared if metric._name.startswith(OURS)]
    others = [metric for metric in declared if metric not in ours]
    return page(
        "Metrics",
        "`lbctl run` serves them at `/metrics` of the address in [`obs.address`](settings.md#obs); `/healthz`, "
        "`/livez` and `/readyz` are beside it. A standby is ready.",
        table(columns, map(_metric, ours)),
        "## Names of the upstream controllers",
        "Exported beside ours, so that dashboards and alerts go on.",
        table(columns, map(_metric, others)),
    )


def _metric(metric: MetricWrapperBase) -> tuple[str, ...]:
    name = metric._name + ("_total" if metric._type == "counter" else "")
    return code(name), metric._type, codes(metric._labelnames), metric._documentation
