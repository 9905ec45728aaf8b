"""The table of metrics."""

from __future__ import annotations

import pytest

from lbctl.driver import Figure
from lbctl.obs.figures import Figures
from lbctl.obs.metrics import Metrics

# Each answers one question that a person asks at night; the last group is upstream's.
PROMISED = {
    "lbctl_services": ("provider", "state"),
    "lbctl_service_pending_seconds": ("namespace", "service", "reason"),
    "lbctl_reconcile_seconds": ("provider", "result"),
    "lbctl_stage_seconds": ("provider", "stage"),
    "lbctl_plans_total": ("provider", "verb", "kind"),
    "lbctl_actions_held": ("hazard",),
    "lbctl_cloud_calls_total": ("provider", "operation", "code"),
    "lbctl_cloud_call_seconds": ("provider", "operation"),
    "lbctl_cloud_throttled_total": ("provider",),
    "lbctl_cloud_budget_left": ("provider", "budget"),
    "lbctl_drift_repaired_total": ("provider", "kind"),
    "lbctl_orphans": ("provider", "kind"),
    "lbctl_node_to_target_seconds": ("provider",),
    "lbctl_targets": ("provider", "state"),
    "lbctl_addresses": ("provider", "pool"),
    "lbctl_addresses_in_use": ("provider", "pool"),
    "lbctl_time_to_address_seconds": ("provider",),
    "lbctl_foreign_finalizer_total": (),
    "lbctl_watch_restarts_total": ("resource", "reason"),
    "lbctl_queue_depth": (),
    "lbctl_queue_oldest_seconds": (),
    "lbctl_leader": (),
    "lbctl_last_success_timestamp_seconds": ("provider",),
    "lbctl_panics_total": (),
    "lbctl_build_info": ("version",),
    "service_controller_loadbalancer_sync_total": (),
    "service_controller_nodesync_error_total": (),
    "service_controller_nodesync_latency_seconds": (),
    "service_controller_update_loadbalancer_host_latency_seconds": (),
    "leader_election_master_status": ("name",),
    "workqueue_adds_total": ("name",),
    "workqueue_depth": ("name",),
    "workqueue_retries_total": ("name",),
    "workqueue_queue_duration_seconds": ("name",),
    "workqueue_work_duration_seconds": ("name",),
    "workqueue_unfinished_work_seconds": ("name",),
    "workqueue_longest_running_processor_seconds": ("name",),
}


def sample(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_every_promised_metric_is_there_with_its_labels():
    """Names and labels are an interface: dashboards and alerts of others rest on them."""
    assert {row.name: row.labels for row in Metrics.table()} == PROMISED


def test_every_metric_tells_what_it_answers():
    """A sentence in the help text, each its own."""
    docs = [row.doc for row in Metrics.table() if not row.name.startswith("leader_election")]
    assert all(doc.endswith(".") for doc in docs)
    assert len(set(docs)) == len(docs)


def test_two_processes_count_apart():
    """The table is shared, what is counted is not."""
    one, other = Metrics(), Metrics()
    one.panics.inc()
    assert (sample(one, "lbctl_panics_total"), sample(other, "lbctl_panics_total")) == (1, 0)


@pytest.mark.parametrize(
    ("code", "throttled"),
    [
        ("429", 1),
        ("Throttled", 1),
        ("ThrottlingException", 1),
        ("RequestLimitExceeded", 1),
        ("userRateLimitExceeded", 1),
        ("200", 0),
        ("", 0),
        ("VpcLimitExceeded", 0),
        ("TargetGroupNotFound", 0),
    ],
)
def test_each_clouds_word_for_slower_counts_as_throttling(code, throttled):
    """A quota is no throttling."""
    metrics = Metrics()
    metrics.record_call("aws", "elbv2.CreateListener", code, 0.1)
    assert (sample(metrics, "lbctl_cloud_throttled_total", provider="aws") or 0) == throttled


def test_a_driver_shows_what_it_knows():
    """Each figure has its metric, and the newest value stands."""
    metrics = Metrics()
    for figure in Figure:
        metrics.show("local", figure, "one", 5)
        metrics.show("local", figure, "one", 3)
    assert sample(metrics, "lbctl_cloud_budget_left", provider="local", budget="one") == 3
    assert sample(metrics, "lbctl_targets", provider="local", state="one") == 3
    assert sample(metrics, "lbctl_addresses", provider="local", pool="one") == 3
    assert sample(metrics, "lbctl_addresses_in_use", provider="local", pool="one") == 3


def test_restarts_of_watches_are_told_by_their_reason():
    """A total that is counted elsewhere never goes back."""
    metrics = Metrics()
    metrics.take(Figures(watch_restarts={("nodes", "KubeGone"): 2}))
    metrics.take(Figures(watch_restarts={("nodes", "KubeGone"): 3}))
    assert sample(metrics, "lbctl_watch_restarts_total", resource="nodes", reason="KubeGone") == 3


def test_orphans_that_are_gone_are_no_longer_shown():
    """By provider and kind."""
    metrics = Metrics()
    figures = Figures()
    figures.orphans["aws", "target-group"] = 2
    metrics.take(figures)
    assert sample(metrics, "lbctl_orphans", provider="aws", kind="target-group") == 2
    metrics.take(Figures())
    assert sample(metrics, "lbctl_orphans", provider="aws", kind="target-group") is None
