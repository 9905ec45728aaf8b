"""Every metric, declared once with the question that it answers.

Upstream's names are exported beside ours, so that dashboards go on. Loaded by `run` only: prometheus-client costs
60 ms to import.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from lbctl.obs.figures import Figures, QueueFigures

CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
UPSTREAM_BUCKETS = tuple(float(2**power) for power in range(15))


QUEUE = "service"
"""The name under which upstream's dashboards look for the work queue."""


class _BeforeScrape(Collector):  # type: ignore[misc]  # the client library is untyped here
    """Shows nothing itself; runs a function when a scrape begins."""

    def __init__(self, refresh: Callable[[], None]) -> None:
        self._refresh = refresh

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        self._refresh()
        return ()


class Metrics:
    """All metrics of one process, in a registry of their own.

    `look` is asked at each scrape for what is counted there and not as it happens.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.look: Callable[[], Figures] | None = None
        self._lock = threading.Lock()
        self._foreign: set[str] = set()
        self._totals: dict[Counter, float] = {}
        # First, so that what it fills in is shown in the same scrape.
        registry.register(_BeforeScrape(self._refresh))

        def counter(name: str, doc: str, *labels: str) -> Counter:
            return Counter(name, doc, labels, registry=registry)

        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(name, doc, labels, registry=registry)

        def histogram(name: str, doc: str, *labels: str, buckets: tuple[float, ...] = CALL_BUCKETS) -> Histogram:
            return Histogram(name, doc, labels, buckets=buckets, registry=registry)

        self.build_info = gauge("lbctl_build_info", "Version of this process; always 1.", "version")
        self.services = gauge("lbctl_services", "How many Services are in each state.", "provider", "state")
        self.pending = gauge(
            "lbctl_service_pending_seconds",
            "Which Services wait, for how long and why; absent once they are ready.",
            *("namespace", "service", "reason"),
        )
        self.reconcile_seconds = histogram(
            "lbctl_reconcile_seconds", "How long a pass over one scope takes.", "provider", "result"
        )
        self.plans = counter("lbctl_plans_total", "What was changed, by verb and kind.", "provider", "verb", "kind")
        self.actions_held = gauge("lbctl_actions_held", "Actions that wait for a person's approval.", "hazard")
        self.cloud_calls = counter(
            "lbctl_cloud_calls_total", "Calls to the cloud, by operation and outcome.", "provider", "operation", "code"
        )
        self.cloud_call_seconds = histogram(
            "lbctl_cloud_call_seconds", "How long calls to the cloud take.", "provider", "operation"
        )
        self.cloud_throttled = counter(
            "lbctl_cloud_throttled_total", "How often the cloud asked to slow down.", "provider"
        )
        self.drift_repaired = counter("lbctl_drift_repaired_total", "Repairs of what others changed.", "provider")
        self.orphans = gauge("lbctl_orphans", "Owners of cloud objects that no Service is known for.", "provider")
        self.node_to_target_seconds = histogram(
            "lbctl_node_to_target_seconds", "From a node being eligible to its being a target.", "provider"
        )
        self.time_to_address_seconds = histogram(
            "lbctl_time_to_address_seconds", "From the first sight of a Service to its published address.", "provider"
        )
        self.foreign_finalizer = counter(
            "lbctl_foreign_finalizer_total", "Services left alone because another controller cleans them up."
        )
        self.watch_restarts = counter("lbctl_watch_restarts_total", "How often a list or watch failed.", "resource")
        self.queue_depth = gauge("lbctl_queue_depth", "Scopes that wait to be worked on.")
        self.queue_oldest_seconds = gauge("lbctl_queue_oldest_seconds", "How long the oldest of them has been due.")
        self.leader = gauge("lbctl_leader", "1 while this process leads.")
        self.upstream_leader = gauge("leader_election_master_status", "1 while this process leads.", "name")
        self.last_success = gauge(
            "lbctl_last_success_timestamp_seconds", "When a pass last ended without an error.", "provider"
        )
        self.panics = counter("lbctl_panics_total", "Errors that are bugs of lbctl.")

        self.upstream_sync = counter(
            "service_controller_loadbalancer_sync_total", "Target updates, as upstream counts."
        )
        self.upstream_node_errors = counter("service_controller_nodesync_error_total", "Failed target updates.")
        self.upstream_node_latency = histogram(
            "service_controller_nodesync_latency_seconds", "Target updates of all Services.", buckets=UPSTREAM_BUCKETS
        )
        self.upstream_host_latency = histogram(
            "service_controller_update_loadbalancer_host_latency_seconds",
            "Target updates of one Service.",
            buckets=UPSTREAM_BUCKETS,
        )

        self.work_adds = counter("workqueue_adds_total", "Pieces of work that ever came in.", "name")
        self.work_depth = gauge("workqueue_depth", "Pieces of work that are due.", "name")
        self.work_retries = counter(
            "workqueue_retries_total", "Pieces of work that asked to be taken up again.", "name"
        )
        self.queue_seconds = histogram(
            "workqueue_queue_duration_seconds", "For how long work was due before it was taken.", "name"
        )
        self.work_seconds = histogram("workqueue_work_duration_seconds", "How long a piece of work takes.", "name")
        self.unfinished_seconds = gauge(
            "workqueue_unfinished_work_seconds", "Seconds of work in progress, over all workers.", "name"
        )
        self.longest_seconds = gauge(
            "workqueue_longest_running_processor_seconds", "The longest work in progress.", "name"
        )

    def take(self, figures: Figures) -> None:
        """Show one look at the process."""
        _fill(self.services, figures.services)
        _fill(self.actions_held, {(hazard,): count for hazard, count in figures.held.items()})
        _fill(self.orphans, {(provider,): count for provider, count in figures.orphans.items()})
        for name, count in figures.watch_restarts.items():
            self._raise(self.watch_restarts.labels(name), count)
        _fill(self.pending, {(one.namespace, one.service, one.reason): one.seconds for one in figures.waiting})
        self.foreign_finalizer.inc(len(figures.foreign_finalizers - self._foreign))
        self._foreign |= figures.foreign_finalizers
        self.leader.set(figures.leading)
        self.upstream_leader.labels("lbctl").set(figures.leading)
        self._take_queue(figures.queue)

    def _take_queue(self, queue: QueueFigures) -> None:
        self.queue_depth.set(queue.depth)
        self.queue_oldest_seconds.set(queue.oldest_seconds)
        self.work_depth.labels(QUEUE).set(queue.depth)
        self.unfinished_seconds.labels(QUEUE).set(sum(queue.running_seconds))
        self.longest_seconds.labels(QUEUE).set(max(queue.running_seconds, default=0.0))
        self._raise(self.work_adds.labels(QUEUE), queue.added)
        self._raise(self.work_retries.labels(QUEUE), queue.retried)

    def _raise(self, counter: Counter, total: float) -> None:
        """Raise a counter to a total that is counted elsewhere."""
        counter.inc(total - self._totals.get(counter, 0.0))
        self._totals[counter] = total

    def _refresh(self) -> None:
        if self.look is not None:
            with self._lock:
                self.take(self.look())

    def record_call(self, provider: str, operation: str, code: str, seconds: float) -> None:
        """Count one cloud call."""
        self.cloud_calls.labels(provider, operation, code).inc()
        self.cloud_call_seconds.labels(provider, operation).observe(seconds)
        if code == "Throttled":
            self.cloud_throttled.labels(provider).inc()


def _fill(gauge: Gauge, values: Mapping[Any, float]) -> None:
    """Show exactly these values, keyed by their labels; what was shown for other labels is gone."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
