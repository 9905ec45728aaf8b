"""The Grafana dashboard: one panel a question, from "is it alive" down to single calls. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lbctl.deploy.rights import Object

COLUMNS, HEIGHT = 24, 8
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture of some queries; each query is an expression and the legend of its lines."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8


def _quantiles(metric: str, by: str) -> tuple[tuple[str, str], ...]:
    """The middle and the slow end of a histogram."""
    legend = f"{{{{{by}}}}}"
    return tuple(
        (
            f"histogram_quantile({quantile}, sum by (le, {by}) (rate({metric}_bucket[$__rate_interval])))",
            f"{legend} p{quantile * 100:g}",
        )
        for quantile in (0.5, 0.99)
    )


def _rate(metric: str, *by: str) -> tuple[tuple[str, str], ...]:
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return ((f"sum by ({', '.join(by)}) (rate({metric}[$__rate_interval]))", legend),)


SECTIONS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Is all well?",
        (
            Panel("Services by state", (("sum by (state) (lbctl_services)", "{{state}}"),), kind="stat", width=12),
            Panel("Leaders", (("sum(lbctl_leader)", "leaders"),), kind="stat", width=4),
            Panel("Held changes", (("max by (hazard) (lbctl_actions_held)", "{{hazard}}"),), kind="stat", width=4),
            Panel("Orphans", (("max by (kind) (lbctl_orphans)", "{{kind}}"),), kind="stat", width=4),
            Panel(
                "Who waits, how long and why",
                (
                    (
                        "sort_desc(max by (namespace, service, reason) (lbctl_service_pending_seconds))",
                        "{{namespace}}/{{service}}: {{reason}}",
                    ),
                ),
                unit="s",
                kind="bargauge",
                width=12,
            ),
            Panel(
                "Since the last success",
                (("time() - max by (provider) (lbctl_last_success_timestamp_seconds)", "{{provider}}"),),
                unit="s",
                width=12,
            ),
        ),
    ),
    (
        "How long does it take?",
        (
            Panel("Service to address", _quantiles("lbctl_time_to_address_seconds", "provider"), unit="s"),
            Panel("Node to target", _quantiles("lbctl_node_to_target_seconds", "provider"), unit="s"),
            Panel("Passes", _quantiles("lbctl_reconcile_seconds", "result"), unit="s"),
            Panel("Stages", _quantiles("lbctl_stage_seconds", "stage"), unit="s"),
            Panel("Passes by result", _rate("lbctl_reconcile_seconds_count", "provider", "result"), unit="ops"),
            Panel(
                "Queue",
                (
                    ("sum(lbctl_queue_depth)", "due"),
                    ("max(lbctl_queue_oldest_seconds)", "age of the oldest (s)"),
                    ('sum(rate(workqueue_retries_total{name="service"}[$__rate_interval]))', "retries a second"),
                ),
            ),
        ),
    ),
    (
        "What changes?",
        (
            Panel("Changes made", _rate("lbctl_plans_total", "provider", "verb", "kind"), unit="ops"),
            Panel(
                "Repairs of what others changed", _rate("lbctl_drift_repaired_total", "provider", "kind"), unit="ops"
            ),
            Panel("Targets by health", (("sum by (provider, state) (lbctl_targets)", "{{provider}} {{state}}"),)),
        ),
    ),
    (
        "How near are the cloud's limits?",
        (
            Panel("Calls", _rate("lbctl_cloud_calls_total", "provider", "operation"), unit="ops"),
            Panel("Calls by outcome", _rate("lbctl_cloud_calls_total", "provider", "code"), unit="ops"),
            Panel("Time of calls", _quantiles("lbctl_cloud_call_seconds", "provider"), unit="s"),
            Panel("Throttled calls", _rate("lbctl_cloud_throttled_total", "provider"), unit="ops"),
            Panel(
                "Calls left before throttling",
                (("min by (provider, budget) (lbctl_cloud_budget_left)", "{{provider}} {{budget}}"),),
            ),
            Panel(
                "Address pools",
                (
                    (
                        "max by (pool) (lbctl_addresses_in_use) / max by (pool) (lbctl_addresses)",
                        "{{pool}}",
                    ),
                ),
                unit="percentunit",
            ),
        ),
    ),
    (
        "Is the cluster well?",
        (
            Panel("Restarts of watches", _rate("lbctl_watch_restarts_total", "resource", "reason"), unit="ops"),
            Panel(
                "Services of others, bugs",
                (
                    ("sum(lbctl_foreign_finalizer_total)", "with another's finalizer"),
                    ("sum(lbctl_panics_total)", "bugs of lbctl"),
                ),
            ),
            Panel("Versions", (("count by (version) (lbctl_build_info)", "{{version}}"),), kind="stat"),
        ),
    ),
)


def dashboard() -> Object:
    """The dashboard's JSON model."""
    panels: list[Object] = []
    top = 0
    for title, section in SECTIONS:
        panels.append(_row(title, top, number=len(panels) + 1))
        top += 1
        left = 0
        for panel in section:
            if left + panel.width > COLUMNS:
                left, top = 0, top + HEIGHT
            panels.append(_panel(panel, left, top, number=len(panels) + 1))
            left += panel.width
        top += HEIGHT
    return {
        "title": "lbctl",
        "uid": "lbctl",
        "tags": ["kubernetes", "load-balancer"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }


def _row(title: str, top: int, *, number: int) -> Object:
    return {"id": number, "type": "row", "title": title, "gridPos": _place(0, top, COLUMNS, 1), "panels": []}


def _panel(panel: Panel, left: int, top: int, *, number: int) -> Object:
    targets: list[Any] = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for index, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": _place(left, top, panel.width, HEIGHT),
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }


def _place(left: int, top: int, width: int, height: int) -> Object:
    return {"x": left, "y": top, "w": width, "h": height}
