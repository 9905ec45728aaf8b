"""Every metric, declared once with the question that it answers.

Upstream's names are exported beside ours, so that dashboards go on. Loaded by `run` only: prometheus-client costs
60 ms to import.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from lbctl.driver import Figure
from lbctl.obs.figures import Figures, QueueFigures

CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
UPSTREAM_BUCKETS = tuple(float(2**power) for power in range(15))

# HTTP's status, and the words of clouds that have codes of their own; other limits than that of calls are quotas.
THROTTLED = re.compile(r"^429$|throttl|ratelimit|requestlimitexceeded|slowdown", re.IGNORECASE)

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


class Declared:
    """One line of the table: a metric that every `Metrics` has, under the name of the class's attribute."""

    def __init__(self, kind: Callable[..., Any], name: str, doc: str, *labels: str, **options: object) -> None:
        self._kind = kind
        self.name = name
        self.doc = doc
        self.labels = labels
        self._options = options
        self.attribute = ""

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute

    def __get__(self, metrics: Metrics | None, owner: type | None = None) -> Any:  # noqa: ANN401 - untyped library
        return self if metrics is None else metrics.collectors[self.attribute]

    def make(self, registry: CollectorRegistry) -> Any:  # noqa: ANN401 - untyped library
        """The metric itself."""
        return self._kind(self.name, self.doc, self.labels, registry=registry, **self._options)


def _seconds(name: str, doc: str, *labels: str, buckets: tuple[float, ...] = CALL_BUCKETS) -> Declared:
    return Declared(Histogram, name, doc, *labels, buckets=buckets)


class Metrics:
    """All metrics of one process, in a registry of their own.

    `look` is asked at each scrape for what is counted there and not as it happens.
    """

    build_info = Declared(Gauge, "lbctl_build_info", "Version of this process; always 1.", "version")
    services = Declared(Gauge, "lbctl_services", "How many Services are in each state.", "provider", "state")
    pending = Declared(
        Gauge,
        "lbctl_service_pending_seconds",
        "Which Services wait, for how long and why; absent once they are ready, and while they are held.",
        *("namespace", "service", "reason"),
    )
    reconcile_seconds = _seconds(
        "lbctl_reconcile_seconds", "How long a pass over one scope takes.", "provider", "result"
    )
    stage_seconds = _seconds(
        "lbctl_stage_seconds", "How long each stage of a pass, or of a snapshot, takes.", "provider", "stage"
    )
    plans = Declared(Counter, "lbctl_plans_total", "What was changed, by verb and kind.", "provider", "verb", "kind")
    actions_held = Declared(Gauge, "lbctl_actions_held", "Actions that wait for a person's approval.", "hazard")
    cloud_calls = Declared(
        Counter,
        "lbctl_cloud_calls_total",
        "Calls to the cloud, by operation and outcome.",
        "provider",
        "operation",
        "code",
    )
    cloud_call_seconds = _seconds(
        "lbctl_cloud_call_seconds", "How long calls to the cloud take.", "provider", "operation"
    )
    cloud_throttled = Declared(
        Counter, "lbctl_cloud_throttled_total", "How often the cloud asked to slow down.", "provider"
    )
    budget_left = Declared(
        Gauge,
        "lbctl_cloud_budget_left",
        "Calls that the cloud allows at once before it slows us.",
        "provider",
        "budget",
    )
    drift_repaired = Declared(
        Counter, "lbctl_drift_repaired_total", "Repairs of what others changed.", "provider", "kind"
    )
    orphans = Declared(
        Gauge, "lbctl_orphans", "Cloud objects whose Service is not known, seen twice.", "provider", "kind"
    )
    targets = Declared(Gauge, "lbctl_targets", "Targets as the cloud sees their health, sampled.", "provider", "state")
    addresses = Declared(Gauge, "lbctl_addresses", "Addresses that a pool can give.", "provider", "pool")
    addresses_in_use = Declared(
        Gauge, "lbctl_addresses_in_use", "Addresses of a pool that balancers have.", "provider", "pool"
    )
    node_to_target_seconds = _seconds(
        "lbctl_node_to_target_seconds", "From a node being eligible to its being a target.", "provider"
    )
    time_to_address_seconds = _seconds(
        "lbctl_time_to_address_seconds", "From the first sight of a Service to its published address.", "provider"
    )
    foreign_finalizer = Declared(
        Counter, "lbctl_foreign_finalizer_total", "Services left alone because another controller cleans them up."
    )
    watch_restarts = Declared(
        Counter, "lbctl_watch_restarts_total", "How often a list or watch failed, and why.", "resource", "reason"
    )
    queue_depth = Declared(Gauge, "lbctl_queue_depth", "Scopes that wait to be worked on.")
    queue_oldest_seconds = Declared(Gauge, "lbctl_queue_oldest_seconds", "How long the oldest of them has been due.")
    leader = Declared(Gauge, "lbctl_leader", "1 while this process leads.")
    upstream_leader = Declared(Gauge, "leader_election_master_status", "1 while this process leads.", "name")
    last_success = Declared(
        Gauge,
        "lbctl_last_success_timestamp_seconds",
        "When a pass last ended without an error; before the first one, when the work began.",
        "provider",
    )
    panics = Declared(Counter, "lbctl_panics_total", "Errors that are bugs of lbctl.")

    upstream_sync = Declared(
        Counter, "service_controller_loadbalancer_sync_total", "Target updates, as upstream counts."
    )
    upstream_node_errors = Declared(Counter, "service_controller_nodesync_error_total", "Failed target updates.")
    upstream_node_latency = _seconds(
        "service_controller_nodesync_latency_seconds", "Target updates of all Services.", buckets=UPSTREAM_BUCKETS
    )
    upstream_host_latency = _seconds(
        "service_controller_update_loadbalancer_host_latency_seconds",
        "Target updates of one Service.",
        buckets=UPSTREAM_BUCKETS,
    )

    work_adds = Declared(Counter, "workqueue_adds_total", "Pieces of work that ever came in.", "name")
    work_depth = Declared(Gauge, "workqueue_depth", "Pieces of work that are due.", "name")
    work_retries = Declared(
        Counter, "workqueue_retries_total", "Pieces of work that asked to be taken up again.", "name"
    )
    queue_seconds = _seconds(
        "workqueue_queue_duration_seconds", "For how long work was due before it was taken.", "name"
    )
    work_seconds = _seconds("workqueue_work_duration_seconds", "How long a piece of work takes.", "name")
    unfinished_seconds = Declared(
        Gauge, "workqueue_unfinished_work_seconds", "Seconds of work in progress, over all workers.", "name"
    )
    longest_seconds = Declared(
        Gauge, "workqueue_longest_running_processor_seconds", "The longest work in progress.", "name"
    )

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.look: Callable[[], Figures] | None = None
        self._lock = threading.Lock()
        self._foreign: set[str] = set()
        self._totals: dict[Counter, float] = {}
        # First, so that what it fills in is shown in the same scrape.
        registry.register(_BeforeScrape(self._refresh))
        self.collectors = {row.attribute: row.make(registry) for row in self.table()}

    @classmethod
    def table(cls) -> tuple[Declared, ...]:
        """Every metric as it is declared, in its order."""
        return tuple(row for row in vars(cls).values() if isinstance(row, Declared))

    def take(self, figures: Figures) -> None:
        """Show one look at the process."""
        _fill(self.services, figures.services)
        _fill(self.actions_held, {(hazard,): count for hazard, count in figures.held.items()})
        _fill(self.orphans, figures.orphans)
        for labels, count in figures.watch_restarts.items():
            self._raise(self.watch_restarts.labels(*labels), count)
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
        if THROTTLED.search(code):
            self.cloud_throttled.labels(provider).inc()

    def show(self, provider: str, figure: Figure, label: str, value: float) -> None:
        """Show what a driver knows of its cloud now."""
        getattr(self, figure.value).labels(provider, label).set(value)

    def record_stage(self, provider: str, stage: str, seconds: float) -> None:
        """Count one stage."""
        self.stage_seconds.labels(provider, stage).observe(seconds)


def _fill(gauge: Gauge, values: Mapping[Any, float]) -> None:
    """Show exactly these values, keyed by their labels; what was shown for other labels is gone."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
