"""Alerts and dashboard: their queries are PromQL over metrics and labels that lbctl has."""

from __future__ import annotations

import re

import promql_parser
import pytest

from lbctl.deploy.alerts import ALERTS, rules
from lbctl.deploy.dashboard import dashboard
from lbctl.obs.metrics import Metrics

NAME = re.compile(r"\b(?:lbctl|workqueue|service_controller|leader_election)_[a-z_]+")
MATCHERS = re.compile(r"\{([^}]*)\}")
GROUPS = re.compile(r"\bby \(([^)]*)\)")
LABELS = re.compile(r"\$labels\.(\w+)")
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def samples():
    """Labels by the name of each sample that a scrape may show."""
    found = {}
    for row in Metrics.table():
        found[row.name] = set(row.labels)
        for suffix in ("_bucket", "_count", "_sum"):
            found[row.name + suffix] = {*row.labels, "le"}
    return found


QUERIES = [
    *((alert.name, alert.expression) for alert in ALERTS),
    *(
        (f"{panel['title']} {target['refId']}", target["expr"].replace("$__rate_interval", "5m"))
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    ),
]


@pytest.mark.parametrize("query", [query for _, query in QUERIES], ids=[name for name, _ in QUERIES])
def test_a_query_asks_for_what_there_is(query):
    """It parses, names only metrics of the table, and groups and selects by labels that all of them have."""
    promql_parser.parse(query)
    names = NAME.findall(query)
    assert names
    known = samples()
    assert set(names) <= known.keys()
    labels = {label.strip() for group in GROUPS.findall(query) for label in group.split(",")}
    labels |= {
        re.split(r"[=!]", matcher)[0].strip() for found in MATCHERS.findall(query) for matcher in found.split(",")
    }
    for name in names:
        assert labels <= known[name]


def test_there_are_eight_alerts_each_with_a_name_of_its_own():
    """Each says how bad it is, what is wrong, and what to do, and only of labels that its query keeps."""
    (group,) = rules()["groups"]
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) == 8
    for rule in group["rules"]:
        kept = {label.strip() for found in GROUPS.findall(rule["expr"]) for label in found.split(",")}
        told = rule["annotations"]["summary"] + rule["annotations"]["description"]
        assert set(LABELS.findall(told)) <= kept
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert "lbctl" in rule["annotations"]["description"]


def test_every_metric_of_lbctl_is_on_the_dashboard():
    """A figure that nobody sees helps nobody."""
    shown = {name for _, query in QUERIES for name in NAME.findall(query)}
    missing = [
        row.name
        for row in Metrics.table()
        if row.name.startswith("lbctl_") and not any(name.startswith(row.name) for name in shown)
    ]
    assert missing == []


def test_panels_do_not_cover_each_other():
    """Every cell of the grid belongs to one panel at most, and none is outside of it."""
    cells = [
        (x, y)
        for panel in dashboard()["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(0 <= x < 24 for x, _ in cells)


def test_legends_use_labels_that_the_query_keeps():
    """Else a legend is empty."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            kept = {label.strip() for found in GROUPS.findall(target["expr"]) for label in found.split(",")}
            assert set(LEGEND.findall(target["legendFormat"])) <= kept
