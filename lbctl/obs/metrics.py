"""Every metric, declared once with the question that it answers.

Upstream's names are exported beside ours, so that dashboards go on. Loaded by `run` only: prometheus-client costs
60 ms to import.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
UPSTREAM_BUCKETS = tuple(float(2**power) for power in range(15))


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()

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
        self.watch_restarts = gauge("lbctl_watch_restarts_total", "How often a watch had to begin anew.", "resource")
        self.queue_depth = gauge("lbctl_queue_depth", "Scopes that wait to be worked on.")
        self.queue_oldest_seconds = gauge("lbctl_queue_oldest_seconds", "How long the oldest of them has been due.")
        self.leader = gauge("lbctl_leader", "1 while this process leads.")
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

    def record_call(self, provider: str, operation: str, code: str, seconds: float) -> None:
        """Count one cloud call."""
        self.cloud_calls.labels(provider, operation, code).inc()
        self.cloud_call_seconds.labels(provider, operation).observe(seconds)
        if code == "Throttled":
            self.cloud_throttled.labels(provider).inc()
